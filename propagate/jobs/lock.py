"""One run at a time in a folder."""

from __future__ import annotations

from pathlib import Path
from typing import IO

from propagate.errors import ConflictError, OutputError

NAME = ".lock"


def lock(folder: Path) -> IO[bytes]:
    """Return a file that keeps other runs out of a folder until it is closed, or its process ends however it ends.

    Raises:
        ConflictError: another run is at work there.
        OutputError: the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / NAME).open("ab")
    except OSError as error:
        raise OutputError(f"{folder}: cannot be written: {error.strerror or error}") from error
    try:
        import fcntl
    except ImportError:  # Windows: two runs are not kept apart there
        return file
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.close()
        raise ConflictError(f"{folder}: another run is at work here", hint="wait for it, or give another -o") from error
    return file
