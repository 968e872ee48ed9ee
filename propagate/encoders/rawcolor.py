"""`rawcolor`: the mean colour of each cell, no training: the baseline that every learned encoder must beat."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from propagate.encoders.protocol import check_rgb
from propagate.ops.color import rgb_to_lab

PATCH = 3  # sub-cells along a side of the luma patch
# "distance" scores -1/2 |q - k|^2, so temperature 1/480 is a logit of -240 |dLab|^2, over a 3x3 neighbourhood.
# Tuned on davis_dev: single cells at -60 with top-10 reach J 0.711, these settings 0.755. Frozen: `rawcolor.json` of
# tests/benchmarks holds them with their score, and a test holds the two equal.
PRESET: Mapping[str, object] = {
    "size": 240,
    "context": 10,
    "keep_annotated": True,
    "radius": 12,
    "window": "circle",
    "topk": 5,
    "temperature": 1.0 / 480.0,
    "similarity": "distance",
    "patch": 3,
    "label_scale": 1,
    "feedback": "soft",
}


class RawColor(nn.Module):
    """Each cell's mean Lab as (L / 50 - 1, a / 50, b / 50), always float32, compared by distance.

    Args:
        stride: pixels along a side of a cell.
        patch: for grey input (colorize): instead of Lab, the 3x3 grid of mean L / 50 - 1 within the cell, over 3, so
            that a squared distance is the mean over the nine sub-cells and keeps the scale of one L channel.
    """

    name = "rawcolor"
    temporal = 0
    exact = True

    def __init__(self, *, stride: int = 4, patch: bool = False) -> None:
        super().__init__()
        if stride < 1:
            raise ValueError(f"stride must be 1 or more, not {stride}")
        self.settings: Mapping[str, object] = {"stride": stride, "patch": patch}
        self.preset: Mapping[str, object] = dict(PRESET)
        self.stride, self.patch = stride, patch
        self.offset = (stride - 1) / 2
        self.channels = PATCH * PATCH if patch else 3

    def encode(self, rgb: Tensor) -> Tensor:
        """Return (B, 3 or 9, ceil(H/s), ceil(W/s)) float32 of (B, 3, H, W) pictures in [0, 1]."""
        check_rgb(rgb)
        lab = rgb_to_lab(self._padded(rgb.float()))  # (B, 3, s*h, s*w)
        if self.patch:
            return self._luma_patch(lab[:, :1] / 50.0 - 1.0)
        mean = F.avg_pool2d(lab, self.stride)  # (B, 3, h, w)
        return mean / 50.0 - torch.tensor((1.0, 0.0, 0.0), device=rgb.device).view(3, 1, 1)

    def embed(self, stack: Tensor) -> Tensor:
        """Return `stack` (T, C, h, w) itself: frames are embedded alone."""
        return stack

    def _padded(self, rgb: Tensor) -> Tensor:
        """Return `rgb` with its right and bottom edges repeated up to a multiple of the stride."""
        height, width = rgb.shape[-2:]
        return F.pad(rgb, (0, -width % self.stride, 0, -height % self.stride), mode="replicate")

    def _luma_patch(self, luma: Tensor) -> Tensor:
        """Return (B, 9, h, w) sub-cell means of (B, 1, s*h, s*w); sub-cells overlap where 3 does not divide s."""
        height, width = (n // self.stride * PATCH for n in luma.shape[-2:])
        return F.pixel_unshuffle(F.adaptive_avg_pool2d(luma, (height, width)), PATCH) / PATCH
