"""Talk on stderr, results on stdout: progress as a bar or as quiet lines, errors in one line."""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from rich.progress import Progress

T = TypeVar("T")
QUIET_SECONDS = 30.0  # between two lines of progress
QUIET_SHARE = 0.1  # of all frames between two lines of progress


def say(text: str, *, quiet: bool = False) -> None:
    """Print a line of talk to stderr."""
    if not quiet:
        print(f"propagate: {text}", file=sys.stderr, flush=True)


def say_error(text: str) -> None:
    """Print the one line of an error to stderr."""
    print(f"propagate: error: {' '.join(text.split())}", file=sys.stderr, flush=True)


def show(text: str) -> None:
    """Print a result to stdout."""
    print(text, flush=True)


def show_json(value: Any) -> None:
    """Print a value as one line of JSON to stdout."""
    print(json.dumps(value, ensure_ascii=False), flush=True)


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
    logger = logging.getLogger("propagate")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("propagate: %(levelname)s: %(message)s"))
    logging.addLevelName(logging.WARNING, "warning")
    logger.handlers[:] = [handler]
    logger.setLevel(logging.WARNING)


def is_terminal() -> bool:
    """Return whether stderr is a terminal that a bar can be drawn on."""
    return sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


def progress(items: Iterable[T], *, done: int, total: int, what: str, quiet: bool = False) -> Iterator[T]:
    """Yield the items, showing how many are done, how fast, and how long the rest takes.

    Args:
        items: what is being done.
        done: how many were done before.
        total: how many there are in all.
        what: what is counted, such as "frames".
        quiet: show nothing.
    """
    if quiet:
        return iter(items)
    return _bar(items, done, total, what) if is_terminal() else _lines(items, done, total, what)


def every(seconds: float, text: str, *, quiet: bool = False) -> Callable[..., None]:
    """Return what says `text`, filled in, when that many seconds have gone by since it last did."""
    last = time.monotonic()

    def tell(*values: object) -> None:
        nonlocal last
        if time.monotonic() - last >= seconds:
            last = time.monotonic()
            say(text.format(*values), quiet=quiet)

    return tell


def _bar(items: Iterable[T], done: int, total: int, what: str) -> Iterator[T]:
    with _rich_bar(what) as bar:
        task = bar.add_task("propagate", total=total, completed=done, rate="")
        begin, number = time.monotonic(), 0
        for number, item in enumerate(items, 1):
            rate = number / max(time.monotonic() - begin, 1e-9)
            bar.update(task, advance=1, rate=f"{rate:.1f} {what}/s")
            yield item


def _rich_bar(what: str) -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(what),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    return Progress(*columns, console=Console(stderr=True), transient=False)


def _lines(items: Iterable[T], done: int, total: int, what: str) -> Iterator[T]:
    begin = last_time = time.monotonic()
    first = last_done = done
    for item in items:
        yield item
        done += 1
        now = time.monotonic()
        due = done - last_done >= QUIET_SHARE * total or now - last_time >= QUIET_SECONDS
        if due and now - last_time >= 1 and done < total:
            rate = (done - first) / (now - begin)
            left = (total - done) / rate
            say(f"{done} of {total} {what}, {rate:.1f} {what}/s, {seconds(left)} left")
            last_done, last_time = done, now


def seconds(value: float) -> str:
    """Return a duration in words: "4 s", "3 min", "2.5 h"."""
    if value < 90:
        return f"{value:.0f} s"
    return f"{value / 60:.0f} min" if value < 5400 else f"{value / 3600:.1f} h"


def frames(indices: Sequence[int], *, most: int = 20) -> str:
    """Return frames in words: "frame 7", "frames 7, 8", "frames 7, 8, ... and 5 more" beyond `most`."""
    listed = ", ".join(map(str, indices[:most])) + (f" and {len(indices) - most} more" if len(indices) > most else "")
    return f"frame{'' if len(indices) == 1 else 's'} {listed}"
