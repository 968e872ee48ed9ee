"""`timecycle`: "Learning Correspondence from the Cycle-consistency of Time" (Wang, Jabri, Efros 2019).

A patch of the last frame is tracked backward and then forward; the loss is how far from its start it ends.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from propagate.encoders.build import as_module, build_encoder
from propagate.encoders.protocol import Encoder
from propagate.errors import ConfigError
from propagate.training.config import TrainConfig
from propagate.training.objectives.tracker import Tracked, Tracker, draw_places, unit
from propagate.training.protocol import ClipForm

PAST = 4  # k, past frames
WEIGHT = 0.1  # lambda
TURN = math.pi / 4  # radians, how far the query may be turned either way (published code)
FRAMED = 240 / 256  # the crop's side over the frame's short side


@dataclass(frozen=True)
class Cycles:
    """Where the tracker found the patches, for i = 1 ... k.

    Attributes:
        back: in frame t - i, searched for directly from frame t; its parts are (B, k, Q, ...).
        skip: in frame t, searched for directly from frame t - i; theta (B, k, Q, 3).
        long: in frame t, after tracking frame by frame to t - i and back; theta (B, k, Q, 3).
    """

    back: Tracked
    skip: Tensor
    long: Tensor


class TimeCycling(nn.Module):
    """L = sum over i = 1 ... k of L_sim + lambda L_skip + lambda L_long (3.1), averaged over the batch.

    - L_sim: minus the inner product of the query's features and those found in frame t - i. Features have unit length
      in each cell, and the product is divided by the number of cells: it is that of tensors of unit Frobenius norm.
    - L_skip, L_long: the mean squared distance between the patch's cells where they end and where they began; the unit
      is half the picture's side.

    The clip's last frame is t. The query is cut from it at a random place and angle, which is its true theta, and is
    encoded as a picture of its own (3.2), so that its features hold nothing of its surroundings. Each frame is encoded
    once for all cycles.

    Where the paper leaves it open, the published code is followed: temperature 512^-0.5 after unit length, angles to 45
    degrees, batch 36, gradients clipped at 10. Where the code differs, the paper is followed. The code replaces L_sim
    by the share of inliers, averages over i, weighs L_long by lambda / 5, leaves nine frames between frame t and the
    one before it where the others lie two apart, and takes the query from the ten of 49 places that move most.

    Three settings depart from the paper, because the paper's own did not learn in the minutes of a CPU (ResNet-18,
    96 pixels, clips of 3 frames, 250 steps); `tests/benchmarks/training.py` uses them:
    - `inliers`, the code's similarity. The inner product is largest when all cells are alike: with it the mean cosine
      between the cells of a frame rose from 0.63 to 1.000, with the share of inliers it fell to 0.27.
    - `padding` "reflect". With zeros, features can encode how near the border is; then every patch is found at one
      place, and the similarity rewards it: inliers rose to 0.7 a frame while the skip loss grew from 0.44 to 1.16.
    - `queries` patches of a clip instead of one: the frames are encoded once for all.

    Args:
        config: size, temperature, frames (k + 1), rate, framing, flip, inliers, queries, encoder, padding, seed.
        encoder: what is trained; None builds the one that `config` names, ResNet-50 `timecycle` by default.

    Raises:
        ConfigError: the size does not fit the encoder's cells, or there are fewer than two frames.
    """

    name = "timecycle"
    preset: Mapping[str, object] = {
        "encoder": "timecycle",
        "size": 240,
        "frames": PAST + 1,
        "rate": 6.0,  # every second of 12 frames a second
        "batch": 36,
        "learning_rate": 2e-4,
        "beta1": 0.5,
        "schedule": "constant",
        "clip_gradient": 10.0,
        "temperature": 512**-0.5,
    }

    def __init__(self, config: TrainConfig, encoder: Encoder | None = None) -> None:
        super().__init__()
        frames = PAST + 1 if config.frames is None else config.frames
        if frames < 2:
            raise ConfigError(f"frames is {frames}, expected at least 2: the last one and one before it")
        if encoder is None:
            encoder = build_encoder(config.encoder or "timecycle", seed=config.seed)
        as_module(encoder)  # refuses one whose weights would not be among ours
        self.encoder = encoder
        self.form = ClipForm(
            frames, config.rate, config.size, framing=config.framing, scale=(FRAMED, FRAMED), flip=config.flip
        )
        self.count_inliers, self.queries, self.turn = config.inliers, config.queries, TURN
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            self.tracker = Tracker(
                size=config.size,
                stride=self.encoder.stride,
                offset=self.encoder.offset,
                temperature=config.temperature,
            )

    def fit(self, frames: Tensor) -> None:
        """Learn nothing beforehand."""

    def record(self) -> dict[str, Any]:
        """Return nothing: only the encoder's weights are kept; the tracker is needed in training alone."""
        return {}

    def forward(self, clips: Tensor, *, progress: float, random: torch.Generator) -> dict[str, Tensor]:
        """Return "loss" and its parts before their weights, "similarity", "skip" and "long", each summed over i.

        Args:
            clips: (B, T, 3, S, S) in [0, 1].
            progress: unused.
            random: draws where the queries are cut.
        """
        count = len(clips) * self.queries
        truth = draw_places(count, random, turn=self.turn).to(clips).view(-1, self.queries, 3)  # (B, Q, 3)
        pictures = unit(self.encoder.encode(clips.flatten(0, 1))).unflatten(0, clips.shape[:2])  # (B, T, C, h, w)
        cut = self.tracker.crop_pixels(clips[:, -1], truth)  # (B, Q, 3, S/3, S/3)
        query = unit(self.encoder.encode(cut.flatten(0, 1))).unflatten(0, cut.shape[:2])  # (B, Q, C, p, p)
        return self.losses(pictures, query, truth)

    def losses(self, pictures: Tensor, query: Tensor, truth: Tensor) -> dict[str, Tensor]:
        """Return the losses of features.

        Args:
            pictures: (B, T, C, h, w) unit features of frames t - k ... t.
            query: (B, Q, C, p, p) unit features of patches of frame t.
            truth: (B, Q, 3) where they were cut.
        """
        cycles = self.cycles(pictures, query)
        truth = truth[:, None]
        similarity = -self._likeness(cycles.back, query).sum(1).mean()
        skip = self.tracker.misalignment(cycles.skip, truth).sum(1).mean()
        long = self.tracker.misalignment(cycles.long, truth).sum(1).mean()
        return {"loss": similarity + WEIGHT * (skip + long), "similarity": similarity, "skip": skip, "long": long}

    def cycles(self, pictures: Tensor, query: Tensor) -> Cycles:
        """Return where the tracker goes; arguments as in `losses`."""
        back, skip = self._skip_cycles(pictures, query)
        return Cycles(back, skip, self._long_cycles(pictures, query))

    def _skip_cycles(self, pictures: Tensor, query: Tensor) -> tuple[Tracked, Tensor]:
        """Return T(x_{t-i}, x^p), and theta (B, k, Q, 3) of T(x_t, T(x_{t-i}, x^p)), for all i at once."""
        past = pictures[:, :-1].flip(1)  # (B, k, C, h, w): t - 1, t - 2, ...
        queries = query[:, None].expand(-1, past.shape[1], *query.shape[1:])  # (B, k, Q, C, p, p)
        found = self.tracker(past.flatten(0, 1), queries.flatten(0, 1))
        shape = past.shape[:2]
        back = Tracked(*(part.unflatten(0, shape) for part in (found.theta, found.patch, found.affinity)))
        again = self.tracker(pictures[:, -1], back.patch.flatten(1, 2)).theta  # (B, k * Q, 3)
        return back, again.unflatten(1, (-1, query.shape[1]))

    def _long_cycles(self, pictures: Tensor, query: Tensor) -> Tensor:
        """Return theta (B, k, Q, 3) of T^(i)(x_{t-i+1}, T^(-i)(x_{t-1}, x^p)).

        All cycles share one pass backward, since a longer cycle begins as a shorter one does. Forward, the cycles that
        reach a frame are tracked together.
        """
        reached = [query]  # (B, Q, C, p, p) each: on frame t, t - 1, ...
        for picture in pictures[:, :-1].flip(1).unbind(1):
            reached.append(self.tracker(picture, reached[-1]).patch)
        running = reached.pop()  # (B, N * Q, C, p, p): the cycles under way, the longest first
        for picture in pictures[:, 1:].unbind(1):
            found = self.tracker(picture, running)
            running = torch.cat([found.patch, reached.pop()], 1)  # the next shorter cycle turns forward at this frame
        theta: Tensor = found.theta.unflatten(1, (-1, query.shape[1])).flip(1)
        return theta

    def _likeness(self, found: Tracked, query: Tensor) -> Tensor:
        """Return how well the queries were found, (B, k, Q), at most 1."""
        if self.count_inliers:
            return self.tracker.inliers(found)
        cells = self.tracker.patch_cells**2
        products: Tensor = (found.patch * query[:, None]).sum((-3, -2, -1))
        return products / cells
