"""Colour spaces, luma, and from a decoded picture to what an encoder sees."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

# linear sRGB -> XYZ (IEC 61966-2-1), rows X, Y, Z
XYZ_FROM_RGB = (
    (0.412453, 0.357580, 0.180423),
    (0.212671, 0.715160, 0.072169),
    (0.019334, 0.119193, 0.950227),
)
D65_WHITE = (0.95047, 1.0, 1.08883)
LINEAR_BELOW = 0.04045  # sRGB's straight part
CUBE_BELOW = 0.008856  # CIE's straight part
CUBE_SLOPE, CUBE_SHIFT = 7.787, 16.0 / 116.0


def rgb_to_lab(rgb: Tensor) -> Tensor:
    """Return CIE Lab (D65) of sRGB pictures.

    Args:
        rgb: (..., 3, H, W) floating, in [0, 1]; or uint8, of which the same comes out sooner, in float32.

    Returns:
        (..., 3, H, W): L in [0, 100], a and b in about [-110, 110].
    """
    linear = _linear(rgb) if rgb.is_floating_point() else _linear_of_levels(rgb)
    xyz = _mix(_matrix(linear), linear).div_(_white(linear))
    straight = (CUBE_SLOPE * xyz).add_(CUBE_SHIFT)
    cube = torch.where(xyz > CUBE_BELOW, xyz.clamp_min(CUBE_BELOW).pow_(1.0 / 3.0), straight)
    x, y, z = cube.unbind(-3)
    return torch.stack((116.0 * y - 16.0, 500.0 * (x - y), 200.0 * (y - z)), dim=-3)


def _linear(rgb: Tensor) -> Tensor:
    """Return linear light in [0, 1] of floating sRGB in [0, 1], of any shape."""
    curved = ((rgb + 0.055) / 1.055).clamp_min(0.0).pow(2.4)
    return torch.where(rgb > LINEAR_BELOW, curved, rgb / 12.92)


def _linear_of_levels(rgb: Tensor) -> Tensor:
    """Return what `_linear` does, of uint8 of any shape: a power for each of the 256 levels instead of each pixel."""
    table = _linear(torch.arange(256, device=rgb.device).float() / 255)
    places = rgb.to(torch.int32, memory_format=torch.contiguous_format)
    return table.index_select(0, places.flatten()).view(rgb.shape)


def lab_to_rgb(lab: Tensor) -> Tensor:
    """Return sRGB of CIE Lab (D65) pictures; colours outside sRGB are clipped.

    Args:
        lab: (..., 3, H, W) floating: L in [0, 100], a and b.

    Returns:
        (..., 3, H, W) in [0, 1].
    """
    lightness, a, b = lab.unbind(-3)
    y = (lightness + 16.0) / 116.0
    cube = torch.stack((y + a / 500.0, y, (y - b / 200.0).clamp_min(0.0)), dim=-3)
    above = CUBE_SLOPE * CUBE_BELOW + CUBE_SHIFT
    xyz = torch.where(cube > above, cube.pow(3), (cube - CUBE_SHIFT) / CUBE_SLOPE) * _white(lab)
    linear = _mix(torch.linalg.inv(_matrix(lab)), xyz)
    curved = 1.055 * linear.clamp_min(LINEAR_BELOW / 12.92).pow(1.0 / 2.4) - 0.055
    return torch.where(linear > LINEAR_BELOW / 12.92, curved, 12.92 * linear).clamp(0.0, 1.0)


def _mix(matrix: Tensor, picture: Tensor) -> Tensor:
    """Return `matrix` (3, 3) applied to the channels of `picture` (..., 3, H, W)."""
    kind = picture.device.type
    with torch.autocast(kind if torch.amp.is_autocast_available(kind) else "cpu", enabled=False):
        return torch.einsum("ij,...jhw->...ihw", matrix, picture)


def _matrix(like: Tensor) -> Tensor:
    return torch.tensor(XYZ_FROM_RGB, dtype=like.dtype, device=like.device)


def _white(like: Tensor) -> Tensor:
    return torch.tensor(D65_WHITE, dtype=like.dtype, device=like.device).view(3, 1, 1)


LUMA = (0.299, 0.587, 0.114)  # Rec. 601, as in skimage and Pillow


def resized(rgb: NDArray[np.uint8], size: tuple[int, int], *, device: torch.device | str) -> Tensor:
    """Return a picture (H, W, 3) as (1, 3, h, w) uint8 on the device, resized with antialiasing to `size` (h, w)."""
    writeable = torch.from_numpy(np.require(rgb, requirements=["C", "W"]))
    picture = writeable.to(device).permute(2, 0, 1)[None]  # channels last in memory
    if tuple(picture.shape[2:]) != size:
        picture = torch.nn.functional.interpolate(picture, size=size, mode="bilinear", antialias=True)
    return picture


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
    picture = resized(rgb, size, device=device).float() / 255
    return grey(picture) if luma_only else picture


def luma(rgb: Tensor) -> Tensor:
    """Return the luma (..., 1, H, W) of (..., 3, H, W) pictures, in their own dtype under autocast too."""
    weights = torch.tensor(LUMA, dtype=rgb.dtype, device=rgb.device).view(3, 1, 1)
    mixed: Tensor = (rgb * weights).sum(-3, keepdim=True)
    return mixed


def grey(rgb: Tensor) -> Tensor:
    """Return the luma of (..., 3, H, W) pictures three times."""
    return luma(rgb).expand_as(rgb)
