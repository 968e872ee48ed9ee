"""One run: frames through the engine into files, resumed where an earlier one was stopped."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from queue import Queue
from threading import Thread
from types import TracebackType
from typing import Generic, Self, TypeVar

from propagate.engine.ahead import ahead
from propagate.engine.propagation import Propagation, Snapshot
from propagate.errors import PropagateError
from propagate.runs.checkpoint import load_state, save_state
from propagate.runs.folder import Place
from propagate.runs.outputs import Sink
from propagate.values import Frame, Prediction
from propagate.video import VideoReader

T = TypeVar("T")


class Behind(Generic[T]):
    """Calls `work` for every item that is put, in order, in a thread. Use it as a context manager.

    After an error nothing more is done; the error is raised by the next `put`, or on leaving.

    Args:
        work: called with one item at a time.
        depth: how many items may wait; `put` blocks beyond.
    """

    def __init__(self, work: Callable[[T], None], *, depth: int = 4) -> None:
        self._work = work
        self._waiting: Queue[tuple[T] | None] = Queue(maxsize=depth)
        self._error: BaseException | None = None
        self._thread = Thread(target=self._run, name="behind", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._waiting.put(None)
        self._thread.join()
        if self._error is not None and self._error is not error:
            raise self._error

    def put(self, item: T) -> None:
        """Hand an item over; raises what an earlier one's work raised."""
        if self._error is not None:
            raise self._error
        self._waiting.put((item,))

    def _run(self) -> None:
        while (waiting := self._waiting.get()) is not None:
            if self._error is None:
                try:
                    self._work(waiting[0])
                except BaseException as error:  # raised in the thread that puts
                    self._error = error


class StoppedError(PropagateError):
    """The run was stopped by a signal between two frames, or steps.

    Args:
        signal: the signal's number; the exit code is 128 more (130 for Ctrl-C, 143 for SIGTERM).
        done: how many are done.
        total: how many there are; 0 when only time ends the run.
        kept: how many need not be done again; all that are done unless a video is written, which keeps whole pieces.
        what: what is counted.
    """

    def __init__(self, signal: int, *, done: int, total: int, kept: int, what: str = "frames") -> None:
        after = "" if kept == done else f" after {kept} {what}" if kept else " from the start"
        of = f" of {total}" if total else ""
        super().__init__(f"stopped after {done}{of} {what}", hint=f"the same command continues{after}")
        self.exit_code = 128 + signal


def never() -> int | None:
    """Return the signal that asks a run to stop: none ever does."""
    return None


def same(frame: Frame) -> Frame:
    """Return the frame as it is."""
    return frame


@dataclass
class Run:
    """One video being worked on; made by `request.begin`. Iterate to do it, `close` it at the end.

    Attributes:
        reader: the video.
        propagation: the engine; None when the run was finished before.
        place: where its files go.
        sinks: what writes them, in this order for each frame.
        notes: lines for the user: what was recognised, what was passed over.
        done: how many frames are done.
        recall: frames before that whose features the window needs again.
        stop: asked after every frame; a signal's number stops the run.
        see: what the engine is shown of a frame (colorize: its luma only).
    """

    reader: VideoReader
    propagation: Propagation | None
    place: Place
    sinks: Sequence[Sink] = ()
    notes: tuple[str, ...] = ()
    done: int = 0
    recall: frozenset[int] = frozenset()
    stop: Callable[[], int | None] = never
    see: Callable[[Frame], Frame] = same

    @property
    def total(self) -> int:
        """How many frames there are."""
        return len(self.reader)

    @property
    def finished(self) -> bool:
        """Whether all files are there."""
        return self.propagation is None

    @property
    def log(self) -> Path:
        """The run's results.jsonl, for runs that fill a folder."""
        return self.place.out / "results.jsonl"

    def close(self) -> None:
        """Let go of the video and of files that are open."""
        for sink in self.sinks:
            sink.close()
        self.reader.close()

    def __iter__(self) -> Generator[Prediction, None, None]:
        """Yield each frame's prediction once it is on its way to disk.

        Raises:
            StoppedError: `stop` said so; the state is saved.
            OutputError: a result cannot be written; the same run continues once it can.
            InputError: the video changes its size.
            DeviceError: out of memory.
        """
        if self.propagation is None:
            return
        with Behind(self._write) as writer:
            yield from self._carry(self.propagation, writer)
        for sink in self.sinks:
            sink.finish()
        self.place.finish()
        self.propagation = None

    def take_up(self) -> None:
        """Continue from the state that an earlier run left, if there is one and all its files are there.

        Raises:
            InputError: the results were changed from outside.
            OutputError: files cannot be cut back.
        """
        if self.propagation is None:
            return
        snapshot = load_state(self.place.state)
        if snapshot is not None and not all(sink.reaches(snapshot.next) for sink in self.sinks):
            snapshot = None
        start = self.reader.first if snapshot is None else snapshot.next
        for sink in reversed(self.sinks):  # the results are cut last: the other sinks ask them for stems
            sink.resume(start)
        self.done = start - self.reader.first
        self.recall = frozenset() if snapshot is None else self.propagation.restore_snapshot(snapshot)

    def _carry(
        self, propagation: Propagation, writer: Behind[Prediction | Snapshot]
    ) -> Generator[Prediction, None, None]:
        start = self.reader.first + self.done
        with closing(ahead(self.reader)) as frames:
            for frame in map(self.see, frames):
                if frame.index < start:
                    if frame.index in self.recall:
                        propagation.recall(frame)
                    self._check_stop()
                    continue
                prediction = propagation.step(frame)
                writer.put(prediction)
                self.done += 1
                if self.done % propagation.config.checkpoint == 0:
                    writer.put(propagation.snapshot())
                yield from self._shown(prediction, propagation, writer)

    @property
    def _kept(self) -> int:
        """How many frames a run that is stopped now would not do again."""
        if self.propagation is None or all(sink.any_frame for sink in self.sinks):
            return self.done
        return self.done - self.done % self.propagation.config.checkpoint

    def _shown(
        self, prediction: Prediction, propagation: Propagation, writer: Behind[Prediction | Snapshot]
    ) -> Generator[Prediction, None, None]:
        """Yield a prediction; save the state when the consumer leaves or a signal asks to stop."""
        try:
            yield prediction
            self._check_stop()
        except (GeneratorExit, StoppedError):
            if all(sink.any_frame for sink in self.sinks):  # a video has its state of the last checkpoint
                writer.put(propagation.snapshot())
            raise

    def _check_stop(self) -> None:
        if self.done < self.total and (signal := self.stop()) is not None:
            raise StoppedError(signal, done=self.done, total=self.total, kept=self._kept)

    def _write(self, item: Prediction | Snapshot) -> None:
        """Write what one frame gives, or the state after it: in one thread, so a state never precedes its frames."""
        if isinstance(item, Snapshot):
            save_state(self.place.state, item)
            return
        for sink in self.sinks:
            sink.write(item)
