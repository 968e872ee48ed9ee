"""Walks through time and back over dense cells, as CRW's palindromes (Jabri et al. 2020), between known crops.

CRW walks over patches; a dense network would solve that by position, so here every frame is cropped by itself, the
first one twice, and a walk that leaves a cell of its first crop has to come home to that place in the second.
"""

from __future__ import annotations

import torch
from torch import Tensor

from propagate.training.augment import change_look
from propagate.training.objectives.tasks import FLOOR, Cells, Task, log_pointer, place_loss, unit
from propagate.training.warps import crop_fields, draw_crops, inside, into_crops, look

STRENGTH = 0.5  # of the colour changes: real frames differ by themselves
GREY = 0.15  # share of pictures
WALKERS = 256  # cells of the first crop that walks begin from, drawn anew each step


def palindrome(clips: Tensor, *, cells: Cells, temperature: float, random: torch.Generator) -> Task:
    """Return the term of one step: views of frames 0, 1, ..., T-1 and 0 again, each its own crop and look.

    Args:
        clips: (B, T, 3, S, S) in [0, 1], T at least 2.
        cells: of the encoder.
        temperature: divides the cosine.
        random: on the CPU.
    """
    count, size = len(clips), (clips.shape[3], clips.shape[4])
    route = torch.cat([clips, clips[:, :1]], 1)  # (B, V, 3, S, S) with V = T + 1
    crops = draw_crops(count * route.shape[1], size, random=random).to(clips)
    fields = crop_fields(crops, size)
    shown = change_look(look(route.flatten(0, 1), fields), strength=STRENGTH, grey=GREY, random=random)
    each = crops.view(count, -1, 3)
    begun = fields.unflatten(0, (count, -1))[:, 0]  # (B, S, S, 2) pixels of the clip
    home = into_crops(begun, each[:, -1])
    # Motion aside, a walker meets its place in every crop.
    known = torch.stack([inside(into_crops(begun, crop), size) for crop in each.unbind(1)]).all(0)  # (B, S, S)
    drawn = torch.randperm(cells.at_centres(known).flatten(1).shape[1], generator=random)[:WALKERS].to(clips.device)

    def loss(features: Tensor) -> Tensor:
        views = features.unflatten(0, (count, -1))  # (B, V, C, h, w)
        places = cells.from_pixels(cells.at_centres(home)).flatten(1, 2)[:, drawn]
        seen = cells.at_centres(known).flatten(1)[:, drawn]
        return walk_loss(views, places, seen, walkers=drawn, temperature=temperature)

    return Task(shown, loss)


def walk_loss(views: Tensor, places: Tensor, known: Tensor, *, walkers: Tensor, temperature: float) -> Tensor:
    """Return how far walks end from home, the mean over palindromes of every length (CRW's sub-cycles).

    Args:
        views: (B, V, C, h, w) features: frames 0, 1, ..., V-2 in time, and frame 0 again.
        places: (B, Q, 2) fractional cells column, row of the last view where each walk should end.
        known: (B, Q) walks that count: their end is on the last view.
        walkers: (Q,) cells of the first view where the walks begin.
        temperature: divides the cosine.
    """
    shape = (views.shape[3], views.shape[4])
    flat = unit(views).flatten(3)  # (B, V, C, h*w)
    inner = known & inside(places, shape)
    losses, there, back = [], None, None
    for far in range(1, flat.shape[1] - 1):
        start = flat[:, far - 1] if far > 1 else flat[:, 0][:, :, walkers]
        step = log_pointer(start, flat[:, far], temperature=temperature).exp()
        there = step if there is None else there @ step  # (B, Q, M): from the walkers to frame `far`
        end = flat[:, -1] if far == 1 else flat[:, far - 1]
        home = log_pointer(flat[:, far], end, temperature=temperature).exp()
        back = home if back is None else home @ back  # (B, M, M): from frame `far` to the last view
        losses.append(place_loss((there @ back + FLOOR).log(), places, inner, shape=shape))
    return torch.stack(losses).mean()
