"""What keeps a network from matching by colour alone: grey frames, or colour dropout and jitter (CorrFlow 3.2)."""

from __future__ import annotations

import torch
from torch import Tensor

from propagate.ops.picture import grey, luma

DROPPED = (0.3, 0.35, 0.35)  # probability that 0, 1 or 2 channels are zeroed: the published code's, the paper has none
JITTER = 0.1  # greatest relative change of brightness, contrast and saturation


def drop_channels(rgb: Tensor, *, random: torch.Generator) -> Tensor:
    """Return frames with 0, 1 or 2 of their channels zeroed and the others scaled by 3 / (3 - n).

    The paper drops "in each input frame", so every frame draws for itself; the published code treats all frames of a
    clip alike. How often, and the scale, which keeps the mean, are the published code's, for the paper does not say.

    Args:
        rgb: (N, 3, H, W).
        random: on the CPU.
    """
    counts = torch.multinomial(torch.tensor(DROPPED), len(rgb), replacement=True, generator=random)  # (N,)
    ranks = torch.rand(len(rgb), 3, generator=random).argsort(1)  # a random order of the channels
    share = torch.where(ranks >= counts[:, None], 3 / (3 - counts[:, None]), 0.0)  # (N, 3)
    return rgb * share.to(rgb)[:, :, None, None]


def jitter(rgb: Tensor, *, random: torch.Generator, most: float = JITTER) -> Tensor:
    """Return frames whose brightness, contrast and saturation, in this order, are changed by up to `most` each.

    Brightness is multiplied; contrast is stretched about the frame's mean luma, saturation about each pixel's luma.
    Every frame draws for itself.

    Args:
        rgb: (N, 3, H, W) in [0, 1], and so is the result.
        random: on the CPU.
        most: relative change.
    """
    factors = 1 + most * (2 * torch.rand(3, len(rgb), generator=random) - 1)
    brightness, contrast, saturation = factors.to(rgb)[:, :, None, None, None].unbind()  # (N, 1, 1, 1) each
    rgb = (rgb * brightness).clamp(0, 1)
    mean = luma(rgb).mean((-2, -1), keepdim=True)
    rgb = (mean + (rgb - mean) * contrast).clamp(0, 1)
    light = luma(rgb)
    return (light + (rgb - light) * saturation).clamp(0, 1)


def bottleneck(clips: Tensor, *, color: bool, random: torch.Generator) -> Tensor:
    """Return what the network sees of clips: jittered frames with channels dropped, or jittered grey ones.

    Args:
        clips: (B, T, 3, H, W) in [0, 1].
        color: False for the ablation of CorrFlow 4.1.1, grey frames in place of colour dropout.
        random: on the CPU.
    """
    frames = clips.flatten(0, 1)
    if color:
        seen = drop_channels(jitter(frames, random=random), random=random)
    else:
        seen = jitter(grey(frames), random=random)
    return seen.view_as(clips)
