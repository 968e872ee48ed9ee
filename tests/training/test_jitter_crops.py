"""Frames of a clip are cut apart: each window is a piece of its frame, at places that differ and reach everywhere."""

from __future__ import annotations

import torch

from propagate.training.objectives.colorization import jitter_crops

SIDE, BY = 12, 4


def numbered(batch=1, frames=4):
    """Return clips whose pixels hold their own row and column."""
    rows, columns = torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij")
    return torch.stack((rows, columns)).float().expand(batch, frames, 2, SIDE, SIDE)


def places(clips):
    """Return (B, T, 2): the top and left of every window, having checked that it is a piece of its frame."""
    corners = clips[..., :1, :1]
    rows, columns = torch.meshgrid(torch.arange(SIDE - BY), torch.arange(SIDE - BY), indexing="ij")
    assert torch.equal(clips, corners + torch.stack((rows, columns)))
    return corners[..., 0, 0]


def test_windows_are_pieces_of_their_frames_anywhere_in_them():
    found = places(jitter_crops(numbered(batch=300), by=BY, random=torch.Generator().manual_seed(0)))
    assert set(found.flatten().tolist()) == {0.0, 1.0, 2.0, 3.0, 4.0}


def test_some_clips_shake_and_some_hardly():
    found = places(jitter_crops(numbered(batch=300), by=BY, random=torch.Generator().manual_seed(0)))
    reach = (found.amax(1) - found.amin(1)).amax(1)  # of a clip, pixels
    assert (reach == 0).any()
    assert (reach == BY).any()


def test_without_it_the_clips_stay():
    given = numbered()
    assert jitter_crops(given, by=0, random=torch.Generator()) is given
