"""results.jsonl of a run: the lines of the manifest, in the order of the frames."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from propagate.errors import InputError, OutputError
from propagate.formats import results
from propagate.formats.atomic import write_bytes
from propagate.runs.folder import RunFolder, rename_edited, unwritable
from propagate.runs.manifest import FrameEntry


class ResultsLog:
    """The file, made again from the manifest wherever it differs; a copy that a person edited is moved aside.

    Args:
        folder: of the run.
    """

    def __init__(self, folder: RunFolder) -> None:
        self.path, self._manifest = folder.log, folder.manifest
        self.moved: Path | None = None  # where an edited file went
        self._next = 0  # index of the first frame that has no line yet

    def is_whole(self, frames: range) -> bool:
        """Return whether the file holds just the lines of these frames."""
        wanted = (_line(entry) for index in frames if (entry := self._manifest.frame(index)) is not None)
        return self._there() == b"".join(wanted)

    def begin(self, entries: Iterable[FrameEntry]) -> None:
        """Write the lines of the frames that come before the first that is made again.

        Raises:
            OutputError: it cannot be written.
        """
        there = self._there()
        if there and not all(self._is_ours(line) for line in there.splitlines(keepends=True)):
            self.moved = rename_edited(self.path)
            there = b""
        lines = []  # joined once: a sum of bytes would copy them all for every frame
        for entry in entries:
            lines.append(_line(entry))
            self._next = entry.frame + 1
        if there != (whole := b"".join(lines)) or not self.path.exists():
            write_bytes(self.path, whole, sync=False)

    def append(self, entry: FrameEntry) -> None:
        """Add the line of a frame, unless it is there already; one that does not fit on the disk is cut off again.

        Raises:
            OutputError: it cannot be written.
        """
        if entry.frame < self._next:
            return
        size = self.path.stat().st_size
        try:
            with self.path.open("ab") as file:
                file.write(_line(entry))
        except OSError as error:
            os.truncate(self.path, size)
            raise OutputError(f"{self.path}: cannot be written: {error.strerror or error}") from error

    def _there(self) -> bytes:
        try:
            return self.path.read_bytes()
        except FileNotFoundError:
            return b""
        except OSError as error:
            raise unwritable(self.path, error) from error

    def _is_ours(self, line: bytes) -> bool:
        """Return whether a run wrote a line, or what damage left of one, where runs wrote files."""
        try:
            content = results.parse_line(line)
        except InputError:
            return bool(self._manifest.written) and (b"\0" in line or not line.endswith(b"\n"))
        entry = self._manifest.frame(content["index"])
        return entry is None or _line(entry) == line


def _line(entry: FrameEntry) -> bytes:
    return results.line_bytes(dict(entry.line))
