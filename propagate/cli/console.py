"""Talk on stderr, results on stdout: progress as a bar or as quiet lines, errors in one line."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from rich.progress import Progress

T = TypeVar("T")
LONGEST = 2000  # characters of an error; a value in it may be anything
QUIET_SECONDS = 30.0  # between two lines of progress
QUIET_SHARE = 0.1  # of all frames between two lines of progress


def say(text: str, *, quiet: bool = False) -> None:
    """Print a line of talk to stderr."""
    if not quiet:
        print(f"propagate: {_one_line(text)}", file=sys.stderr, flush=True)


def say_error(text: str) -> None:
    """Print the one line of an error to stderr."""
    half = LONGEST // 2
    say(f"error: {text if len(text) <= LONGEST else f'{text[:half]} ... {text[-half:]}'}")


def _one_line(text: str) -> str:
    """Return a text in one line, with what a terminal would obey or cannot show written out: names hold anything."""
    line = " ".join(text.split())
    return line if line.isprintable() else "".join(map(_shown, line))


def _shown(character: str) -> str:
    return character if character.isprintable() else character.encode("unicode_escape").decode("ascii")


def show(text: str) -> None:
    """Print a result to stdout."""
    print(text, flush=True)


def show_json(value: Any) -> None:
    """Print a value as one line of JSON to stdout; escaped where its encoding lacks a character."""
    line = json.dumps(value, ensure_ascii=False)
    try:
        line.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:  # a name that is not UTF-8, or an ASCII stream
        line = json.dumps(value)
    print(line, flush=True)


def show_table(rows: Sequence[Sequence[str]]) -> None:
    """Print a table to stdout: a heading row, then rows of cells; plain text with columns aligned."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for number, row in enumerate(rows):
        first, *rest = (
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        show("  ".join([first, *rest]).rstrip())
        if number == 0:
            show("  ".join("-" * width for width in widths))


def show_swatches(colors: Sequence[str]) -> None:
    """Print colours "#rrggbb" to stdout as blocks of them; nothing where stdout shows no colour."""
    from rich.console import Console
    from rich.text import Text

    console = Console()
    if colors and console.is_terminal and console.color_system:
        console.print(Text.assemble(*(("    ", f"on {color}") for color in colors)), soft_wrap=True)


def log_to_stderr() -> None:
    """Show the library's warnings, a line each."""
    import logging

    class Said(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            say(f"{record.levelname.lower()}: {record.getMessage()}")

    logger = logging.getLogger("propagate")
    logger.handlers[:] = [Said()]
    logger.setLevel(logging.WARNING)


def is_terminal() -> bool:
    """Return whether stderr is a terminal that a bar can be drawn on."""
    return sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


def progress(
    items: Iterable[T],
    *,
    done: int,
    total: int,
    what: str,
    quiet: bool = False,
    free: Callable[[T], bool] = lambda _: False,
) -> Iterator[T]:
    """Yield the items, showing how many are done, how fast, and how long the rest takes.

    Args:
        items: what is being done.
        done: how many were done before.
        total: how many there are in all.
        what: what is counted, such as "frames".
        quiet: show nothing.
        free: whether an item cost no time, and says nothing of how long the rest takes.
    """
    if quiet:
        return iter(items)
    return (_bar if is_terminal() else _lines)(items, done, total, what, free)


class _Pace:
    """How fast items are done, counted since the last one that cost nothing."""

    def __init__(self) -> None:
        self.now = self._begin = time.monotonic()
        self._count = 0

    def count(self, *, free: bool) -> None:
        """Take note of an item that is done."""
        self.now = time.monotonic()
        self._count += 1
        if free:
            self._begin, self._count = self.now, 0

    def line(self, left: int, what: str) -> str:
        """Return the pace and the time that so many more items take; nothing while no item has cost any."""
        if not self._count:
            return ""
        each = max(self.now - self._begin, 1e-9) / self._count
        return f"{1 / each:.1f} {what}/s, {seconds(left * each)} left"


def every(seconds: float, text: str, *, quiet: bool = False) -> Callable[..., None]:
    """Return what says `text`, filled in, when that many seconds have gone by since it last did."""
    last = time.monotonic()

    def tell(*values: object) -> None:
        nonlocal last
        if time.monotonic() - last >= seconds:
            last = time.monotonic()
            say(text.format(*values), quiet=quiet)

    return tell


def _bar(items: Iterable[T], done: int, total: int, what: str, free: Callable[[T], bool]) -> Iterator[T]:
    with _rich_bar(what) as bar:
        task = bar.add_task("propagate", total=total, completed=done, pace="")
        pace = _Pace()
        for item in items:
            yield item
            done += 1
            pace.count(free=free(item))
            bar.update(task, advance=1, pace=pace.line(total - done, what))


def _rich_bar(what: str) -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (BarColumn(), MofNCompleteColumn(), TextColumn(what), TextColumn("{task.fields[pace]}"))
    return Progress(*columns, console=Console(stderr=True), transient=False)


def _lines(items: Iterable[T], done: int, total: int, what: str, free: Callable[[T], bool]) -> Iterator[T]:
    pace, last_done = _Pace(), done
    last_time = pace.now
    for item in items:
        yield item
        done += 1
        pace.count(free=free(item))
        due = done - last_done >= QUIET_SHARE * total or pace.now - last_time >= QUIET_SECONDS
        if due and pace.now - last_time >= 1 and done < total:
            said = pace.line(total - done, what)
            say(f"{done} of {total} {what}{', ' if said else ''}{said}")
            last_done, last_time = done, pace.now


def seconds(value: float) -> str:
    """Return a duration in words: "4 s", "3 min", "2.5 h"."""
    if value < 90:
        return f"{value:.0f} s"
    return f"{value / 60:.0f} min" if value < 5400 else f"{value / 3600:.1f} h"


def frames(indices: Sequence[int], *, most: int = 20) -> str:
    """Return frames in words: "frame 7", "frames 7, 8", "frames 7, 8, ... and 5 more" beyond `most`."""
    listed = ", ".join(map(str, indices[:most])) + (f" and {len(indices) - most} more" if len(indices) > most else "")
    return f"frame{'' if len(indices) == 1 else 's'} {listed}"
