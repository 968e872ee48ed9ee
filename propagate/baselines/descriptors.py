"""Dense SIFT: a descriptor at every pixel, 8 orientations in each of 4x4 cells (Lowe, 2004; Liu et al., 2011)."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from propagate.baselines.luma import luma

ORIENTATIONS, CELLS = 8, 4  # a descriptor has ORIENTATIONS * CELLS * CELLS values
CELL = 3  # pixels on a cell's side, as the authors' demo
CLIP = 0.2  # of a normalised value, so that one strong edge does not drown the rest (Lowe)
CONTRAST = 0.01  # added to the length, in gradients of a picture in [0, 1]: noise on flat surfaces stays small


def dense_sift(rgb: NDArray[np.uint8]) -> Tensor:
    """Return descriptors (H, W, 128) float32 of a picture (H, W, 3), none longer than 1."""
    histograms = _cells(_orientations(torch.from_numpy(luma(rgb))))  # (8, H + 9, W + 9)
    height, width = rgb.shape[:2]
    parts = [
        histograms[:, CELL * row : CELL * row + height, CELL * column : CELL * column + width]
        for row in range(CELLS)
        for column in range(CELLS)
    ]
    descriptors = torch.cat(parts).permute(1, 2, 0).contiguous()
    return _normalised(_normalised(descriptors).clamp_(max=CLIP))


def _orientations(grey: Tensor) -> Tensor:
    """Return a grey picture's (H, W) length of gradient, shared between the two nearest of 8 directions: (8, H, W)."""
    padded = torch.nn.functional.pad(grey[None, None], (1, 1, 1, 1), mode="replicate")[0, 0]
    dx = (padded[1:-1, 2:] - padded[1:-1, :-2]) / 2
    dy = (padded[2:, 1:-1] - padded[:-2, 1:-1]) / 2
    turn = torch.atan2(dy, dx) * (ORIENTATIONS / (2 * math.pi))  # in directions, -4 to 4
    away = (turn[None] - torch.arange(ORIENTATIONS).view(-1, 1, 1)).remainder(ORIENTATIONS)
    share = (1 - torch.minimum(away, ORIENTATIONS - away)).clamp(min=0)
    return share * torch.hypot(dx, dy)


def _cells(orientations: Tensor) -> Tensor:
    """Return the sums (8, H + 9, W + 9) over cells whose centres lie half way between pixels, from -4.5 on.

    A cell takes from the pixels within `CELL` of its centre, less with distance: SIFT's linear binning.
    """
    around = torch.arange(2 * CELL) - (CELL - 0.5)  # (6,) pixels from the centre
    tent = 1 - around.abs() / CELL
    reach = CELL * (CELLS - 1) // 2 + CELL  # 7: the outermost tap of the outermost cell
    padded = torch.nn.functional.pad(orientations[:, None], (reach,) * 4, mode="replicate")
    across = torch.nn.functional.conv2d(padded, tent.view(1, 1, 1, -1))
    return torch.nn.functional.conv2d(across, tent.view(1, 1, -1, 1))[:, 0]


def _normalised(descriptors: Tensor) -> Tensor:
    """Return descriptors (H, W, D), each divided by its length and a little more."""
    length: Tensor = torch.linalg.vector_norm(descriptors, dim=2, keepdim=True)
    return descriptors / (length + CONTRAST)
