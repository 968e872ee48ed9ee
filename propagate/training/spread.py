"""Chroma of a clip spread over the plane, so that things whose colours hardly differ get colours that do."""

from __future__ import annotations

import math

import torch
from torch import Tensor

MOST = 6.0  # times; what is all but grey holds little besides the noise of its coding


def spread(chroma: Tensor, *, to: float, random: torch.Generator) -> Tensor:
    """Return the chroma of clips less the clip's mean, turned by an angle drawn for the clip, and scaled.

    A pointer has to tell which colour of the reference a cell has, whatever that colour is; so any change that is the
    same for all frames of a clip leaves the task as it was.

    Args:
        chroma: (B, T, 2, H, W), a and b of Lab.
        to: Lab units, the root of the mean square distance from the mean; no clip is scaled by more than `MOST`. 0
            returns the chroma.
        random: on the CPU.

    Returns:
        (B, T, 2, H, W).
    """
    if to == 0:
        return chroma
    angle = (2 * math.pi * torch.rand(len(chroma), generator=random)).to(chroma)
    cosine, sine = angle.cos(), angle.sin()
    turn = torch.stack((torch.stack((cosine, -sine), -1), torch.stack((sine, cosine), -1)), 1)  # (B, 2, 2)
    centred = chroma - chroma.mean((1, 3, 4), keepdim=True)
    distance = centred.square().sum(2).mean((1, 2, 3)).sqrt()  # (B,)
    scale = (to / distance.clamp(min=to / MOST)).view(-1, 1, 1)
    return torch.einsum("bij,btjhw->btihw", turn * scale, centred)
