from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

import rendered
from propagate.metrics.masks import jaccard


@lru_cache(maxsize=8)
def clip(*, motion: rendered.Motion = "translate", occluder: bool = True, drift: float = 6.0) -> rendered.Clip:
    return rendered.render(size=(96, 128), frames=13, motion=motion, occluder=occluder, drift=drift)


def test_shapes_and_types() -> None:
    one = clip()
    assert one.frames.shape == (13, 96, 128, 3)
    assert one.frames.dtype == one.masks.dtype == np.uint8
    assert one.points_xy.shape == (13, 12, 2)
    assert one.points_visible.shape == (13, 12)
    assert one.source_xy.shape == (13, 96, 128, 2)


def test_identity_fails_on_the_default_clip() -> None:
    default = rendered.render(frames=14)
    copied = [jaccard(mask, default.masks[0]) for mask in default.masks]
    missed = np.linalg.norm(default.points_xy - default.points_xy[0], axis=-1)
    assert np.mean(copied[1:]) < 0.2
    assert missed.mean() > 20


def test_object_moves_farther_than_its_own_width() -> None:
    columns = np.flatnonzero(clip().masks[0].any(axis=0))
    moved = np.abs(clip().points_xy[-1, 0] - clip().points_xy[0, 0])[0]
    assert moved > 1.2 * (columns[-1] - columns[0])


def test_background_has_the_colours_of_the_object() -> None:
    plain = clip(occluder=False)
    inside = plain.masks[0] > 0
    object_colors, others = plain.frames[0][inside], plain.frames[0][~inside]
    np.testing.assert_allclose(object_colors.mean(0), others.mean(0), atol=12)
    np.testing.assert_allclose(object_colors.std(0), others.std(0), rtol=0.35)


def test_object_is_hidden_in_part_once() -> None:
    area = (clip().masks > 0).sum(axis=(1, 2)) / (clip().masks[0] > 0).sum()
    hidden = np.flatnonzero(area < 0.7)
    assert len(hidden)
    assert np.array_equal(hidden, np.arange(hidden[0], hidden[-1] + 1))
    assert area[-1] == pytest.approx(1, abs=0.03)
    assert area.min() > 0.1


@pytest.mark.parametrize("motion", ["translate", "rotate", "scale"])
def test_source_of_a_point_is_its_place_on_frame_0(motion: rendered.Motion) -> None:
    one = clip(motion=motion)
    for time, point in np.argwhere(one.points_visible):
        column, row = np.rint(one.points_xy[time, point]).astype(int)
        rest = one.points_xy[time, point] - (column, row)
        assert np.linalg.norm(one.source_xy[time, row, column] - one.points_xy[0, point]) <= np.linalg.norm(rest) + 1e-6


@pytest.mark.parametrize("motion", ["translate", "rotate", "scale"])
def test_frame_0_read_at_the_source_shows_the_object_again(motion: rendered.Motion) -> None:
    one = clip(motion=motion)
    inside = ndimage.binary_erosion(one.masks[-1] > 0, iterations=3)
    x, y = one.source_xy[-1][inside].T
    channels = [ndimage.map_coordinates(one.frames[0, ..., c].astype(float), [y, x], order=3) for c in range(3)]
    assert np.abs(np.stack(channels, axis=-1) - one.frames[-1][inside]).mean() < 2.0


def test_source_is_known_exactly_on_the_object() -> None:
    known = np.isfinite(clip().source_xy).all(axis=-1)
    np.testing.assert_array_equal(known, clip().masks > 0)
    row, column = np.nonzero(clip().masks[0])
    np.testing.assert_allclose(clip().source_xy[0, row, column], np.stack([column, row], axis=1), atol=1e-9)


def test_scale_grows_the_object() -> None:
    area = (clip(motion="scale", occluder=False).masks > 0).sum(axis=(1, 2))
    assert area[-1] / area[0] == pytest.approx(rendered.GROWTH**2, rel=0.05)


def test_rotation_turns_the_points_by_a_quarter() -> None:
    one = clip(motion="rotate")
    before, after = (one.points_xy[t] - one.points_xy[t].mean(axis=0) for t in (0, -1))
    np.testing.assert_allclose(after, np.stack([-before[:, 1], before[:, 0]], axis=1), atol=1e-9)


def test_background_stands_still_without_drift() -> None:
    still = clip(occluder=False, drift=0.0)
    outside = ndimage.binary_dilation(still.masks.any(axis=0), iterations=2)
    assert np.ptp(still.frames[:, ~outside].astype(int), axis=0).max() == 0


def test_the_second_object_passes_in_front_of_the_first() -> None:
    pair = rendered.two_objects(size=(96, 128), frames=9)
    area = np.stack([(pair.masks == number).sum(axis=(1, 2)) for number in (1, 2)])
    assert area.min() > 0
    assert area[0].min() < 0.97 * area[0, 0]
    assert area[1].min() > 0.97 * area[1, 0]
    assert np.array_equal(pair.point_ids, np.repeat([1, 2], 12))


def test_the_seed_decides_the_clip() -> None:
    first, again, other = (rendered.render(size=(48, 64), frames=2, seed=seed) for seed in (3, 3, 4))
    assert np.array_equal(first.frames, again.frames)
    assert not np.array_equal(first.masks, other.masks)


def test_written_files_open_and_say_the_same(tmp_path: Path) -> None:
    rendered.write_clip(tmp_path / "clip.mp4", clip().frames)
    rendered.write_mask(tmp_path / "mask.png", clip().masks[0])
    with av.open(str(tmp_path / "clip.mp4")) as container:
        decoded = np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])
    assert decoded.shape == clip().frames.shape
    assert np.abs(decoded.astype(int) - clip().frames).mean() < 8
    with Image.open(tmp_path / "mask.png") as image:
        assert image.mode == "P"
        assert np.array_equal(np.asarray(image), clip().masks[0])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clip.mp4", "mask.png"]
