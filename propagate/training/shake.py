"""A camera that shakes: every frame of a clip is cut elsewhere, so that the place of a thing does not tell it again."""

from __future__ import annotations

import torch
from torch import Tensor


def shake(clips: Tensor, *, by: int, random: torch.Generator) -> Tensor:
    """Return clips whose frames are windows of the given ones, each frame's at a place of its own.

    How strongly a clip shakes is drawn evenly from 0 to 1; its windows lie that share of the way from one place, which
    they have in common, to places drawn for each frame alone.

    Args:
        clips: (B, T, C, S, S).
        by: pixels, how much smaller the windows are; 0 returns the clips.
        random: on the CPU.

    Returns:
        (B, T, C, S - by, S - by).
    """
    if by == 0:
        return clips
    batch, frames, size = clips.shape[0], clips.shape[1], clips.shape[3] - by
    common = torch.rand(batch, 1, 2, generator=random)
    own = torch.rand(batch, frames, 2, generator=random)
    strength = torch.rand(batch, 1, 1, generator=random)
    places = (torch.lerp(common, own, strength) * (by + 1)).long()  # (B, T, 2) top, left
    windows: list[Tensor] = [
        frame[:, top : top + size, left : left + size]
        for clip, at in zip(clips, places.tolist(), strict=True)
        for frame, (top, left) in zip(clip, at, strict=True)
    ]
    return torch.stack(windows).view(batch, frames, -1, size, size)
