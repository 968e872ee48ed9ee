"""Chroma of a clip is spread: centred, turned and scaled, alike on all frames of a clip."""

from __future__ import annotations

import pytest
import torch

from propagate.training.objectives.colorization import MOST, stretch_chroma


def chroma(batch=3, scale=10.0):
    random = torch.Generator().manual_seed(0)
    return 5 + scale * torch.randn(batch, 4, 2, 16, 16, generator=random)


def spread_by(given, *, to, seed=0):
    return stretch_chroma(given, to=to, random=torch.Generator().manual_seed(seed))


def pairwise(values):
    """Return the distances between the colours of a clip's first 50 pixels in its first and last frame."""
    points = values[0, [0, -1]].movedim(1, -1).flatten(1, 2)[:, :50].flatten(0, 1)
    return torch.cdist(points, points)


def test_every_clip_lies_around_grey_as_far_as_asked():
    found = spread_by(chroma() * torch.tensor([1.0, 0.5, 3.0]).view(-1, 1, 1, 1, 1), to=25.0)
    torch.testing.assert_close(found.mean((1, 3, 4)), torch.zeros(3, 2), atol=1e-4, rtol=0)
    torch.testing.assert_close(found.square().sum(2).mean((1, 2, 3)).sqrt(), torch.full((3,), 25.0))


def test_a_clip_keeps_its_distances_over_all_its_frames_but_for_one_factor():
    given = chroma()
    before, after = pairwise(given), pairwise(spread_by(given, to=25.0))
    factor = after.sum() / before.sum()
    torch.testing.assert_close(after, before * factor, atol=0.05, rtol=1e-3)


def test_hues_turn_by_an_angle_of_each_clip_s_own_and_are_not_mirrored():
    """A quarter turn from the first colour to the second stays one in the same sense."""
    given = torch.zeros(40, 1, 2, 1, 4)
    given[:, 0, :, 0] = torch.tensor([[1.0, 0.0, -1.0, 0.0], [0.0, 1.0, 0.0, -1.0]])
    found = spread_by(given, to=1.0)[:, 0, :, 0]  # (40, 2, 4)
    first, second = found[..., 0], found[..., 1]
    cross = first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0]
    torch.testing.assert_close(cross, torch.ones(40))
    angles = torch.atan2(first[:, 1], first[:, 0])
    assert angles.min() < -2
    assert angles.max() > 2
    assert not torch.equal(found, spread_by(given, to=1.0, seed=1)[:, 0, :, 0])


def test_what_is_nearly_grey_is_scaled_no_more_than_the_most():
    given = chroma(scale=0.01)
    found = spread_by(given, to=25.0)
    assert pairwise(found).max().item() == pytest.approx(MOST * pairwise(given).max().item(), rel=0.05)


def test_grey_stays_grey_and_nought_leaves_the_clip():
    assert torch.equal(spread_by(torch.zeros(1, 2, 2, 4, 4), to=25.0), torch.zeros(1, 2, 2, 4, 4))
    given = chroma()
    assert spread_by(given, to=0.0) is given
