"""Colours: the chroma of a reference picture <-> a and b of Lab on the grid (Vondrick 3.1, colouring a grey video)."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from propagate.ops.color import LUMA, lab_to_rgb, rgb_to_lab
from propagate.ops.grid import Grid, average_to_cells
from propagate.ops.upsampling import Neighbours, along_edges, three_by_three
from propagate.values import Annotation, Frame, Kind, ObjectId

REACH = 10.0  # Lab units between two colours that may be averaged: across them the mean is greyer than either
EDGE = 0.05  # of the luma's full range: a step that colour does not cross
VIVID = 2.0  # a mean colour is lengthened at most so much to its chroma's mean length
STEPS = 3  # to find the lightness that gives the luma; the rest is below one level


class ColorLabels:
    """Chroma of every cell; the frame's own colour is never looked at, only its luma.

    Channels are a, b and the chroma's length. Averaging cancels opposite hues and would fade frame by frame; lengths do
    not cancel, and decoding gives the mean hue its mean length. On 30 frames of
    `breakdance-flare` (luma-patch rawcolor) 0.87 of the reference's saturation stays instead of 0.72, and CIEDE2000
    goes from 3.19 to 3.14.

    Args:
        luma: the weights of red, green and blue in the luma that the output keeps.
    """

    kind: Kind = "value"
    ids: tuple[ObjectId, ...] = ("a", "b", "chroma")
    channels = 3
    reach: float | None = REACH
    sees_luma = True
    peak = 1.0

    def __init__(self, *, luma: tuple[float, float, float] = LUMA) -> None:
        self.luma = luma
        self._around: tuple[Grid, Neighbours] | None = None

    def wants_finer(self, annotation: Annotation, grid: Grid) -> bool:
        """Return False: colours are carried cell by cell."""
        return False

    def encode(self, annotation: Annotation, grid: Grid) -> Tensor:
        """Return the mean a, b and chroma of the reference picture in each cell: (3, h, w)."""
        chroma = rgb_to_lab(as_tensor(annotation.array))[1:]  # (2, H, W)
        return average_to_cells(torch.cat([chroma, length(chroma)[None]]), grid)

    def nothing(self, grid: Grid) -> Tensor:
        """Return grey everywhere: (3, h, w)."""
        return torch.zeros(self.channels, grid.rows, grid.columns)

    def combine(self, predicted: Tensor | None, annotation: Annotation, encoded: Tensor) -> Tensor:
        """Return the reference's colours: it speaks for the whole frame."""
        return encoded

    def decode(
        self, soft: Tensor, grid: Grid, *, frame: Frame, annotation: Annotation | None, edges: float = 0.0
    ) -> NDArray[np.generic]:
        """Return the frame's own luma in the colours of the labels, (H, W, 3) uint8.

        On an annotated frame the colours are the reference's own, pixel by pixel.
        """
        luma = luma_of(as_tensor(frame.rgb).to(soft.device), self.luma)
        if annotation is not None:
            chroma = rgb_to_lab(as_tensor(annotation.array))[1:].to(soft.device)
        else:
            means = average_to_cells(luma[None], grid)
            carried = along_edges(soft, luma[None], means, around=self._neighbours(grid, soft.device), sigma=EDGE)
            chroma = carried[:2] * (carried[2] / length(carried[:2]).clamp(min=1e-3)).clamp(1, VIVID)
        return as_picture(colored(luma, chroma, weights=self.luma))

    def _neighbours(self, grid: Grid, device: torch.device) -> Neighbours:
        if self._around is None or self._around[0] != grid:
            self._around = (grid, three_by_three(grid, device))
        return self._around[1]


def colored(luma: Tensor, chroma: Tensor, *, weights: tuple[float, float, float] = LUMA) -> Tensor:
    """Return the RGB picture (3, H, W) in [0, 1] of the luma (H, W) and the a and b (2, H, W) of Lab.

    Lab's lightness is not luma: the lightness that gives the luma is found in a few steps.
    """
    goal = lightness(luma)
    light = goal
    for _ in range(STEPS):
        rgb = lab_to_rgb(torch.cat([light[None], chroma]))
        light = light + goal - lightness(luma_of(rgb, weights))
    rgb = lab_to_rgb(torch.cat([light[None], chroma]))
    return (rgb + luma - luma_of(rgb, weights)).clamp(0, 1)


def length(chroma: Tensor) -> Tensor:
    """Return the length (...) of the chroma (2, ...)."""
    return chroma.square().sum(0).sqrt()


def lightness(luma: Tensor) -> Tensor:
    """Return Lab's L of a grey (H, W) in [0, 1]."""
    return rgb_to_lab(luma.expand(3, *luma.shape))[0]


def luma_of(rgb: Tensor, weights: tuple[float, float, float] = LUMA) -> Tensor:
    """Return the luma (H, W) of a picture (3, H, W)."""
    return torch.einsum("c,chw->hw", torch.tensor(weights, dtype=rgb.dtype, device=rgb.device), rgb)


def as_tensor(rgb: NDArray[np.generic]) -> Tensor:
    """Return a picture (H, W, 3) uint8 as (3, H, W) float32 in [0, 1]."""
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(rgb, 2, 0)).astype(np.float32)) / 255


def as_picture(rgb: Tensor) -> NDArray[np.uint8]:
    """Return a picture (3, H, W) in [0, 1] as (H, W, 3) uint8."""
    return np.ascontiguousarray((rgb * 255).round().byte().permute(1, 2, 0).cpu().numpy())


def saturation(rgb: NDArray[np.generic]) -> float:
    """Return the mean chroma of a picture (H, W, 3): the length of (a, b) in Lab units."""
    return float(length(rgb_to_lab(as_tensor(rgb))[1:]).mean())


def correlation(first: NDArray[np.generic], second: NDArray[np.generic]) -> float:
    """Return how the lumas of two pictures (H, W, 3) correlate, in [-1, 1]; 0 where one is flat."""
    one, two = (luma_of(as_tensor(picture)).double().flatten() for picture in (first, second))
    one, two = one - one.mean(), two - two.mean()
    length = float((one.square().sum() * two.square().sum()).sqrt())
    return float(one @ two) / length if length > 0 else 0.0
