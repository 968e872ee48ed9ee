"""Warps, crops and changes of light of a training clip."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from propagate.ops.color import LUMA, grey


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
    """Return pairs made of pictures with pieces of other pictures pasted in front; background and piece move apart.

    A piece is in both pictures of its pair. It moves by a warp of its own, so it hides and uncovers the background as a
    moving object does, and its pixels have a known place in the source too.

    Args:
        pictures: (B, 3, H, W), the backgrounds.
        others: (B, 3, H, W), the pieces are cut from these.
        random: draws the numbers; a generator on the CPU.
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
        random: draws the numbers; a generator on the CPU.
        device: where the fields are made.
        turn: largest rotation, in radians, either way.
        scale: largest logarithm of the zoom, either way; the ratio of width to height changes by a quarter of it.
        shift: largest shift of the centre, either way, as a share of the picture's side.
        bend: standard deviation of the smooth bending, as a share of the picture's side.
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
    """Return (count, 3) crops on the CPU: x and y of the first pixel, and how many of the picture's pixels one spans.

    Args:
        count: how many.
        size: (H, W) of the picture; the crop is enlarged to it.
        random: draws the numbers; a generator on the CPU.
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
        outside: what is read beyond the border: "reflection", "border" or "zeros".
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


# Rec. 601's luma and two axes of chroma (NTSC I and Q): rotating their plane changes hue, scaling it saturation.
YIQ = (LUMA, (0.5959, -0.2746, -0.3213), (0.2115, -0.5227, 0.3112))
BLUR_REACH = 3  # pixels to each side


def uniform(count: int, low: float, high: float, *, random: torch.Generator, device: torch.device | str) -> Tensor:
    """Return (count,) numbers drawn evenly from [low, high)."""
    return (torch.rand(count, generator=random) * (high - low) + low).to(device)


def chosen(count: int, share: float, *, random: torch.Generator, device: torch.device | str) -> Tensor:
    """Return (count,) true with probability `share`."""
    return (torch.rand(count, generator=random) < share).to(device)


def change_look(pictures: Tensor, *, strength: float, grey: float, random: torch.Generator) -> Tensor:
    """Return pictures with changed colours, light, sharpness and noise, drawn for each picture by itself.

    Args:
        pictures: (N, 3, H, W) in [0, 1].
        strength: 0 leaves colours and light as they are; at 1 little but the order of brightness is left of them.
        grey: share of pictures that become grey.
        random: draws the numbers; a generator on the CPU.

    Returns:
        (N, 3, H, W) in [0, 1].
    """
    changed = shade(change_colors(pictures, strength=strength, random=random), strength=strength, random=random)
    soft = blur(make_grey(changed, share=grey, random=random), random=random)
    return add_noise(soft, random=random)


def change_colors(pictures: Tensor, *, strength: float, random: torch.Generator) -> Tensor:
    """Return pictures with other brightness, contrast, saturation, hue and gamma.

    Args:
        pictures: (N, 3, H, W) in [0, 1].
        strength: at 1 the hue turns by any angle; saturation is times 0 to 2, contrast times 0.4 to 1.6, brightness
            plus -0.3 to 0.3, gamma 0.5 to 2.
        random: draws the numbers; a generator on the CPU.

    Returns:
        (N, 3, H, W) in [0, 1].
    """
    count, device = len(pictures), pictures.device

    def around(middle: float, reach: float) -> Tensor:
        drawn = uniform(count, -1.0, 1.0, random=random, device=device) * (strength * reach) + middle
        return drawn.to(pictures.dtype).view(-1, 1, 1, 1)

    mixed = turn_chroma(pictures, turn=around(0.0, torch.pi).flatten(), scale=around(1.0, 1.0).flatten())
    middle = mixed.mean((1, 2, 3), keepdim=True)
    lit = (mixed - middle) * around(1.0, 0.6) + middle + around(0.0, 0.3)
    return lit.clamp(0.0, 1.0).clamp_min(1e-4).pow(2.0 ** around(0.0, 1.0))


def turn_chroma(pictures: Tensor, *, turn: Tensor, scale: Tensor) -> Tensor:
    """Return (N, 3, H, W) pictures, unclipped, with hue turned by (N,) radians and saturation times (N,) `scale`."""
    to_yiq = torch.tensor(YIQ, dtype=torch.float64)
    from_yiq = torch.linalg.inv(to_yiq).to(pictures)
    middle = torch.zeros(len(pictures), 3, 3, dtype=pictures.dtype, device=pictures.device)
    middle[:, 0, 0] = 1.0
    middle[:, 1, 1] = middle[:, 2, 2] = scale * turn.cos()
    middle[:, 1, 2], middle[:, 2, 1] = -scale * turn.sin(), scale * turn.sin()
    matrix = from_yiq @ middle @ to_yiq.to(pictures)  # (N, 3, 3)
    return torch.einsum("nij,njhw->nihw", matrix, pictures)


def make_grey(pictures: Tensor, *, share: float, random: torch.Generator) -> Tensor:
    """Return (N, 3, H, W) pictures, a share of them replaced by their luma, repeated three times."""
    picked = chosen(len(pictures), share, random=random, device=pictures.device)
    return torch.where(picked.view(-1, 1, 1, 1), grey(pictures), pictures)


def shade(pictures: Tensor, *, strength: float, random: torch.Generator) -> Tensor:
    """Return (N, 3, H, W) pictures in [0, 1] under a light that varies smoothly over the picture, by up to about 2."""
    size = (pictures.shape[2], pictures.shape[3])
    light = smooth_noise(len(pictures), 1, size=size, knots=3, random=random, device=pictures.device)
    return (pictures * (0.3 * strength * light).exp().to(pictures.dtype)).clamp(0.0, 1.0)


def smooth_noise(
    count: int,
    channels: int,
    *,
    size: tuple[int, int],
    knots: int,
    random: torch.Generator,
    device: torch.device | str = "cpu",
) -> Tensor:
    """Return (count, channels, H, W) smooth fields: random numbers on knots x knots points, interpolated bicubically.

    The numbers are normal, of variance 1. The outer points lie on the picture's border.
    """
    coarse = torch.randn(count, channels, knots, knots, generator=random).to(device)
    return torch.nn.functional.interpolate(coarse, size=size, mode="bicubic", align_corners=True)


def blur(pictures: Tensor, *, random: torch.Generator, share: float = 0.3, widest: float = 1.5) -> Tensor:
    """Return (N, 3, H, W) pictures, a share of them blurred by a Gaussian of 0.3 to `widest` pixels."""
    count, device = len(pictures), pictures.device
    width = uniform(count, 0.3, widest, random=random, device=device)
    picked = chosen(count, share, random=random, device=device)
    steps = torch.arange(-BLUR_REACH, BLUR_REACH + 1, device=device)
    fall = torch.exp(-0.5 * (steps / width[:, None]).square())  # (N, 7)
    fall = torch.where(picked[:, None], fall, (steps == 0).to(fall))
    fall = (fall / fall.sum(1, keepdim=True)).to(pictures.dtype).repeat_interleave(pictures.shape[1], 0)
    rows = pictures.flatten(0, 1)[None]  # (1, N*3, H, W)
    rows = torch.nn.functional.pad(rows, (BLUR_REACH,) * 4, mode="replicate")
    rows = torch.nn.functional.conv2d(rows, fall[:, None, None, :], groups=len(fall))
    rows = torch.nn.functional.conv2d(rows, fall[:, None, :, None], groups=len(fall))
    return rows.view_as(pictures)


def add_noise(pictures: Tensor, *, random: torch.Generator, share: float = 0.3, widest: float = 0.06) -> Tensor:
    """Return (N, 3, H, W) pictures in [0, 1], a share of them with Gaussian noise of up to `widest`."""
    count, device = len(pictures), pictures.device
    width = uniform(count, 0.0, widest, random=random, device=device)
    width = width * chosen(count, share, random=random, device=device)
    seed = int(torch.randint(2**62, (), generator=random))
    there = torch.Generator(device).manual_seed(seed)
    noise = torch.randn(pictures.shape, generator=there, device=device, dtype=pictures.dtype)
    return (pictures + noise * width.to(pictures.dtype).view(-1, 1, 1, 1)).clamp(0.0, 1.0)
