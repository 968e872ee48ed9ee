"""Sequences of a benchmark: chosen by name, found in folders, tracked."""

from __future__ import annotations

import difflib
import threading
import time
from collections.abc import Generator, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from propagate.engine.ways import Source
from propagate.errors import InputError
from propagate.evaluation.protocol import BenchmarkSequence
from propagate.files import IMAGE_SUFFIXES, VIDEO_SUFFIXES, list_folder, natural_key
from propagate.values import Annotation, Frame, Prediction

if TYPE_CHECKING:
    from propagate.evaluation.protocol import Tracker
    from propagate.labels.protocol import LabelType


def choose_sequences(
    sequences: Sequence[BenchmarkSequence], names: Sequence[str], *, where: Path
) -> tuple[BenchmarkSequence, ...]:
    """Return the sequences of these names, in the order of `names`; all when there are no names.

    Args:
        sequences: all of the benchmark's.
        names: a sequence's name, or its last part when only one sequence has it.
        where: the data, for messages.

    Raises:
        InputError: there are no sequences at all, or none or several of a name.
    """
    if not sequences:
        raise InputError(f"{where}: the list holds no sequence")
    if not names:
        return tuple(sequences)
    return tuple(_one(sequences, name, where=where) for name in dict.fromkeys(names))


def _one(sequences: Sequence[BenchmarkSequence], name: str, *, where: Path) -> BenchmarkSequence:
    found = [sequence for sequence in sequences if sequence.name == name] or [
        sequence for sequence in sequences if sequence.name.rpartition("/")[2] == name
    ]
    if len(found) == 1:
        return found[0]
    if found:
        raise InputError(
            f"{where}: several sequences are called {name}", hint=", ".join(sequence.name for sequence in found)
        )
    near = difflib.get_close_matches(name, [sequence.name for sequence in sequences], n=1)
    first = ", ".join(sequence.name for sequence in sequences[:8])
    hint = f"did you mean {near[0]}?" if near else f"{len(sequences)} sequences, the first are {first}"
    raise InputError(f"{where}: there is no sequence {name}", hint=hint)


def find_clips(root: Path, sequences: Sequence[str] = ()) -> list[BenchmarkSequence]:
    """Return the clips at `root` in natural order, each named by its file's stem or its folder.

    Args:
        root: a video file; a folder of frames; a folder of both kinds of clips; or the root of a DAVIS tree, of which
            JPEGImages/480p is taken, or the only resolution.
        sequences: names, when only some are wanted, in their order.

    Raises:
        InputError: there is no clip, a name is not there, or two clips share a name.
    """
    if not root.exists():
        raise InputError(f"{root}: there is no such file or folder")
    folder = _davis_pictures(root) if (root / "JPEGImages").is_dir() else root
    clips = _clips(folder)
    if not clips:
        raise InputError(f"{folder}: there is no clip", hint="expected video files or folders of frames")
    missing = [name for name in sequences if name not in clips]
    if missing:
        near = difflib.get_close_matches(missing[0], clips, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(list(clips)[:12])}"
        raise InputError(f"{folder}: there is no clip {missing[0]}", hint=hint)
    return [BenchmarkSequence(name, str(clips[name])) for name in sequences or clips]


def _clips(folder: Path) -> dict[str, Path]:
    if folder.is_file():
        return {folder.stem: folder}
    if _has_frames(folder):
        return {folder.resolve().name: folder}
    clips: dict[str, Path] = {}
    for path in sorted(list_folder(folder), key=lambda path: natural_key(path.name)):
        if path.name.startswith("."):
            continue
        if path.suffix.lower() in VIDEO_SUFFIXES or (path.is_dir() and _has_frames(path)):
            name = path.name if path.is_dir() else path.stem
            if name in clips:
                hint = "results are named by the clip; rename one of them"
                raise InputError(f"{folder}: {clips[name].name} and {path.name} are both called {name}", hint=hint)
            clips[name] = path
    return clips


def _has_frames(folder: Path) -> bool:
    return any(path.suffix.lower() in IMAGE_SUFFIXES for path in list_folder(folder) if not path.name.startswith("."))


def _davis_pictures(root: Path) -> Path:
    folders = sorted(path for path in list_folder(root / "JPEGImages") if path.is_dir())
    usual = [path for path in folders if path.name == "480p"] or folders
    if len(usual) != 1:
        there = ", ".join(path.name for path in folders) or "none"
        hint = f"there are: {there}; name one of them itself"
        raise InputError(f"{root / 'JPEGImages'}: there is no resolution 480p", hint=hint)
    return usual[0]


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
        self, tracker: Tracker, frames: Iterable[Frame], annotations: Sequence[Annotation], *, label_type: LabelType
    ) -> Iterator[Prediction]:
        """Yield what `tracker` predicts for every frame.

        Args:
            tracker: the engine or a baseline.
            frames: in order.
            annotations: what is known of some of them.
            label_type: the label type.
        """
        thread = threading.get_ident()
        watched: Iterable[Frame] = self.watched(frames, thread=thread)
        if isinstance(frames, Source):
            watched = _Watched(frames, self, thread)
        predictions = tracker(watched, annotations, label_type=label_type)
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

    def watched(self, frames: Iterable[Frame], *, thread: int) -> Iterator[Frame]:
        """Yield the frames; time spent on them in another thread, as the engine does, is not the tracker's anyway.

        Args:
            frames: in order.
            thread: in which the tracker is called.
        """
        source = iter(frames)
        while True:
            started = time.perf_counter()
            frame = next(source, None)
            if threading.get_ident() == thread:
                self._decoding += time.perf_counter() - started
            if frame is None:
                return
            if frame.undecodable and frame.stem not in self.lost:
                self.lost.append(frame.stem)
            yield frame


class _Watched:
    """A video that can be read at any place, of which a stopwatch does not count the reading."""

    def __init__(self, source: Source, watch: Stopwatch, thread: int) -> None:
        self._source, self._watch, self._thread = source, watch, thread
        self.first, self.last = source.first, source.last

    def __iter__(self) -> Iterator[Frame]:
        return self._watch.watched(self._source, thread=self._thread)

    def part(self, first: int, last: int) -> Iterator[Frame]:
        """Yield the frames from one to before another."""
        return self._watch.watched(self._source.part(first, last), thread=self._thread)

    def backward(self, first: int, last: int) -> Iterator[Frame]:
        """Yield the same frames, the last first."""
        return self._watch.watched(self._source.backward(first, last), thread=self._thread)

    def frame(self, index: int) -> Frame:
        """Return one frame."""
        (frame,) = self.part(index, index + 1)
        return frame


def notes_of(watch: Stopwatch) -> tuple[str, ...]:
    """Return the lines that a run's damaged pictures deserve."""
    if not watch.lost:
        return ()
    more = f" and {len(watch.lost) - 1} more" if len(watch.lost) > 1 else ""
    return (f"a frame cannot be decoded, the picture before stands for it: {watch.lost[0]}{more}",)


def spread(length: int, count: int | None) -> list[int]:
    """Return `count` positions evenly spread over 0 to length - 1, both ends included; all when None or fewer."""
    if count is None or count >= length:
        return list(range(length))
    if count == 1:
        return [0]
    return [round(place * (length - 1) / (count - 1)) for place in range(count)]
