"""Work in threads: frames are decoded ahead, results written behind, and one frame's parts computed side by side."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from queue import Empty, Queue
from threading import Barrier, Event, Thread
from types import TracebackType
from typing import Generic, Self, TypeVar

import torch

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class _End:
    """The last thing in a queue: there are no more items, or an error stopped them."""

    error: BaseException | None = None


def ahead(items: Iterable[T], *, depth: int = 2) -> Generator[T, None, None]:
    """Yield the items, which a thread makes up to `depth` in advance.

    What `items` raises is raised here, after the items before it. When the consumer stops early (closes this
    generator) the thread ends, and closes `items` if that is a generator, before closing returns.

    Args:
        items: anything that can be iterated; it is used in the other thread only.
        depth: how many items may wait, at least 1.
    """
    if depth < 1:
        raise ValueError(f"depth must be 1 or more, not {depth}")
    return _taken(items, depth)


def _taken(items: Iterable[T], depth: int) -> Generator[T, None, None]:
    waiting: Queue[T | _End] = Queue(maxsize=depth)
    stop = Event()
    thread = Thread(target=_fill, args=(items, waiting, stop), name="ahead", daemon=True)
    thread.start()
    try:
        while not isinstance(item := waiting.get(), _End):
            yield item
        if item.error is not None:
            raise item.error
    finally:
        stop.set()
        with suppress(Empty):  # room for the one item that the thread may be holding
            while True:
                waiting.get_nowait()
        thread.join()


def _fill(items: Iterable[T], waiting: Queue[T | _End], stop: Event) -> None:
    """Put the items into the queue until they end or `stop` is set."""
    iterator = iter(items)
    end = _End()
    try:
        for item in iterator:
            waiting.put(item)
            if stop.is_set():
                break
    except BaseException as error:  # handed to the consumer, whatever it is
        end = _End(error)
    finally:
        if (close := getattr(iterator, "close", None)) is not None:
            close()
        if not stop.is_set():
            waiting.put(end)


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

    def flush(self) -> None:
        """Wait until all is done that was handed over; raises what its work raised."""
        self._waiting.join()
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        while (waiting := self._waiting.get()) is not None:
            if self._error is None:
                try:
                    self._work(waiting[0])
                except BaseException as error:  # raised in the thread that puts
                    self._error = error
            self._waiting.task_done()


def in_parallel(work: Callable[[T], R], items: Iterable[T], *, threads: int) -> Iterator[R]:
    """Yield `work(item)` in order; several items are worked on at once, each by one thread.

    For many small operations: to share each of them between threads takes longer than to compute it. What comes out
    does not depend on the number of threads.

    Args:
        work: what is done with an item.
        items: what it is done with.
        threads: how many items at once.
    """
    inference = torch.is_inference_mode_enabled()

    def alone(item: T) -> R:
        with torch.inference_mode(inference):
            return work(item)

    yield from map(work, items) if threads == 1 else _pool(threads).map(alone, items)


@lru_cache(maxsize=1)
def _pool(threads: int) -> ThreadPoolExecutor:
    """Return a pool in which torch has one thread a worker; elsewhere it keeps what it has.

    torch keeps the number by thread, but gives every new thread the number that was set last.
    """
    began, before = Barrier(threads), torch.get_num_threads()
    pool = ThreadPoolExecutor(threads, thread_name_prefix="beside", initializer=torch.set_num_threads, initargs=(1,))
    for started in [pool.submit(began.wait) for _ in range(threads)]:
        started.result()
    torch.set_num_threads(before)
    return pool
