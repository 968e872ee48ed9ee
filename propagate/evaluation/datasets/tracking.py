"""Predictions of a tracker over the frames of a case, and the seconds that the tracker itself took for them."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from propagate.errors import OutputError
from propagate.values import Annotation, Frame, Prediction

if TYPE_CHECKING:
    from propagate.evaluation.protocol import Tracker
    from propagate.labels.protocol import Codec


class Stopwatch:
    """Runs trackers and counts only their time: not decoding (unless they wait for it), writing or scoring.

    Attributes:
        frames: predictions so far, over all runs.
        lost: the stems of frames that could not be decoded; their picture repeats the last good one.
    """

    def __init__(self) -> None:
        self.frames = 0
        self.lost: list[str] = []
        self._spent = 0.0
        self._decoding = 0.0

    @property
    def seconds(self) -> float:
        """Wall time of the tracker per frame, NaN before the first."""
        return self._spent / self.frames if self.frames else float("nan")

    def track(
        self, tracker: Tracker, frames: Iterable[Frame], annotations: Sequence[Annotation], *, codec: Codec
    ) -> Iterator[Prediction]:
        """Yield what `tracker` predicts for every frame.

        Args:
            tracker: the engine or a baseline.
            frames: in order.
            annotations: what is known of some of them.
            codec: the label type.
        """
        watched = self._watched(frames, thread=threading.get_ident())
        predictions = tracker(watched, annotations, codec=codec)
        try:
            while (prediction := self._next(predictions)) is not None:
                self.frames += 1
                yield prediction
        finally:
            if isinstance(predictions, Generator):
                predictions.close()

    def _next(self, predictions: Iterator[Prediction]) -> Prediction | None:
        started, decoding = time.perf_counter(), self._decoding
        prediction = next(predictions, None)
        self._spent += time.perf_counter() - started - (self._decoding - decoding)
        return prediction

    def _watched(self, frames: Iterable[Frame], *, thread: int) -> Iterator[Frame]:
        """Yield the frames; time spent on them in another thread, as the engine does, is not the tracker's anyway."""
        source = iter(frames)
        while True:
            started = time.perf_counter()
            frame = next(source, None)
            if threading.get_ident() == thread:
                self._decoding += time.perf_counter() - started
            if frame is None:
                return
            if frame.undecodable:
                self.lost.append(frame.stem)
            yield frame


def notes_of(watch: Stopwatch) -> tuple[str, ...]:
    """Return the lines that a run's damaged pictures deserve."""
    if not watch.lost:
        return ()
    more = f" and {len(watch.lost) - 1} more" if len(watch.lost) > 1 else ""
    return (f"a frame cannot be decoded, the picture before stands for it: {watch.lost[0]}{more}",)


def make_folder(folder: Path) -> Path:
    """Return `folder`, made when missing.

    Raises:
        OutputError: it cannot be.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be made: {error.strerror or error}") from error
    return folder


def spread(length: int, count: int | None) -> list[int]:
    """Return `count` positions evenly spread over 0 to length - 1, both ends included; all when None or fewer."""
    if count is None or count >= length:
        return list(range(length))
    if count == 1:
        return [0]
    return [round(place * (length - 1) / (count - 1)) for place in range(count)]
