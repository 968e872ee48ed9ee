"""What changes a picture's look and not where things are in it: colours, light, grey, blur, noise.

All of it is batched and happens where the pictures are; chance comes from a generator on the CPU, a few numbers a
picture, so that a step can be repeated. Noise is drawn on the device, from a seed of that generator.
"""

from __future__ import annotations

import torch
from torch import Tensor

from propagate.ops.picture import LUMA, grey

# Rec. 601's luma and two axes of chroma (NTSC I and Q): hue is a turn in their plane, saturation a scale.
YIQ = (LUMA, (0.5959, -0.2746, -0.3213), (0.2115, -0.5227, 0.3112))
BLUR_REACH = 3  # pixels to each side


def uniform(count: int, low: float, high: float, *, random: torch.Generator, device: torch.device | str) -> Tensor:
    """Return (count,) numbers drawn evenly from [low, high)."""
    return (torch.rand(count, generator=random) * (high - low) + low).to(device)


def chosen(count: int, share: float, *, random: torch.Generator, device: torch.device | str) -> Tensor:
    """Return (count,) true with probability `share`."""
    return (torch.rand(count, generator=random) < share).to(device)


def change_look(pictures: Tensor, *, strength: float, grey: float, random: torch.Generator) -> Tensor:
    """Return pictures with other colours, light, sharpness and noise, each picture its own.

    Args:
        pictures: (N, 3, H, W) in [0, 1].
        strength: 0 leaves colours and light alone, 1 keeps little of them but the order of brightness.
        grey: share of pictures that become grey.
        random: on the CPU.

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
        strength: at 1 the hue is any, saturation 0 to 2, contrast 0.4 to 1.6, brightness +-0.3, gamma 0.5 to 2.
        random: on the CPU.

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
    """Return (N, 3, H, W) pictures, a share of them as their luma three times, as encoders see old films."""
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
    """Return (count, channels, H, W) smooth fields: unit normal numbers on knots x knots, bicubic between.

    The knots span the picture, the outer ones on its border.
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
