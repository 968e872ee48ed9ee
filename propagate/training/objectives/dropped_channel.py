"""A Lab channel that the encoder may not see, rebuilt by pointing into other frames (MAST, Lai et al. 2020).

MAST's network sees Lab with a channel set to zero; an encoder of RGB sees the picture made again with that channel at
its mean over the clip. Dropping both a and b is a grey picture, so this term sees grey as `colorize` shows it.
"""

from __future__ import annotations

import torch
from torch import Tensor

from propagate.ops.clip_pointer import copy_everywhere
from propagate.ops.color import lab_to_rgb, rgb_to_lab
from propagate.training.objectives.tasks import Cells, Task, unit

DROPS = ((1, 0, 0), (0, 1, 0), (0, 0, 1), (0, 1, 1))  # L, a, b, or both a and b: which a clip lacks, evenly
SCALE = (50.0, 20.0, 20.0)  # of L, a, b in the loss: about the spread of each in video
BETA = 0.25  # where the smooth L1 turns straight, in those units


def dropped_channel(clips: Tensor, *, cells: Cells, temperature: float, random: torch.Generator) -> Task:
    """Return the term of one step: each clip without a channel; the last frame is rebuilt from all before it.

    Args:
        clips: (B, T, 3, S, S) in [0, 1], T at least 2.
        cells: of the encoder.
        temperature: divides the cosine.
        random: on the CPU.
    """
    lab = rgb_to_lab(clips)
    which = torch.randint(len(DROPS), (len(clips),), generator=random)
    dropped = torch.tensor(DROPS, dtype=torch.bool)[which].to(clips.device)  # (B, 3)
    mean = lab.mean((1, 3, 4), keepdim=True)
    shown = lab_to_rgb(torch.where(dropped[:, None, :, None, None], mean, lab))
    scale = torch.tensor(SCALE, dtype=lab.dtype, device=lab.device).view(3, 1, 1)
    labels = cell_means(lab.flatten(0, 1) / scale, cells).unflatten(0, lab.shape[:2])  # (B, T, 3, h, w)

    def loss(features: Tensor) -> Tensor:
        views = features.unflatten(0, lab.shape[:2])  # (B, T, C, h, w)
        return rebuilding_loss(views, labels.to(views.dtype), dropped, temperature=temperature)

    return Task(shown.flatten(0, 1), loss)


def rebuilding_loss(views: Tensor, labels: Tensor, dropped: Tensor, *, temperature: float) -> Tensor:
    """Return the smooth L1 between the last frame's dropped channels and those the pointer copies from the others.

    Args:
        views: (B, T, C, h, w) features.
        labels: (B, T, 3, h, w) scaled Lab.
        dropped: (B, 3) the channels that count; each clip counts the same.
        temperature: divides the cosine.
    """
    flat = unit(views)
    rebuilt = copy_everywhere(flat[:, -1], flat[:, :-1], labels[:, :-1], temperature=temperature)  # (B, 3, h, w)
    wrong = torch.nn.functional.smooth_l1_loss(rebuilt, labels[:, -1], beta=BETA, reduction="none").mean((2, 3))
    counted = dropped.to(wrong.dtype)
    return ((wrong * counted).sum(1) / counted.sum(1)).mean()


def cell_means(pictures: Tensor, cells: Cells) -> Tensor:
    """Return the mean of (N, C, H, W) pictures around each cell's centre, over what a cell spans: (N, C, h, w).

    With an offset of 0 and an even stride s the span is s + 1 pixels, centred, of which the border cuts a part.
    """
    if cells.offset:
        raise ValueError(f"cells at an offset of {cells.offset} pixels: only 0 is known here")
    reach = cells.stride // 2
    return torch.nn.functional.avg_pool2d(
        pictures, 2 * reach + 1, stride=cells.stride, padding=reach, count_include_pad=False
    )
