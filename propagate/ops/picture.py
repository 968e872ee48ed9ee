"""From a decoded picture to what an encoder sees."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

LUMA = (0.299, 0.587, 0.114)  # Rec. 601, as in skimage and Pillow


def to_input(
    rgb: NDArray[np.uint8], size: tuple[int, int], *, device: torch.device | str, luma_only: bool = False
) -> Tensor:
    """Return a picture as (1, 3, h, w) float32 in [0, 1], resized with antialiasing.

    Args:
        rgb: (H, W, 3).
        size: (h, w).
        device: where the result lives.
        luma_only: show its luma three times instead of its colours.
    """
    picture = (
        torch.from_numpy(np.require(rgb, requirements=["C", "W"])).to(device).permute(2, 0, 1)[None]
    )  # channels last in memory
    if tuple(picture.shape[2:]) != size:
        picture = torch.nn.functional.interpolate(picture, size=size, mode="bilinear", antialias=True)
    picture = picture.float() / 255
    if not luma_only:
        return picture
    weights = torch.tensor(LUMA, device=picture.device).view(1, 3, 1, 1)
    return (picture * weights).sum(1, keepdim=True).expand(-1, 3, -1, -1)


def luma(rgb: Tensor) -> Tensor:
    """Return the luma (..., 1, H, W) of (..., 3, H, W) pictures, in their own dtype under autocast too."""
    weights = torch.tensor(LUMA, dtype=rgb.dtype, device=rgb.device).view(3, 1, 1)
    mixed: Tensor = (rgb * weights).sum(-3, keepdim=True)
    return mixed


def grey(rgb: Tensor) -> Tensor:
    """Return the luma of (..., 3, H, W) pictures three times."""
    return luma(rgb).expand_as(rgb)
