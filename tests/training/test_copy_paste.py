"""Pieces of another clip move across each clip: at a place of their own, in step, as the other clip has them."""

from __future__ import annotations

import itertools

import torch

from propagate.training.objectives.colorization import FASTEST, LARGEST, copy_paste

SIDE = 64


def numbered(frames=4):
    """Return two clips: one of zeros, one whose pixels hold their own row and column, both from 1, and the frame."""
    rows, columns = torch.meshgrid(torch.arange(SIDE) + 1, torch.arange(SIDE) + 1, indexing="ij")
    second = [torch.stack((rows, columns, torch.full_like(rows, frame + 1))) for frame in range(frames)]
    return torch.stack((torch.zeros(frames, 3, SIDE, SIDE), torch.stack(second).float()))


def pasted(*, count=1, seed=0):
    return copy_paste(numbered(), count=count, random=torch.Generator().manual_seed(seed))


def shifts(clip):
    """Return, frame by frame, how far each visible pixel of the piece has come, (n, 2) pixels."""
    found = []
    for frame in clip:
        rows, columns = torch.nonzero(frame[0], as_tuple=True)
        found.append(torch.stack((rows + 1 - frame[0, rows, columns], columns + 1 - frame[1, rows, columns]), 1))
    return found


def test_a_piece_shows_the_other_clip_frame_by_frame_and_moves_as_one_thing():
    steps = []
    for seed in range(40):
        clip = pasted(seed=seed)[0]
        for number, frame in enumerate(clip):
            assert set(frame[2].unique().tolist()) <= {0.0, number + 1.0}
        places = [shift.unique(dim=0) for shift in shifts(clip)]
        assert all(len(place) <= 1 for place in places)
        whole = [place[0] for place in places if len(place)]
        steps += [float((b - a).norm()) for a, b in itertools.pairwise(whole)]
    assert min(steps) == 0
    assert 1 < max(steps) <= FASTEST * SIDE + 2**0.5  # of rounding


def test_a_piece_is_an_ellipse_within_its_bounds_and_the_rest_stays():
    whole = 0
    for seed in range(20):
        both = pasted(seed=seed)
        shown = (both[0, 0, 0] != 0).float()
        assert shown.sum(0).max() <= LARGEST * SIDE
        assert shown.sum(1).max() <= LARGEST * SIDE
        rows, columns = shown.any(1).nonzero(), shown.any(0).nonzero()
        if min(rows[0], columns[0]) > 0 and max(rows[-1], columns[-1]) < SIDE - 1:  # wholly in the picture
            box = shown[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
            assert 0.7 < box.mean() < 0.92  # pi / 4, of pixels
            whole += 1
        kept = both[1] == numbered()[1]  # the second has a piece of zeros
        assert torch.equal(kept.all(1), both[1].ne(0).all(1))
    assert whole >= 5


def test_as_many_pieces_as_asked_and_others_with_other_chance():
    areas = torch.tensor([(pasted(count=count)[0, 0, 0] != 0).sum() for count in (1, 4, 12)])
    assert (areas.diff() > 0).all()
    assert not torch.equal(pasted(seed=0), pasted(seed=1))
    assert torch.equal(pasted(seed=1), pasted(seed=1))


def test_none_leaves_the_clips():
    given = numbered()
    assert copy_paste(given, count=0, random=torch.Generator()) is given
