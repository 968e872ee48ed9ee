"""Standard input and pipes as files: a pipe cannot be sought, and an mp4 may hold its index at the end.

Everything is copied to a temporary file first, in pieces, so memory stays flat and the frame count is known.
"""

from __future__ import annotations

import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from propagate.errors import InputError, OutputError

_PIECE = 1 << 20  # bytes copied at a time


def needs_spool(source: str | Path) -> bool:
    """Return whether `source` is "-" or a named pipe."""
    if str(source) == "-":
        return True
    path = Path(source)
    return path.exists() and stat.S_ISFIFO(path.stat().st_mode)


@contextmanager
def spooled(source: str | Path) -> Iterator[Path]:
    """Yield a temporary file with all that a pipe gives; it is removed at the end.

    Args:
        source: "-" for standard input, or a named pipe.

    Raises:
        InputError: nothing came.
        OutputError: the temporary folder has no room.
    """
    with tempfile.NamedTemporaryFile(prefix="propagate-", suffix=".video") as file:
        try:
            _copy(source, Path(file.name))
        except OSError as error:
            hint = "set TMPDIR to a folder with room, or give a file"
            raise OutputError(f"{source}: cannot be copied to {file.name}: {error.strerror}", hint=hint) from error
        if Path(file.name).stat().st_size == 0:
            raise InputError(f"{source}: the pipe gave no bytes", hint="check the command that feeds it")
        yield Path(file.name)


def _copy(source: str | Path, target: Path) -> None:
    with target.open("wb") as out:
        if str(source) == "-":
            shutil.copyfileobj(sys.stdin.buffer, out, _PIECE)
            return
        with Path(source).open("rb") as pipe:
            shutil.copyfileobj(pipe, out, _PIECE)
