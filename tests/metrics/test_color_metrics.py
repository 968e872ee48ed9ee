from __future__ import annotations

import math

import numpy as np
import pytest
from skimage.color import deltaE_ciede2000, rgb2lab

from propagate.metrics.color import cluster_accuracy, mean_chroma, mean_delta_e, mean_l1

RED, GREEN, GREY = (255, 0, 0), (0, 255, 0), (128, 128, 128)
CENTRES = np.array([[-86.2, 83.2], [0.0, 0.0], [80.1, 67.2]])  # the chroma of green, grey and red


def picture(*colours: tuple[int, int, int]) -> np.ndarray:
    return np.array([colours], dtype=np.uint8)


def test_mean_l1_by_hand() -> None:
    # differences 5 0 0 and 0 255 10 in either direction: 270 over 6 numbers
    assert mean_l1(picture((5, 9, 9), (0, 0, 20)), picture((0, 9, 9), (0, 255, 10))) == pytest.approx(45)


def test_delta_e_equals_double_precision() -> None:
    truth, found = np.random.default_rng(0).integers(0, 256, (2, 30, 40, 3), dtype=np.uint8)
    expected = deltaE_ciede2000(rgb2lab(truth), rgb2lab(found)).mean()
    assert mean_delta_e(truth, found) == pytest.approx(expected, abs=1e-4)


def test_chroma_of_grey_and_of_pure_red() -> None:
    assert mean_chroma(picture(GREY)) == pytest.approx(0, abs=0.01)
    assert mean_chroma(picture(RED)) == pytest.approx(math.hypot(80.1, 67.2), abs=0.1)  # CIE: L 53.2, a 80.1, b 67.2
    assert mean_chroma(picture(RED, GREY)) == pytest.approx(math.hypot(80.1, 67.2) / 2, abs=0.1)


def test_cluster_accuracy_by_hand() -> None:
    truth = picture(RED, RED, GREEN, GREY)
    found = picture((200, 20, 20), GREY, GREEN, (20, 20, 20))  # a darker red is still red, black still grey
    assert cluster_accuracy(truth, found, CENTRES) == 0.75
    assert cluster_accuracy(truth, truth, CENTRES) == 1.0


def test_only_the_chosen_pixels_count() -> None:
    truth, found = picture(RED, RED), picture(RED, GREY)
    where = np.array([[False, True]])
    assert cluster_accuracy(truth, found, CENTRES, where=where) == 0.0
    assert mean_chroma(found, where=where) == pytest.approx(0, abs=0.01)
    assert math.isnan(cluster_accuracy(truth, found, CENTRES, where=~where & where))
    assert math.isnan(mean_chroma(found, where=~where & where))


def test_pictures_of_two_sizes_are_refused() -> None:
    one, two = picture(RED), picture(RED, RED)
    for measure in (mean_l1, lambda truth, found: cluster_accuracy(truth, found, CENTRES)):
        with pytest.raises(ValueError, match=r"one size, not \(1, 1, 3\) and \(1, 2, 3\)"):
            measure(one, two)
