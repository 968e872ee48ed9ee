from __future__ import annotations

import math

import numpy as np
import pytest

from propagate.metrics.masks import decay, mean, recall

NAN = float("nan")


def test_mean_leaves_out_frames_without_a_value() -> None:
    assert mean(np.array([1.0, NAN, 0.5])) == 0.75


def test_recall_is_the_share_above_and_not_at_the_threshold() -> None:
    values = np.array([0.4, 0.5, 0.6, 0.7])
    assert recall(values) == 0.5
    assert recall(values, threshold=0.65) == 0.25
    assert recall(np.array([0.6, NAN])) == 1.0


@pytest.mark.parametrize("measure", [mean, recall, decay])
@pytest.mark.parametrize("values", [[], [NAN], [NAN] * 9])
def test_without_values_there_is_no_number_and_no_warning(measure: object, values: list[float]) -> None:
    assert callable(measure)
    assert math.isnan(measure(np.array(values, dtype=float)))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.7], 0.0),  # both quarters are the one frame
        ([0.9, 0.4], 0.5),  # edges 0 0 1 1 1: the first frame minus the second
        ([0.9, 0.7, 0.2], 0.6),  # edges 0 1 1 2 2: (0.9 + 0.7) / 2 - 0.2
        ([1.0, 0.8, 0.4, 0.2], 0.6),  # edges 0 1 2 2 3: 0.9 - 0.3
        # edges 1 3 5 7 9 less one: three frames a quarter: (1 + 0.9 + 0.8) / 3 - (0.4 + 0.3 + 0.2) / 3
        ([1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2], 0.6),
        ([NAN, 0.8, 0.4, 0.2], 0.5),  # 0.8 - 0.3
        ([0.2, 0.4, 0.8, 1.0], -0.6),  # it got better
    ],
)
def test_decay_by_hand(values: list[float], expected: float) -> None:
    assert decay(np.array(values)) == pytest.approx(expected)


def test_decay_is_unknown_when_a_quarter_has_no_value() -> None:
    assert math.isnan(decay(np.array([0.9, 0.9, NAN, NAN])))


def test_decay_beyond_256_frames_does_not_wrap() -> None:
    # 400 frames: edges 0 100 200 299 399. As uint8 the last two would be 43 and 143, and the decay 0.
    assert decay(np.repeat([1.0, 0.0], 200)) == 1.0
