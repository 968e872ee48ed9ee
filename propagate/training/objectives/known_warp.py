"""The pointer supervised by a known warp: a picture and itself moved, bent, hidden in part, and in other colours.

Synthetic motion of single pictures, with the cross-entropy of the pointer itself against the cell that each target cell
came from. What is hidden or outside is left out.
"""

from __future__ import annotations

import torch
from torch import Tensor

from propagate.training.augment import change_look
from propagate.training.objectives.tasks import Cells, Task, log_pointer, place_loss, unit
from propagate.training.warps import KnownPair, inside, known_pair

STRENGTH = 1.0  # of the colour changes: features that ignore colour combine best with colour itself at test
GREY = 0.25  # share of pictures, each side by itself


def known_warp(clips: Tensor, *, cells: Cells, temperature: float, random: torch.Generator) -> Task:
    """Return the term of one step: one frame of each clip, warped; pieces of the batch's next clip pasted in.

    Args:
        clips: (B, T, 3, S, S) in [0, 1].
        cells: of the encoder.
        temperature: divides the cosine.
        random: on the CPU.
    """
    frame = torch.randint(clips.shape[1], (len(clips),), generator=random).to(clips.device)
    pictures = clips[torch.arange(len(clips), device=clips.device), frame]  # (B, 3, S, S)
    pair = known_pair(pictures, pictures.roll(1, 0), random=random)
    shown = change_look(torch.cat([pair.source, pair.target]), strength=STRENGTH, grey=GREY, random=random)
    return Task(shown, lambda features: pair_loss(features, pair, cells=cells, temperature=temperature))


def pair_loss(features: Tensor, pair: KnownPair, *, cells: Cells, temperature: float) -> Tensor:
    """Return the loss of the pointer from the targets of known pairs into their sources.

    Args:
        features: (2 * B, C, h, w), the sources' and then the targets'.
        pair: of B.
        cells: of the encoder.
        temperature: divides the cosine.
    """
    keys, query = unit(features).flatten(2).chunk(2)
    shape = (features.shape[2], features.shape[3])
    places = cells.from_pixels(cells.at_centres(pair.places)).flatten(1, 2)  # (B, Q, 2)
    known = cells.at_centres(pair.visible).flatten(1) & inside(places, shape)
    return place_loss(log_pointer(query, keys, temperature=temperature), places, known, shape=shape)
