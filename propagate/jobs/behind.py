"""Work behind: results are written in a thread, in order, while the next frame is computed."""

from __future__ import annotations

from collections.abc import Callable
from queue import Queue
from threading import Thread
from types import TracebackType
from typing import Generic, Self, TypeVar

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
