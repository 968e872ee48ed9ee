"""Known changes of place: crops, affine and bent warps, and a piece of another picture pasted in front.

A field is (B, H, W, 2): for each pixel of the new picture the pixel x, y of the old one that is seen there.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from propagate.training.augment import smooth_noise, uniform


@dataclass(frozen=True)
class KnownPair:
    """Two pictures of which it is known where each pixel of the second lies in the first.

    Attributes:
        source: (B, 3, H, W), the reference.
        target: (B, 3, H, W).
        places: (B, H, W, 2) pixel x, y in `source` of each pixel of `target`.
        visible: (B, H, W), false where that pixel is outside or hidden in `source`.
    """

    source: Tensor
    target: Tensor
    places: Tensor
    visible: Tensor


def known_pair(pictures: Tensor, others: Tensor, *, random: torch.Generator) -> KnownPair:
    """Return pictures with pieces of others in front, and both moved, each by its own warp.

    The pieces are in both pictures of a pair and move by themselves, so their borders are those of things that move,
    they hide and uncover what is behind, and where they are seen their own place is known as well.

    Args:
        pictures: (B, 3, H, W), what is behind.
        others: (B, 3, H, W), what the pieces are cut from.
        random: on the CPU.
    """
    count, size = len(pictures), (pictures.shape[2], pictures.shape[3])
    device, dtype = pictures.device, pictures.dtype
    back = draw_field(count, size, random=random, device=device).to(dtype)
    front = draw_field(count, size, random=random, device=device).to(dtype)
    piece = draw_pieces(count, size, random=random, device=device).to(dtype)  # (B, 1, H, W), 0 or 1
    source = torch.where(piece > 0.5, others, pictures)
    seen = look(piece, front, outside="zeros") > 0.5
    target = torch.where(seen, look(others, front), look(pictures, back))
    hidden = look(piece, back, outside="zeros") > 0.5
    places = torch.where(seen[:, 0, :, :, None], front, back)
    visible = inside(places, size) & (seen | ~hidden)[:, 0]
    return KnownPair(source, target, places, visible)


def draw_field(
    count: int,
    size: tuple[int, int],
    *,
    random: torch.Generator,
    device: torch.device | str = "cpu",
    turn: float = 0.5,
    scale: float = 0.4,
    shift: float = 0.2,
    bend: float = 0.04,
) -> Tensor:
    """Return (count, H, W, 2) affine and bent fields.

    Args:
        count: how many.
        size: (H, W).
        random: on the CPU.
        device: where the fields are made.
        turn: radians to each side.
        scale: of the logarithm of the scale, to each side; a quarter of it, each way, for width against height.
        shift: of the centre, share of the side to each side.
        bend: standard deviation of the bending, share of the side.
    """
    height, width = size

    def around(reach: float) -> Tensor:
        return uniform(count, -reach, reach, random=random, device=device)

    angle, zoom, aspect = around(turn), around(scale), around(scale / 4)
    across, down = (zoom + aspect).exp(), (zoom - aspect).exp()
    matrix = torch.stack([angle.cos() * across, -angle.sin() * down, angle.sin() * across, angle.cos() * down], 1)
    side = torch.tensor([width, height], dtype=torch.float32, device=device)
    middle = (side - 1) / 2
    moved = torch.einsum("bij,hwj->bhwi", matrix.view(-1, 2, 2), pixel_grid(size, device=device) - middle)
    shifted = middle + torch.stack([around(shift), around(shift)], 1) * side  # (B, 2)
    noise = smooth_noise(count, 2, size=size, knots=5, random=random, device=device)
    return moved + shifted[:, None, None] + noise.permute(0, 2, 3, 1) * (bend * side)


def draw_crops(count: int, size: tuple[int, int], *, random: torch.Generator, smallest: float = 0.6) -> Tensor:
    """Return (count, 3) crops: x and y of the first pixel, and pixels of the picture a pixel of the crop, on the CPU.

    Args:
        count: how many.
        size: (H, W) of the picture, and of the crop once enlarged.
        random: on the CPU.
        smallest: side of a crop as a share of the picture's, drawn evenly from there to 1.
    """
    share = uniform(count, smallest, 1.0, random=random, device="cpu")
    room = (1 - share)[:, None] * torch.tensor([size[1] - 1.0, size[0] - 1.0])
    return torch.cat([torch.rand(count, 2, generator=random) * room, share[:, None]], 1)


def crop_fields(crops: Tensor, size: tuple[int, int]) -> Tensor:
    """Return the fields (N, H, W, 2) of crops (N, 3)."""
    grid = pixel_grid(size, device=crops.device)
    return crops[:, None, None, :2] + crops[:, None, None, 2:] * grid


def into_crops(places: Tensor, crops: Tensor) -> Tensor:
    """Return where pixels (N, h, w, 2) of the pictures lie in their crops (N, 3)."""
    return (places - crops[:, None, None, :2]) / crops[:, None, None, 2:]


def draw_pieces(
    count: int,
    size: tuple[int, int],
    *,
    random: torch.Generator,
    device: torch.device | str = "cpu",
    share: tuple[float, float] = (0.05, 0.4),
) -> Tensor:
    """Return (count, 1, H, W) of 0 and 1: smooth patches that cover a share of the picture, drawn evenly."""
    height = smooth_noise(count, 1, size=size, knots=5, random=random, device=device)
    cover = uniform(count, *share, random=random, device=device)
    ordered = height.flatten(1).sort(1, descending=True).values  # (count, H*W)
    rank = (cover * (ordered.shape[1] - 1)).long()
    return (height > ordered.gather(1, rank[:, None]).view(-1, 1, 1, 1)).float()


def look(pictures: Tensor, fields: Tensor, *, outside: str = "reflection") -> Tensor:
    """Return (B, C, H, W) pictures as seen through fields, bilinearly.

    Args:
        pictures: (B, C, H, W).
        fields: (B, H', W', 2).
        outside: what is beyond the border: "reflection", "border" or "zeros".
    """
    height, width = pictures.shape[2:]
    last = torch.tensor([max(width - 1, 1), max(height - 1, 1)], dtype=fields.dtype, device=fields.device)
    return torch.nn.functional.grid_sample(
        pictures, fields * (2 / last) - 1, mode="bilinear", padding_mode=outside, align_corners=True
    )


def inside(places: Tensor, size: tuple[int, int]) -> Tensor:
    """Return (...,) whether pixels (..., 2) x, y lie on a picture of (H, W), its outermost centres included."""
    last = torch.tensor([size[1] - 1, size[0] - 1], dtype=places.dtype, device=places.device)
    slack = 1e-4 * math.sqrt(max(size))  # of float32 coordinates
    return ((places >= -slack) & (places <= last + slack)).all(-1)


def pixel_grid(size: tuple[int, int], *, device: torch.device | str = "cpu") -> Tensor:
    """Return (H, W, 2): the x, y of each pixel."""
    rows, columns = (torch.arange(length, dtype=torch.float32, device=device) for length in size)
    y, x = torch.meshgrid(rows, columns, indexing="ij")
    return torch.stack([x, y], -1)
