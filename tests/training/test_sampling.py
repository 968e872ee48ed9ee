"""Which clips are drawn: evenly over groups, by length within one, at the nearest rate, always within the shot."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal
from training.small_footage import counted

from propagate.errors import InputError
from propagate.training.data.sampling import ClipPlace, ClipSampler, distance, fill_clip, reach
from propagate.training.protocol import ClipForm

FORM = ClipForm(frames=3, rate=None, size=16)


def draws(sampler: ClipSampler, count: int) -> list[ClipPlace]:
    return [sampler.draw(index // 8, index % 8) for index in range(count)]


def test_groups_are_drawn_evenly_and_shots_by_length() -> None:
    footage = counted(("big", 100), ("big", 300), ("small", 5))
    count = Counter(place.shot.source.stem for place in draws(ClipSampler(footage.shots, FORM, seed=0), 2000))
    assert count["2"] / 2000 == pytest.approx(0.5, abs=0.04)
    assert count["1"] / (count["0"] + count["1"]) == pytest.approx(0.75, abs=0.04)


def test_a_clip_is_a_function_of_seed_step_and_index() -> None:
    footage = counted(("a", 50), ("b", 70))
    one, again = (ClipSampler(footage.shots, FORM, seed=5) for _ in range(2))
    assert one.draw(7, 3) == again.draw(7, 3)
    one.draw(1, 1)
    assert one.draw(7, 3) == again.draw(7, 3)
    others = [one.draw(7, 4), one.draw(8, 3), one.draw(3, 7), ClipSampler(footage.shots, FORM, seed=6).draw(7, 3)]
    assert one.draw(7, 3) not in others


def test_the_order_of_groups_in_the_footage_does_not_matter() -> None:
    footage = counted(("a", 50), ("b", 70))
    one, other = ClipSampler(footage.shots, FORM, seed=0), ClipSampler(footage.shots[::-1], FORM, seed=0)
    assert draws(one, 20) == draws(other, 20)


@pytest.mark.parametrize(
    ("shot_rate", "rate", "frames_apart"),
    [(24, None, 1), (24, 6, 4), (25, 6, 4), (30, 6, 5), (15, 6, 3), (10, 6, 2), (6, 6, 1), (4, 6, 1), (24, 24, 1)],
)
def test_the_distance_is_that_of_the_nearest_rate(shot_rate: float, rate: float | None, frames_apart: int) -> None:
    (shot,) = counted(("a", 100), rate=shot_rate).shots
    form = replace(FORM, rate=rate)
    assert distance(shot, form) == frames_apart
    found = [abs(shot_rate / step - (rate or shot_rate)) for step in range(1, 30)]
    assert found[frames_apart - 1] == min(found)
    for place in draws(ClipSampler([shot], form, seed=0), 20):
        assert set(np.diff(place.positions)) == {frames_apart}


def test_every_start_is_reached_and_none_beyond() -> None:
    footage = counted(("a", 12))
    form = replace(FORM, rate=6)  # 24 / 6: nine frames
    starts = {place.positions for place in draws(ClipSampler(footage.shots, form, seed=0), 200)}
    assert starts == {(0, 4, 8), (1, 5, 9), (2, 6, 10), (3, 7, 11)}


def test_short_shots_are_left_out_and_counted() -> None:
    footage = counted(("a", 8), ("a", 9), ("b", 2))
    form = replace(FORM, rate=6)
    sampler = ClipSampler(footage.shots, form, seed=0)
    assert sampler.left_out == 2
    assert {place.shot.source.stem for place in draws(sampler, 50)} == {"1"}
    with pytest.raises(InputError, match="none of 1 shots is long enough for a clip of 3 frames at 6 a second"):
        ClipSampler(footage.shots[:1], form, seed=0)
    assert reach(footage.shots[0], form) == 9


def test_flip_and_direction_follow_the_form() -> None:
    footage = counted(("a", 30))
    free = draws(ClipSampler(footage.shots, replace(FORM, backward=True), seed=0), 400)
    assert np.mean([place.mirrored for place in free]) == pytest.approx(0.5, abs=0.1)
    assert np.mean([place.positions[0] > place.positions[-1] for place in free]) == pytest.approx(0.5, abs=0.1)
    fixed = draws(ClipSampler(footage.shots, replace(FORM, flip=False), seed=0), 100)
    assert not any(place.mirrored or place.positions[0] > place.positions[-1] for place in fixed)


def test_crops_are_squares_inside_the_picture() -> None:
    footage = counted(("a", 30), size=(30, 40))
    places = draws(ClipSampler(footage.shots, replace(FORM, scale=(0.5, 1.0)), seed=0), 400)
    boxes = np.array([place.box for place in places])
    left, top, width, height = boxes.T
    assert_array_equal(width, height)
    assert (left.min(), top.min(), (left + width).max(), (top + height).max()) == (0, 0, 40, 30)
    assert (width.min(), width.max()) == (15, 30)
    (whole,) = {place.box for place in draws(ClipSampler(footage.shots, replace(FORM, framing="squash"), seed=0), 20)}
    assert whole == (0, 0, 40, 30)


@pytest.mark.parametrize("mirrored", [False, True])
def test_a_clip_is_cut_resized_and_mirrored(mirrored: bool) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (3, 30, 40, 3)).astype(np.uint8)
    (shot,) = counted(("a", 30)).shots
    out = np.zeros((3, 3, 10, 10), np.uint8)
    fill_clip(out, frames, ClipPlace(shot, (0, 1, 2), (5, 7, 20, 20), mirrored))
    cut = torch.from_numpy(frames[:, 7:27, 5:25]).permute(0, 3, 1, 2).double()
    true = torch.nn.functional.interpolate(cut, size=(10, 10), mode="bilinear", antialias=True)
    true = true.flip(-1) if mirrored else true
    assert np.abs(out.astype(float) - true.numpy()).max() < 1.0
    same = np.zeros((3, 3, 20, 20), np.uint8)
    fill_clip(same, frames, ClipPlace(shot, (0, 1, 2), (5, 7, 20, 20), mirrored))
    plain = frames[:, 7:27, 5:25].transpose(0, 3, 1, 2)
    assert_array_equal(same, plain[..., ::-1] if mirrored else plain)
