"""Work ahead and work behind: order, bounds, errors, and threads that end."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from itertools import count, islice

import pytest

from propagate.engine.ahead import ahead
from propagate.runs.run import Behind


def running() -> set[str]:
    return {thread.name for thread in threading.enumerate()} & {"ahead", "behind"}


@pytest.mark.parametrize("depth", [1, 2, 5])
def test_items_come_in_order(depth: int) -> None:
    assert list(ahead(range(100), depth=depth)) == list(range(100))
    assert not running()


def test_no_more_than_depth_items_wait() -> None:
    made: list[int] = []
    items = ahead((made.append(n) or n for n in range(100)), depth=3)
    next(items)
    time.sleep(0.05)
    assert len(made) <= 1 + 3 + 1  # taken, waiting, held by the thread
    items.close()


def test_an_error_comes_after_the_items_before_it() -> None:
    def broken() -> Iterator[int]:
        yield 1
        raise KeyError("two")

    items = ahead(broken())
    assert next(items) == 1
    with pytest.raises(KeyError, match="two"):
        next(items)


@pytest.mark.parametrize("depth", [1, 2])
def test_leaving_early_ends_the_thread_and_closes_the_items(depth: int) -> None:
    closed = []

    def endless() -> Iterator[int]:
        try:
            yield from count()
        finally:
            closed.append(threading.current_thread().name)

    items = ahead(endless(), depth=depth)
    assert list(islice(items, 5)) == [0, 1, 2, 3, 4]
    items.close()
    assert (closed, running()) == (["ahead"], set())


def test_depth_is_at_least_one() -> None:
    with pytest.raises(ValueError, match="depth must be 1 or more"):
        ahead([], depth=0)


def test_work_is_done_in_order_before_leaving() -> None:
    done: list[int] = []
    with Behind(done.append, depth=2) as behind:
        for number in range(50):
            behind.put(number)
    assert (done, running()) == (list(range(50)), set())


def test_an_error_of_the_work_is_raised_where_it_is_put() -> None:
    done: list[int] = []

    def work(number: int) -> None:
        if number == 3:
            raise OSError("full")
        done.append(number)

    def put_all() -> None:
        with Behind(work) as behind:
            for number in range(1000):
                behind.put(number)

    with pytest.raises(OSError, match="full"):
        put_all()
    assert (done, running()) == ([0, 1, 2], set())


def test_an_error_of_the_last_item_is_raised_on_leaving() -> None:
    with pytest.raises(ZeroDivisionError), Behind(lambda number: 1 // number) as behind:
        behind.put(0)
