"""Sampling a picture at given places."""

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
