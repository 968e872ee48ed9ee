"""Cuts are found where they are, and nothing else is taken for one."""

from __future__ import annotations

import numpy as np
from scipy import ndimage
from textured import texture
from training.small_footage import colored, panned

from propagate.training.data.shots import CutFinder


def cuts_of(frames: list[np.ndarray]) -> list[int]:
    finder = CutFinder()
    for frame in frames:
        finder.add(frame)
    return finder.cuts()


def test_cuts_between_clips_are_found_where_they_are() -> None:
    first, second, third = (colored(panned(12, seed=seed), 30 * seed - 30) for seed in range(3))
    assert cuts_of(first + second + third) == [12, 24]


def test_fast_motion_is_no_cut() -> None:
    assert cuts_of(panned(30, seed=1, step=25)) == []
    spin = [ndimage.rotate(texture(1), 40 * index, reshape=False, mode="reflect") for index in range(20)]
    assert cuts_of(spin) == []


def test_motion_that_begins_and_ends_at_once_is_no_cut() -> None:
    moving = panned(20, seed=4, step=12)
    assert cuts_of([moving[0]] * 10 + moving + [moving[-1]] * 10) == []


def test_fades_and_flashes_are_no_cuts() -> None:
    frames = panned(24, seed=2)
    fade = [(frame * abs(index - 12) / 12).astype(np.uint8) for index, frame in enumerate(frames)]
    assert cuts_of(fade) == []
    flash = [*frames]
    flash[10] = np.full_like(frames[10], 255)
    assert cuts_of(flash) == []


def test_flat_pictures_that_slowly_change_colour_hold_no_cut() -> None:
    flat = texture(1)
    flat[:, :, 2] = 0
    flat[8:, 8:] = (100, 90, 0)
    assert cuts_of([flat + np.uint8([0, 0, 7 * index]) for index in range(20)]) == []


def test_black_frames_hold_no_cut_of_noise() -> None:
    random = np.random.default_rng(0)
    assert cuts_of([random.integers(0, 6, (40, 56, 3)).astype(np.uint8) for _ in range(12)]) == []
