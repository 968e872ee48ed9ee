"""The former lock and record of folders of evaluations and training runs, until they are run folders too."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO, Any

import yaml

from propagate.errors import ConflictError, OutputError
from propagate.runs.record import Digests
from propagate.runs.record import identify_files as _identify_files
from propagate.runs.record import identify_video as _identify_video

Record = dict[str, Any]
LOCK = ".lock"


def identify_video(path: Path, *, name: str) -> Record:
    """Return what is known of a video, without its path."""
    found = _identify_video(path, name=name, base=path.parent, digests=Digests())
    return {key: value for key, value in found.items() if key != "path"}


def identify_files(paths: Iterable[Path]) -> list[Record]:
    """Return name and SHA-256 of files; a folder stands for the files in it."""
    files = [f for p in paths for f in (sorted(q for q in p.iterdir() if q.is_file()) if p.is_dir() else [p])]
    found = _identify_files(files, base=Path(), digests=Digests())
    return [{"name": one["name"], "sha256": one["sha256"]} for one in found]


def lock(folder: Path) -> IO[bytes]:
    """Return a file that keeps other runs out of a folder until it is closed, or its process ends however it ends.

    Raises:
        ConflictError: another run is at work there.
        OutputError: the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / LOCK).open("ab")
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


def remove(path: Path, *, stems: set[str] | None = None) -> None:
    """Remove a file or folder if it is there; of a folder only the files with these stems, where some are given.

    Raises:
        OutputError: it cannot be removed.
    """
    try:
        if not path.is_dir() or path.is_symlink():
            path.unlink(missing_ok=True)
        elif stems is None:
            shutil.rmtree(path)
        else:
            for file in path.iterdir():
                if file.stem in stems:
                    file.unlink()
            if not any(path.iterdir()):
                path.rmdir()
    except OSError as error:
        raise OutputError(f"{path}: cannot be removed: {error.strerror or error}") from error


def differences(there: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return a line for each part of the fingerprint in which two records differ."""
    old, new = _flat(there), _flat(now)
    return [
        f"{name} is {old.get(name, 'absent')} there, {new.get(name, 'absent')} now"
        for name in sorted(old.keys() | new.keys())
        if old.get(name) != new.get(name)
    ]


def _flat(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the compared parts of a record, with dotted names."""
    found: dict[str, Any] = {}

    def add(name: str, value: Any) -> None:
        if isinstance(value, Mapping):
            for key, inner in value.items():
                add(f"{name}.{key}" if name else str(key), inner)
        else:
            found[name.removeprefix("fingerprint.").removeprefix("options.").removeprefix("settings.")] = value

    add("", {key: record.get(key) for key in ("command", "version", "fingerprint", "settings", "results")})
    return found


def is_same_run(path: Path, record: Mapping[str, Any], *, force: bool) -> bool | None:
    """Return whether the record at `path` is of the run that `record` describes; None when there is none.

    Args:
        path: of a run.yaml.
        record: as `fingerprint.run_record` shapes it.
        force: another run there is no error; False is returned.

    Raises:
        ConflictError: another run is there; what differs is named.
    """
    there = _read(path)
    if there is None:
        return None
    found = differences(there, record)
    if found and not force:
        more = f" and {len(found) - 3} more" if len(found) > 3 else ""
        hint = "give another -o, or --force to do it again"
        raise ConflictError(f"{path.parent}: holds another run: {'; '.join(found[:3])}{more}", hint=hint)
    return not found


def _read(path: Path) -> dict[str, Any] | None:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return None
    return content if isinstance(content, dict) else None
