"""Pictures sampled at fractional places; a weighted median over neighbouring cells."""

from __future__ import annotations

import torch
from torch import Tensor


def sample(picture: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Return a picture at fractional pixels, bilinearly, its border held beyond the edges.

    Args:
        picture: (C, H, W) floating.
        x: (h, w) columns.
        y: (h, w) rows.

    Returns:
        (C, h, w).
    """
    height, width = picture.shape[1:]
    unit_x = x.clamp(0, width - 1) * (2 / max(width - 1, 1)) - 1
    unit_y = y.clamp(0, height - 1) * (2 / max(height - 1, 1)) - 1
    where = torch.stack([unit_x, unit_y], -1)[None].to(picture.dtype)  # (1, h, w, 2)
    return torch.nn.functional.grid_sample(picture[None], where, padding_mode="border", align_corners=True)[0]


LEAST = 1e-6  # of a weight, so that there is a median where nothing counts


def weighted_median(cells: Tensor, weights: Tensor, *, radius: int) -> Tensor:
    """Return the weighted median of each channel over a square around every cell, the border held: (L, h, w).

    Args:
        cells: (L, h, w).
        weights: (h, w), none negative.
        radius: cells to either side.
    """
    values = _windows(cells, radius)  # (L, n, h, w)
    shares = _windows(weights[None], radius).clamp(min=LEAST).expand_as(values)
    ordered, order = values.sort(1)
    reached = shares.gather(1, order).cumsum(1)
    middle = (reached >= reached[:, -1:] / 2).int().argmax(1, keepdim=True)  # the first that reaches one half
    return ordered.gather(1, middle)[:, 0]


def _windows(cells: Tensor, radius: int) -> Tensor:
    """Return the square around every cell, (L, n, h, w)."""
    channels, height, width = cells.shape
    side = 2 * radius + 1
    padded = torch.nn.functional.pad(cells[None], (radius,) * 4, mode="replicate")
    return torch.nn.functional.unfold(padded, side).view(channels, side * side, height, width)
