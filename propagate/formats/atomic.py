"""Whole files or none: written under a temporary name in the same folder, then renamed."""

from __future__ import annotations

import os
from pathlib import Path

from propagate.errors import OutputError


def partial_of(path: Path) -> Path:
    """Return the temporary name under which `path` is written; a killed run may leave it behind."""
    return path.with_name(f".{path.name}.partial")


def write_bytes(path: Path, data: bytes) -> None:
    """Write `data` to `path` so that a reader sees the old file or the whole new one.

    Raises:
        OutputError: the folder is missing, read-only or full.
    """
    partial = partial_of(path)
    try:
        partial.write_bytes(data)
        os.replace(partial, path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise OutputError(f"{path}: cannot be written: {error.strerror or error}") from error


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8, whole or not at all.

    Raises:
        OutputError: the folder is missing, read-only or full.
    """
    write_bytes(path, text.encode())
