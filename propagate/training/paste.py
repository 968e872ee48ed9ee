"""Pieces of other clips that move across a clip: things whose motion the rest of the picture does not tell."""

from __future__ import annotations

import torch
from torch import Tensor

SMALLEST, LARGEST = 0.08, 0.4  # of a piece's height and width, shares of the side
FASTEST = 1 / 16  # of the side a frame, 2 cells of 32


def paste(clips: Tensor, *, count: int, random: torch.Generator) -> Tensor:
    """Return clips across which ellipses cut from the next clip of the batch move, each in a straight line.

    In a batch of one they are cut from the clip itself. A piece shows, frame by frame, what the other clip shows at one
    place. Its speed is drawn evenly from 0 to `FASTEST`; so some stand still while the picture behind them moves.

    Args:
        clips: (B, T, C, S, S).
        count: of pieces in each clip; 0 returns the clips.
        random: on the CPU.

    Returns:
        (B, T, C, S, S), a new tensor unless `count` is 0.
    """
    if count == 0:
        return clips
    others, pasted = clips.roll(-1, 0), clips.clone()
    for clip, other in zip(pasted, others, strict=True):
        for _ in range(count):
            _paste_one(clip, other, random)
    return pasted


def _paste_one(clip: Tensor, other: Tensor, random: torch.Generator) -> None:
    """Paste one piece of `other` (T, C, S, S) into `clip`, in place."""
    frames, side = clip.shape[0], clip.shape[-1]
    draw = torch.rand(8, generator=random)
    height, width = (max(1, int(side * share)) for share in (SMALLEST + (LARGEST - SMALLEST) * draw[:2]).tolist())
    top, left = int(draw[2] * (side - height + 1)), int(draw[3] * (side - width + 1))
    speed, angle = draw[6] * FASTEST * side, 2 * torch.pi * draw[7]
    step = torch.stack((angle.sin(), angle.cos())) * speed
    middle = draw[4:6] * side - torch.tensor((height, width)) / 2
    inside = _ellipse(height, width).to(clip.device)
    for frame in range(frames):
        down, right = (middle + (frame - (frames - 1) / 2) * step).round().int().tolist()
        rows, columns = _overlap(down, height, side), _overlap(right, width, side)
        if rows[0] >= rows[1] or columns[0] >= columns[1]:
            continue
        seen = clip[frame, :, rows[0] + down : rows[1] + down, columns[0] + right : columns[1] + right]
        piece = other[frame, :, top + rows[0] : top + rows[1], left + columns[0] : left + columns[1]]
        seen.copy_(torch.where(inside[rows[0] : rows[1], columns[0] : columns[1]], piece, seen))


def _overlap(start: int, length: int, side: int) -> tuple[int, int]:
    """Return the first and the end of a piece's rows that lie in the picture."""
    return max(0, -start), min(length, side - start)


def _ellipse(height: int, width: int) -> Tensor:
    """Return (height, width): True within the ellipse that fills it."""
    y, x = ((torch.arange(n) + 0.5) * 2 / n - 1 for n in (height, width))
    return y[:, None].square() + x.square() <= 1
