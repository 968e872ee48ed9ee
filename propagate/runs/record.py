"""What a run depends on, as plain data: compared before a run continues, and written to run.yaml."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

import propagate
from propagate.config import PropagateConfig
from propagate.errors import ConflictError, InputError
from propagate.files import is_folder, list_folder
from propagate.video.folder import list_images

PIECE = 1 << 20  # bytes of a video that are read from its start and from its end
IMAGE_PIECE = 1 << 14  # the same for each image of a folder

Record = dict[str, Any]


def identify_video(path: Path, *, name: str) -> Record:
    """Return name, size in bytes, and a hash over the first and last megabyte of a video, or over a folder's images.

    Args:
        path: the file (a pipe's copy), or the folder.
        name: what the user calls it; only its last part is kept, so that a moved project continues.

    Raises:
        InputError: it cannot be read.
    """
    images = list_images(path) if path.is_dir() else None
    digest = hashlib.sha256()
    size = 0
    try:
        for part in images or [path]:
            length = part.stat().st_size
            size += length
            digest.update(f"{part.name if images else ''} {length}\n".encode())
            _update(digest, part, length, piece=IMAGE_PIECE if images else PIECE)
    except OSError as error:
        raise InputError(f"{name}: cannot be read: {error.strerror or error}") from error
    plain = "-" if name == "-" else Path(name).resolve().name
    return {"name": plain, "bytes": size, "sha256": digest.hexdigest()}


def _update(digest: hashlib._Hash, path: Path, length: int, *, piece: int) -> None:
    with path.open("rb") as file:
        digest.update(file.read(piece))
        if length > piece:
            file.seek(max(piece, length - piece))
            digest.update(file.read(piece))


def identify_files(paths: Iterable[Path]) -> list[Record]:
    """Return name and SHA-256 of label files; a folder stands for the files in it.

    Raises:
        InputError: one cannot be read.
    """
    found: list[Record] = []
    for path in paths:
        files = sorted(p for p in list_folder(path) if p.is_file()) if is_folder(path) else [path]
        for file in files:
            try:
                found.append({"name": file.name, "sha256": hashlib.sha256(file.read_bytes()).hexdigest()})
            except OSError as error:
                raise InputError(f"{file}: cannot be read: {error.strerror or error}") from error
    return found


def run_record(
    command: str,
    config: PropagateConfig,
    *,
    inputs: Mapping[str, Any],
    options: Mapping[str, Any],
    described: Mapping[str, Any],
) -> Record:
    """Return the content of run.yaml. It holds no times, so that a repeated run writes the same bytes.

    Args:
        command: the command's name.
        config: the resolved settings.
        inputs: what `identify_video` and `identify_files` say, and the digest of the weights.
        options: the command's own options that change what is written.
        described: what was recognised: `ids`, `colors`, `forms`; not compared.
    """
    return {
        "command": command,
        "version": propagate.__version__,
        "fingerprint": {**inputs, "options": dict(options)},
        "settings": dataclasses.asdict(config),
        **described,
    }


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
