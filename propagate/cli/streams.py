"""The three standard streams, whatever state the caller has left them in: closed, full, broken, or ASCII.

Standard error is talk: what cannot be written there is dropped, and the work goes on. Standard output is the result:
what cannot be written there is an error, once, and nothing is left in a buffer that would fail again at the end.
"""

from __future__ import annotations

import io
import os
import select
import sys
from typing import Any

from propagate.errors import OutputError

BROKEN_PIPE = 141  # 128 + SIGPIPE, as a shell reports it


class ReaderGoneError(OutputError):
    """Whoever read standard output has left, as `head` does: no failure, nothing to say."""

    exit_code = BROKEN_PIPE


def open_streams() -> None:
    """Make the standard streams usable. Names that an encoding cannot hold are written with backslashes."""
    _fill_missing()
    if sys.stdin is None:
        sys.stdin = open(0, encoding="utf-8")  # noqa: SIM115 - open for as long as the process lives
    if os.name == "nt":  # consoles there have streams of their own
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")
        return
    sys.stdout = _text(_Results(1, "wb", closefd=False), sys.stdout)
    sys.stderr = _text(_Talk(2, "wb", closefd=False), sys.stderr)


def _fill_missing() -> None:
    """Open the null device in place of streams that are closed, or a file that is opened later would get the talk."""
    for number, mode in enumerate((os.O_RDONLY, os.O_WRONLY, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, mode), True)  # takes the lowest free number, which is this one


def _text(raw: io.FileIO, before: Any) -> io.TextIOWrapper:
    """Return a text stream into `raw`, with the encoding that the stream before it had."""
    encoding = getattr(before, "encoding", None) or "utf-8"
    return io.TextIOWrapper(io.BufferedWriter(raw), encoding, errors="backslashreplace", line_buffering=True)


class _Patient(io.FileIO):
    """A file that waits where a pipe or a terminal takes nothing at the moment."""

    def write(self, data: Any) -> int:
        while (count := super().write(data)) is None:
            select.select([], [self], [])
        return count


class _Talk(_Patient):
    """Standard error: a full disk or a terminal that is gone must not end the work."""

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except OSError:
            return len(data)


class _Results(_Patient):
    """Standard output: what cannot be written is raised once; what comes after that is dropped."""

    _lost = False

    def write(self, data: Any) -> int:
        if self._lost:
            return len(data)
        try:
            return super().write(data)
        except BrokenPipeError as error:
            self._lost = True
            raise ReaderGoneError("nobody reads standard output") from error
        except OSError as error:
            self._lost = True
            raise OutputError(f"standard output cannot be written: {error.strerror or error}") from error
