from __future__ import annotations

import csv
import math
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from propagate.metrics.masks import boundary_f, boundary_map, dilated, jaccard


def square(size: int = 100, *, top: int = 20, left: int = 20, side: int = 40) -> np.ndarray:
    mask = np.zeros((size, size), dtype=np.uint8)
    mask[top : top + side, left : left + side] = 1
    return mask


def test_jaccard_of_half_overlap_is_one_third() -> None:
    assert jaccard(square(), square(left=40)) == pytest.approx(800 / 2400)


def test_two_empty_masks_agree() -> None:
    empty = np.zeros((10, 10), dtype=np.uint8)
    assert jaccard(empty, empty) == 1.0
    assert boundary_f(empty, empty) == 1.0


def test_one_empty_mask_scores_nothing() -> None:
    empty = np.zeros((100, 100), dtype=np.uint8)
    assert (jaccard(square(), empty), jaccard(empty, square())) == (0.0, 0.0)
    assert (boundary_f(square(), empty), boundary_f(empty, square())) == (0.0, 0.0)


def test_shift_within_the_tolerance_keeps_f() -> None:
    # diagonal 141.4 px, so the tolerance is ceil(1.13) = 2 px
    assert boundary_f(square(), square(left=22)) == 1.0
    assert boundary_f(square(), square(left=23)) < 1.0


def test_boundary_of_one_pixel_is_four_pixels() -> None:
    mask = np.zeros((5, 5), dtype=bool)
    mask[2, 2] = True
    assert np.argwhere(boundary_map(mask)).tolist() == [[1, 1], [1, 2], [2, 1], [2, 2]]


def test_the_edge_of_the_picture_is_no_boundary() -> None:
    assert not boundary_map(np.ones((6, 7), dtype=bool)).any()


def test_precision_and_recall_by_hand() -> None:
    # two far apart squares against one of them: precision 1, recall 1/2, F 2/3
    both = square(200, top=10, left=10, side=20) | square(200, top=100, left=100, side=20)
    assert boundary_f(both, square(200, top=10, left=10, side=20)) == pytest.approx(2 / 3)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**32 - 1))
def test_both_measures_are_symmetric_and_bounded(seed: int) -> None:
    truth, predicted = np.random.default_rng(seed).random((2, 12, 17)) > 0.6
    for measure in (jaccard, boundary_f):
        score = measure(truth, predicted)
        assert 0 <= score <= 1
        assert score == pytest.approx(measure(predicted, truth))
        assert measure(truth, truth) == 1.0


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 2**32 - 1), st.integers(0, 6))
def test_dilation_is_every_pixel_within_the_radius(seed: int, radius: int) -> None:
    random = np.random.default_rng(seed)
    mask = random.random(random.integers(1, 15, 2)) > 0.9
    places = np.argwhere(np.ones_like(mask))
    squared = ((places[:, None] - np.argwhere(mask)[None]) ** 2).sum(axis=-1)  # to every pixel that is set
    assert np.array_equal(dilated(mask, radius).ravel(), (squared <= radius**2).any(axis=1))


def test_a_dilated_pixel_is_a_disk() -> None:
    mask = np.zeros((5, 5), dtype=bool)
    mask[2, 2] = True
    assert dilated(mask, 2).astype(int).tolist() == [
        [0, 0, 1, 0, 0],
        [0, 1, 1, 1, 0],
        [1, 1, 1, 1, 1],
        [0, 1, 1, 1, 0],
        [0, 0, 1, 0, 0],
    ]
    assert np.array_equal(dilated(mask, 0), mask)


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.0, 0.008, 0.05, 0.2]))
def test_f_equals_its_definition_by_distances(seed: int, tolerance: float) -> None:
    random = np.random.default_rng(seed)
    truth, predicted = random.random((2, *random.integers(2, 16, 2))) > random.random()
    edges = [np.argwhere(boundary_map(mask)) for mask in (truth, predicted)]
    if all(len(edge) for edge in edges):
        squared = ((edges[0][:, None] - edges[1][None]) ** 2).sum(axis=-1)
        near = squared <= math.ceil(tolerance * math.hypot(*truth.shape)) ** 2
        recall, precision = near.any(axis=1).mean(), near.any(axis=0).mean()
        expected = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
        assert boundary_f(truth, predicted, tolerance=tolerance) == pytest.approx(expected)


def test_a_full_mask_has_no_boundary_so_only_j_sees_it() -> None:
    full, empty = np.ones((10, 10), dtype=np.uint8), np.zeros((10, 10), dtype=np.uint8)
    assert (jaccard(full, empty), boundary_f(full, empty)) == (0.0, 1.0)  # as the official code has it


def test_seventy_ragged_frames_of_three_objects_take_under_four_seconds() -> None:
    random = np.random.default_rng(0)
    ids = random.integers(0, 4, (480, 854), dtype=np.uint8)  # no masks have longer boundaries than noise
    other = np.roll(ids, 5, axis=1)
    start = time.process_time()
    for _ in range(10):
        for one in (1, 2, 3):
            jaccard(ids == one, other == one)
            boundary_f(ids == one, other == one)
    assert (time.process_time() - start) * 7 < 4


def test_masks_of_two_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"one size, not \(100, 100\) and \(50, 50\)"):
        jaccard(square(), square(50, top=0, left=0, side=4))


@pytest.mark.parametrize("sequence", ["camel", "parkour"])
def test_equals_the_official_scores(shared_data: Path, sequence: str) -> None:
    folder = shared_data / "metric_check" / sequence
    rows = list(csv.DictReader((folder / "scores.csv").read_text().splitlines()))
    assert rows
    for row in rows:
        truth, predicted = (read(folder / kind / f"{int(row['frame']):05d}.png") for kind in ("truth", "predicted"))
        assert jaccard(truth, predicted) == pytest.approx(float(row["J"]), abs=1e-6)
        assert boundary_f(truth, predicted) == pytest.approx(float(row["F"]), abs=1e-4)


def read(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path)) > 0
