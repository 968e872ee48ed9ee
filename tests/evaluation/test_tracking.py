from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pytest

from propagate.evaluation.benchmarks import sequences as tracking
from propagate.labels.masks import MaskLabels
from propagate.labels.protocol import LabelType
from propagate.values import Annotation, Frame, Prediction


def test_the_stopwatch_counts_the_tracker_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0

    def spend(seconds: float) -> None:
        nonlocal now
        now += seconds

    def slow_frames() -> Iterator[Frame]:
        for index in range(4):
            spend(10)
            yield Frame(index, 0.0, np.zeros((8, 8, 3), np.uint8), f"{index:05d}", undecodable=index == 2)

    def tracker(frames: Iterator[Frame], given: Sequence[Annotation], *, label_type: LabelType) -> Iterator[Prediction]:
        for frame in frames:
            spend(3)
            yield Prediction(frame, np.zeros((8, 8), np.uint8), label_type.ids, "propagated")

    monkeypatch.setattr(tracking.time, "perf_counter", lambda: now)
    watch = tracking.Stopwatch()
    for _ in watch.track(tracker, slow_frames(), [], label_type=MaskLabels((1,))):  # type: ignore[arg-type]
        spend(100)  # scoring
    assert (watch.seconds, watch.frames) == (3, 4)
    assert tracking.notes_of(watch) == ("a frame cannot be decoded, the picture before stands for it: 00002",)


def test_before_the_first_frame_there_are_no_seconds() -> None:
    assert np.isnan(tracking.Stopwatch().seconds)
    assert tracking.notes_of(tracking.Stopwatch()) == ()


@pytest.mark.parametrize(
    ("length", "count", "places"),
    [(5, 3, [0, 2, 4]), (4, 8, [0, 1, 2, 3]), (7, 1, [0]), (3, None, [0, 1, 2]), (0, 4, [])],
)
def test_positions_are_spread_from_end_to_end(length: int, count: int | None, places: list[int]) -> None:
    assert tracking.spread(length, count) == places
