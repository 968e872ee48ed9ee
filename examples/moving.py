"""A piece of a photograph that moves: where it is, how far it covers a pixel, and where each pixel came from."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from photographs import sample

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Piece:
    """A moving piece of a photograph: p(t) = centre(t) + scale(t) * R(angle(t)) @ (q - centre(0)), q on frame 0."""

    photo: Array  # (3, H', W') spline coefficients
    corner: Array  # (2,) where pixel (0, 0) of frame 0 lies in the photograph, x, y
    centre: Array  # (T, 2) x, y
    angle: Array  # (T,) radians
    scale: Array  # (T,)
    waves: Array  # (K, 3) order, amplitude, phase of the outline; empty for a disc
    radius: float
    half_width: float | None = None  # a vertical bar instead of an outline

    def source(self, t: int, xy: Array) -> Array:
        """Return where the surface at pixels `xy` (..., 2) of frame t was on frame 0."""
        cos, sin = math.cos(self.angle[t]), math.sin(self.angle[t])
        back = np.array([[cos, sin], [-sin, cos]]) / self.scale[t]
        return np.asarray((xy - self.centre[t]) @ back.T + self.centre[0])

    def place(self, t: int, source_xy: Array) -> Array:
        """Return where points (..., 2) of frame 0 are on frame t: the inverse of `source`."""
        cos, sin = math.cos(self.angle[t]), math.sin(self.angle[t])
        turn = np.array([[cos, -sin], [sin, cos]]) * self.scale[t]
        return np.asarray((source_xy - self.centre[0]) @ turn.T + self.centre[t])

    def alpha(self, t: int, source_xy: Array) -> Array:
        """Return the coverage in [0, 1] of places (..., 2) of frame 0, with an edge one pixel of frame t wide."""
        offset = source_xy - self.centre[0]
        if self.half_width is not None:
            inside = self.half_width - np.abs(offset[..., 0])
        else:
            theta = np.arctan2(offset[..., 1], offset[..., 0])[..., None]
            wave = self.waves[:, 1] * np.cos(self.waves[:, 0] * theta + self.waves[:, 2])
            inside = self.radius * (1 + wave.sum(-1)) - np.hypot(offset[..., 0], offset[..., 1])
        return np.asarray(np.clip(inside * self.scale[t] + 0.5, 0, 1))

    def color(self, source_xy: Array) -> Array:
        """Return the photograph (..., 3) at places (..., 2) of frame 0, by cubic splines."""
        return sample(self.photo, source_xy + self.corner)


def points_inside(rng: np.random.Generator, piece: Piece, count: int, *, depth: float = 0.75) -> Array:
    """Return (count, 2) places of frame 0 well inside the outline, spread evenly over its area."""
    theta = rng.uniform(0, 2 * math.pi, count)
    wave = (piece.waves[:, 1] * np.cos(piece.waves[:, 0] * theta[:, None] + piece.waves[:, 2])).sum(-1)
    reach = depth * piece.radius * (1 + wave) * np.sqrt(rng.uniform(0, 1, count))
    return np.asarray(piece.centre[0] + reach[:, None] * np.stack([np.cos(theta), np.sin(theta)], axis=1))
