from __future__ import annotations

import numpy as np
import pytest

from propagate.render.compare import filmstrip
from propagate.render.features import attention_maps, fit_projection, mark_pixel, overlay_attention, project

RNG = np.random.default_rng(0)
RGB = RNG.integers(0, 256, (24, 32, 3), dtype=np.uint8)


def test_projection_finds_the_directions_of_largest_spread() -> None:
    rows = RNG.normal(size=(4000, 5)) * [0.1, 5.0, 0.1, 1.0, 2.0]
    axes = fit_projection(rows).axes
    np.testing.assert_array_equal(np.abs(axes).argmax(axis=1), [1, 4, 3])
    np.testing.assert_allclose(axes @ axes.T, np.eye(3), atol=1e-9)
    assert (axes.max(axis=1) > 0.9).all()


def test_colours_depend_on_the_feature_alone() -> None:
    projection = fit_projection(RNG.normal(size=(200, 8)))
    features = RNG.normal(size=(8, 3, 4)).astype(np.float32)
    picture = project(features, projection)
    assert picture.shape == (3, 4, 3)
    np.testing.assert_array_equal(project(features[:, :, ::-1], projection), picture[:, ::-1])


def test_order_of_the_cells_does_not_change_the_colours() -> None:
    rows = RNG.normal(size=(300, 6))
    features = rows.T.reshape(6, 15, 20)
    shuffled = fit_projection(RNG.permutation(rows))
    difference = project(features, fit_projection(rows)).astype(int) - project(features, shuffled)
    assert np.abs(difference).max() <= 1


@pytest.mark.parametrize("channels", [1, 2])
def test_missing_directions_are_grey(channels: int) -> None:
    rows = RNG.normal(size=(100, channels))
    picture = project(rows.T.reshape(channels, 10, 10), fit_projection(rows))
    assert (picture[..., channels:] == 128).all()


def test_one_cell_is_too_few_for_a_projection() -> None:
    with pytest.raises(ValueError, match=r"N of at least 2, not \(1, 4\)"):
        fit_projection(np.zeros((1, 4)))


def test_attention_is_laid_out_over_frames_and_keeps_its_sum() -> None:
    maps = attention_maps(np.array([0.5, 0.25, 0.25]), np.array([1, 11, 11]), shape=(2, 2, 3))
    assert maps.shape == (2, 2, 3)
    assert maps[0, 0, 1] == maps[1, 1, 2] == 0.5
    assert maps.sum() == 1.0


def test_the_hottest_place_is_the_centre_of_the_strongest_cell() -> None:
    attention = np.zeros((3, 4))
    attention[1, 2] = 0.7
    drawn = overlay_attention(np.zeros_like(RGB), attention, stride_xy=(8, 8), offset_xy=(3, 4))
    assert np.unravel_index(drawn.sum(axis=-1).argmax(), (24, 32)) == (12, 19)


def test_without_attention_the_frame_is_grey() -> None:
    drawn = overlay_attention(RGB, np.zeros((3, 4)), stride_xy=(8, 8))
    assert (drawn == drawn[..., :1]).all()


def test_one_peak_for_all_frames_keeps_weak_ones_weak() -> None:
    attention = np.full((3, 4), 0.1)
    alone, together = (overlay_attention(RGB, attention, stride_xy=(8, 8), peak=peak) for peak in (None, 1.0))
    assert alone.mean() > together.mean()


def test_the_mark_is_a_cross_at_the_pixel() -> None:
    drawn = mark_pixel(np.zeros_like(RGB), (16.0, 12.0))
    assert (drawn[12, 16] == 255).all()
    assert (drawn[12, 20] == 255).all()
    assert (drawn[0, 0] == 0).all()


def test_filmstrip_runs_from_first_to_last() -> None:
    frames = [np.full((24, 32, 3), 10 * t, dtype=np.uint8) for t in range(11)]
    masks = [np.zeros((24, 32), dtype=np.uint8)] * 11
    strip = filmstrip(frames, masks, masks, count=3, height=24)
    assert strip.shape == (2 * 24 + 4, 3 * 32 + 2 * 4, 3)
    assert strip[0, [0, 36, 72], 0].tolist() == [0, 50, 100]


def test_a_filmstrip_of_unequal_lengths_is_refused() -> None:
    with pytest.raises(ValueError, match="not 1 frames, 1 truths and 0 predictions"):
        filmstrip([RGB], [np.zeros((24, 32), dtype=np.uint8)], [])
