"""Lists and manifests: files that name videos, and what they say of them."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from propagate.errors import InputError

MANIFEST = "manifest.csv"  # looked for beside a video and one folder above
_PATHS = ("file", "path", "video")  # columns that name the video, the first that is there
_GROUPS = ("source_repo", "group")
_FOLDER = "pack"  # a column: the folder, beside the manifest, that holds the video


def absolute(path: Path) -> Path:
    """Return a path without `..`, from the root on; links stay what they are."""
    return Path(os.path.normpath(path.absolute()))


def read_list(path: Path) -> list[Path]:
    """Return the paths that a list names, one a line, relative to it; empty lines and those with # are passed over.

    Raises:
        InputError: it cannot be read, or names nothing.
    """
    lines = [line.strip() for line in _text(path).splitlines()]
    named = [absolute(path.parent / Path(line).expanduser()) for line in lines if line and not line.startswith("#")]
    if not named:
        raise InputError(f"{path}: an empty list", hint="expected a path a line")
    return named


def read_manifest(path: Path) -> list[tuple[Path, str | None]]:
    """Return the videos that a manifest names and the group of each, None where it gives none.

    Raises:
        InputError: it cannot be read, or no column names videos.
    """
    return [(entry, group_of(row)) for entry, row in manifest_rows(path)]


def manifest_rows(path: Path) -> list[tuple[Path, dict[str, str]]]:
    """Return the videos that a manifest names and the whole row of each, by the names of the columns.

    Raises:
        InputError: it cannot be read, or no column names videos.
    """
    rows = csv.DictReader(_text(path).splitlines())
    columns = rows.fieldnames or ()
    name = next((column for column in _PATHS if column in columns), None)
    if name is None:
        raise InputError(f"{path}: no column named {', '.join(_PATHS)}", hint=f"it has: {', '.join(columns) or 'none'}")
    found: list[tuple[Path, dict[str, str]]] = []
    for row in rows:
        if row.get(name):
            entry = absolute(path.parent / (row.get(_FOLDER) or "") / row[name])
            found.append((entry, {column: row[column] or "" for column in columns}))
    return found


def group_of(row: Mapping[str, str]) -> str | None:
    """Return the group that a row of a manifest gives its video, None where it gives none."""
    column = next((column for column in _GROUPS if column in row), None)
    return (row[column] or None) if column else None


class Manifests:
    """What is said of videos by the manifests that lie about; each manifest is read once."""

    def __init__(self) -> None:
        self._rows: dict[Path, dict[Path, dict[str, str]]] = {}  # by the folder of the manifest

    def group(self, video: Path) -> str:
        """Return the group that a manifest beside the video, or one folder above, gives it; else its folder."""
        return next((group for row in self._about(video) if (group := group_of(row)) is not None), str(video.parent))

    def row(self, video: Path) -> dict[str, str]:
        """Return the row of a manifest beside the video, or one folder above; nothing where there is none."""
        return next(self._about(video), {})

    def _about(self, video: Path) -> Iterator[dict[str, str]]:
        for folder in (video.parent, video.parent.parent):
            if (row := self._of(folder).get(video)) is not None:
                yield row

    def _of(self, folder: Path) -> dict[Path, dict[str, str]]:
        if folder not in self._rows:
            manifest = folder / MANIFEST
            try:
                self._rows[folder] = dict(manifest_rows(manifest) if manifest.is_file() else [])
            except InputError:  # a file of the same name that is something else
                self._rows[folder] = {}
        return self._rows[folder]


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise InputError(f"{path}: cannot be read: {reason}") from error
