from __future__ import annotations

import time

import numpy as np
import pytest

from propagate.formats.palette import davis_palette
from propagate.render.overlay import mask_edges, overlay_masks, overlay_points

GREY = np.full((40, 60, 3), 100, dtype=np.uint8)


def box(value: int, *, dtype: type = np.uint8) -> np.ndarray:
    ids = np.zeros((40, 60), dtype=dtype)
    ids[10:30, 20:50] = value
    return ids


def test_background_is_left_alone_and_the_frame_too() -> None:
    drawn = overlay_masks(GREY, box(1))
    far = np.ones((40, 60), dtype=bool)
    far[9:31, 19:51] = False
    assert (drawn[far] == 100).all()
    assert (GREY == 100).all()


def test_inside_is_the_mix_of_frame_and_palette() -> None:
    drawn = overlay_masks(GREY, box(2), alpha=0.5)
    expected = (100 + davis_palette()[2].astype(float)) / 2
    np.testing.assert_allclose(drawn[20, 35], expected, atol=1)


def test_outline_is_two_pixels_wide_and_opaque() -> None:
    drawn = overlay_masks(GREY, box(2), alpha=0.0)
    painted = (drawn[20] != 100).any(axis=-1)
    assert np.flatnonzero(painted).tolist() == [19, 20, 49, 50]
    np.testing.assert_array_equal(drawn[20, 19], davis_palette()[2])


def test_touching_objects_are_divided_by_a_line() -> None:
    ids = box(1)
    ids[10:30, 35:50] = 2
    edge, owner = mask_edges(ids)
    assert edge[20, 34]
    assert edge[20, 35]
    assert owner[20, 34] == owner[20, 35] == 2


def test_an_empty_mask_changes_nothing() -> None:
    np.testing.assert_array_equal(overlay_masks(GREY, box(0)), GREY)


@pytest.mark.parametrize(("number", "same_as"), [(256, 1), (300, 45), (255, 255), (510, 255), (511, 1)])
def test_ids_above_255_take_the_colours_again(number: int, same_as: int) -> None:
    drawn = overlay_masks(GREY, box(number, dtype=np.uint16))
    np.testing.assert_array_equal(drawn, overlay_masks(GREY, box(same_as)))


def test_another_palette_can_be_given() -> None:
    palette = np.full((256, 3), 200, dtype=np.uint8)
    assert (overlay_masks(GREY, box(7), alpha=1.0, palette=palette)[20, 35] == 200).all()


def test_a_mask_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match=r"ids must be \(40, 60\) as the frame, not \(20, 60\)"):
        overlay_masks(GREY, box(1)[:20])


def points(xy: list[list[float]], *, visible: list[bool] | None = None, confidence: float = 1.0) -> np.ndarray:
    names = ["nose", "tail", "paw"][: len(xy)]
    return overlay_points(
        GREY,
        np.array(xy),
        visible=np.array(visible or [True] * len(xy)),
        confidence=np.full(len(xy), confidence),
        names=names,
        skeleton=[("nose", "tail")] if len(xy) > 1 else None,
    )


def test_a_dot_lies_at_its_sub_pixel_place() -> None:
    change = np.abs(points([[30.25, 20.5]]).astype(float) - 100).sum(axis=-1)
    y, x = (change[..., None] * np.moveaxis(np.indices(change.shape), 0, -1)).sum((0, 1)) / change.sum()
    assert (x, y) == pytest.approx((30.25, 20.5), abs=0.1)


def test_absent_points_are_not_drawn() -> None:
    np.testing.assert_array_equal(points([[np.nan, np.nan]]), GREY)
    np.testing.assert_array_equal(points([[30.0, 20.0]], visible=[False]), GREY)


def test_less_sure_is_fainter() -> None:
    sure, unsure = (np.abs(points([[30.0, 20.0]], confidence=c).astype(int) - 100).sum() for c in (1.0, 0.1))
    assert 0 < unsure < sure


def test_a_bone_needs_both_its_ends() -> None:
    ends = [[10.0, 20.0], [50.0, 20.0]]
    assert (points(ends)[20, 30] != 100).any()
    assert (points(ends, visible=[True, False])[20, 30] == 100).all()


def test_points_beyond_the_picture_are_harmless() -> None:
    np.testing.assert_array_equal(points([[-50.0, 900.0]]), GREY)


def test_an_unknown_bone_is_refused() -> None:
    one = np.ones(1)
    with pytest.raises(ValueError, match="points that don't exist: ear"):
        overlay_points(
            GREY, one[:, None].repeat(2, 1), visible=one > 0, confidence=one, names=["nose"], skeleton=[("nose", "ear")]
        )


def test_names_are_written_on_request() -> None:
    xy, one = np.array([[10.0, 20.0]]), np.ones(1)
    plain, named = (
        overlay_points(GREY, xy, visible=one > 0, confidence=one, names=["nose"], show_names=show)
        for show in (False, True)
    )
    assert (plain != named).any()


@pytest.mark.slow
def test_a_frame_of_480p_takes_15_ms() -> None:
    rgb, ids = np.zeros((480, 854, 3), dtype=np.uint8), np.zeros((480, 854), dtype=np.uint8)
    ids[50:400, 100:700] = 1
    seconds = []
    for _ in range(15):
        start = time.process_time()
        overlay_masks(rgb, ids)
        seconds.append(time.process_time() - start)
    assert min(seconds) < 0.015
