"""Looks that change and places that do not: colours, light, grey, blur and noise."""

from __future__ import annotations

import pytest
import torch

from propagate.ops.color import LUMA
from propagate.training.objectives.augment import (
    add_noise,
    blur,
    change_colors,
    change_look,
    grey,
    make_grey,
    shade,
    smooth_noise,
    turn_chroma,
)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def pictures(count: int = 4, size: int = 24) -> torch.Tensor:
    return torch.rand(count, 3, size, size, generator=seeded(7))


def test_hue_and_saturation_keep_luma() -> None:
    shown = pictures().double()
    turned = turn_chroma(shown, turn=torch.linspace(0.5, 6, 4).double(), scale=torch.linspace(0.2, 2, 4).double())
    torch.testing.assert_close(grey(turned), grey(shown), atol=2e-4, rtol=0)  # NTSC's rows sum to 1e-4, not 0
    assert (turned - shown).abs().amax((1, 2, 3)).min() > 0.1


def test_a_whole_turn_of_hue_is_none_and_half_a_turn_negates_chroma() -> None:
    shown = pictures(2).double()
    turned = turn_chroma(shown, turn=torch.tensor([2.0, 1.0]).double() * torch.pi, scale=torch.ones(2).double())
    torch.testing.assert_close(turned[0], shown[0], atol=1e-9, rtol=0)
    torch.testing.assert_close(turned[1], 2 * grey(shown)[1] - shown[1], atol=2e-3, rtol=0)


def test_no_saturation_is_grey() -> None:
    shown = pictures(1).double()
    flat = turn_chroma(shown, turn=torch.ones(1).double(), scale=torch.zeros(1).double())
    torch.testing.assert_close(flat, grey(shown), atol=2e-4, rtol=0)


def test_no_strength_leaves_colours_alone() -> None:
    shown = pictures()
    torch.testing.assert_close(change_colors(shown, strength=0.0, random=seeded()), shown, atol=2e-4, rtol=0)
    torch.testing.assert_close(shade(shown, strength=0.0, random=seeded()), shown)


def test_each_picture_changes_by_itself() -> None:
    same = pictures(1).expand(6, -1, -1, -1)
    changed = change_colors(same, strength=1.0, random=seeded()).mean((2, 3))  # (6, 3)
    apart = (changed[:, None] - changed[None]).abs().amax(2) + torch.eye(6)
    assert apart.min() > 0.01


def test_grey_by_hand_and_by_share() -> None:
    shown = pictures(400, 2)
    expected = sum(weight * shown[:, channel] for channel, weight in enumerate(LUMA))
    for channel in range(3):
        torch.testing.assert_close(make_grey(shown, share=1.0, random=seeded())[:, channel], expected)
    assert torch.equal(make_grey(shown, share=0.0, random=seeded()), shown)
    some = make_grey(shown, share=0.25, random=seeded())
    count = int((some[:, 0] == some[:, 1]).flatten(1).all(1).sum())
    assert 70 <= count <= 130
    assert torch.equal((some == shown).flatten(1).all(1), (some[:, 0] != some[:, 1]).flatten(1).any(1))


def test_smooth_noise_has_its_knots_on_the_border() -> None:
    field = smooth_noise(2, 1, size=(9, 13), knots=3, random=seeded())
    knots = torch.randn(2, 1, 3, 3, generator=seeded())
    torch.testing.assert_close(field[:, :, ::4, ::6], knots)
    assert field.diff(dim=3).abs().max() < field.abs().max()


def test_blur_of_an_impulse_is_a_gaussian_and_of_a_constant_nothing() -> None:
    point = torch.zeros(8, 3, 15, 15, dtype=torch.float64)
    point[:, :, 7, 7] = 1.0
    spread = blur(point, random=seeded(), share=1.0)
    torch.testing.assert_close(spread.sum((2, 3)), torch.ones(8, 3, dtype=torch.float64))
    middle = spread[:, 0, 7, 7]
    variance = -0.5 / (spread[:, 0, 7, 8] / middle).log()
    torch.testing.assert_close(spread[:, 0, 9, 8] / middle, torch.exp(-2.5 / variance))
    assert variance.sqrt().min() >= 0.3
    assert variance.sqrt().max() <= 1.5
    assert variance.unique().numel() == 8
    flat = torch.full((2, 3, 9, 9), 0.4)
    torch.testing.assert_close(blur(flat, random=seeded(), share=1.0), flat)
    assert torch.equal(blur(point, random=seeded(), share=0.0), point)


def test_noise_is_as_strong_as_said() -> None:
    middle = torch.full((64, 3, 32, 32), 0.5)
    noisy = add_noise(middle, random=seeded(), share=1.0, widest=0.1)
    spread = noisy.std((1, 2, 3))
    assert spread.min() < 0.01
    assert 0.09 < spread.max() < 0.104
    assert torch.equal(add_noise(middle, random=seeded(), share=0.0), middle)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_looks_repeat_under_a_seed_and_stay_pictures(dtype: torch.dtype) -> None:
    shown = pictures().to(dtype)
    first, again = (change_look(shown, strength=1.0, grey=0.3, random=seeded(3)) for _ in range(2))
    other = change_look(shown, strength=1.0, grey=0.3, random=seeded(4))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert first.dtype == dtype
    assert first.min() >= 0
    assert first.max() <= 1


def test_places_stay_where_they_are() -> None:
    """A step edge in brightness stays between the same two columns."""
    shown = torch.full((16, 3, 16, 16), 0.25)
    shown[..., 8:] = 0.75
    changed = grey(change_look(shown, strength=0.5, grey=0.5, random=seeded()))[:, 0].mean(1)  # (16, W)
    steepest = changed.diff(dim=1).abs().argmax(1)
    assert (steepest == 7).all()
