"""What a run depends on, as plain data: digests of inputs, run.yaml, and what differs between two runs."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import propagate
from propagate.config import PropagateConfig
from propagate.errors import OutputError
from propagate.files import IMAGE_SUFFIXES, cannot_read, check_file, files_in, is_folder
from propagate.formats.atomic import write_text

Record = dict[str, Any]
MACHINE = ("device", "threads", "checkpoint")  # settings that do not make it another run
NAMED = ("name", "path", "bytes")  # parts of an input that may change while its content stays
_LONGEST = 60  # characters of a value in a message


class Digests:
    """SHA-256 of whole files; a file that the system says is unchanged since the last time is not read again.

    Args:
        cache: where digests are kept between runs; None keeps them in memory.
    """

    def __init__(self, cache: Path | None = None) -> None:
        self._cache = cache
        self._known: dict[str, list[Any]] = _read_cache(cache) if cache else {}
        self._changed = False

    def of(self, path: Path) -> str:
        """Return the SHA-256 of a file's content, hexadecimal.

        Raises:
            InputError: it cannot be read.
        """
        check_file(path)  # opening a pipe would wait for ever
        name = str(path.absolute())
        try:
            stamp = _stamp(path)
            if (known := self._known.get(name)) is None or known[:-1] != stamp:
                known = self._known[name] = [*stamp, file_sha256(path)]
                self._changed = True
        except OSError as error:
            raise cannot_read(path, error) from error
        return str(known[-1])

    def save(self) -> None:
        """Keep the digests for the next run; without room for them they are computed again."""
        if self._cache is not None and self._changed:
            try:
                write_text(self._cache, json.dumps(self._known))
            except OutputError:
                return
            self._changed = False


def _stamp(path: Path) -> list[int]:
    """Return what changes when a file's content does: the time of the last change of its data or name, too."""
    status = path.stat()
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]


def _read_cache(path: Path) -> dict[str, list[Any]]:
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):  # absent or damaged: all digests are computed
        return {}
    if not isinstance(content, dict):
        return {}
    return {name: known for name, known in content.items() if isinstance(known, list) and len(known) == 5}


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def identify_video(path: Path, *, name: str, base: Path, digests: Digests) -> Record:
    """Return name, path, size in bytes and SHA-256 of a video, or of all images of a folder.

    Args:
        path: the file (a pipe's copy), or the folder.
        name: what the user calls it; only its last part is kept, so that a moved project continues.
        base: the folder that the path is said from.
        digests: computes the digest.

    Raises:
        InputError: it cannot be read.
    """
    parts = sorted(files_in(path, IMAGE_SUFFIXES)) if is_folder(path) else [path]
    try:
        size = sum(part.stat().st_size for part in parts)
    except OSError as error:
        raise cannot_read(path, error, name=name) from error
    if is_folder(path):
        listed = "".join(f"{part.name} {digests.of(part)}\n" for part in parts)
        digest = hashlib.sha256(listed.encode(errors="surrogateescape")).hexdigest()
    else:
        digest = digests.of(path)
    plain = "-" if name == "-" else Path(name).resolve().name
    where = None if name == "-" else relative_to(base, Path(name))
    return {"name": plain, "path": where, "bytes": size, "sha256": digest}


def identify_files(paths: Iterable[Path], *, base: Path, digests: Digests) -> list[Record]:
    """Return name, path and SHA-256 of label files.

    Args:
        paths: the files.
        base: the folder that paths are said from.
        digests: computes the digests.

    Raises:
        InputError: one cannot be read.
    """
    return [{"name": path.name, "path": relative_to(base, path), "sha256": digests.of(path)} for path in paths]


def relative_to(base: Path, path: Path) -> str:
    """Return a path as seen from a folder, so that a project that is moved as a whole still finds its files."""
    try:
        return Path(os.path.relpath(path.absolute(), base.absolute())).as_posix()
    except ValueError:  # on another drive
        return str(path.absolute())


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
        options: the command's own options.
        described: what was recognised: `ids`, `colors`, `forms`; not compared.
    """
    return {
        "command": command,
        "version": propagate.__version__,
        "inputs": dict(inputs),
        "options": dict(options),
        "settings": dataclasses.asdict(config),
        **described,
    }


def identity(record: Mapping[str, Any], *, but: Iterable[str] = ()) -> Record:
    """Return the parts of a record that make it the run that it is, flat, with dotted names.

    Args:
        record: as `run_record` shapes it.
        but: names, such as "labels" or "options.end", that may change within one run.
    """
    left_out = {*but, *(f"settings.{name}" for name in MACHINE)}
    found: Record = {}

    def add(name: str, value: Any) -> None:
        if name in left_out or name.removeprefix("inputs.") in left_out:
            return
        if isinstance(value, Mapping):
            for key, inner in value.items():
                if not (name.startswith("inputs.") and key in NAMED):
                    add(f"{name}.{key}", inner)
        else:
            found[name] = value

    for part in ("command", "version", "inputs", "options", "settings"):
        add(part, record.get(part))
    return found


def differences(there: Mapping[str, Any], now: Mapping[str, Any], *, but: Iterable[str] = ()) -> list[str]:
    """Return a phrase for each part in which two records differ: "radius is 12 there, 3 now"."""
    old, new = identity(there, but=but), identity(now, but=but)
    return [_said(name, old, new) for name in sorted(old.keys() | new.keys()) if old.get(name) != new.get(name)]


def _said(name: str, old: Record, new: Record) -> str:
    """Return in words that one part differs; of inputs only that they do, since digests tell nobody anything."""
    if name.startswith("inputs."):
        what = name.split(".")[1]
        return f"the {what} {'are' if what.endswith('s') else 'is'} not the same"
    short = name.removeprefix("options.").removeprefix("settings.")
    return f"{short} is {_value(old, name)} there, {_value(new, name)} now"


def _value(record: Record, name: str) -> str:
    text = str(record[name]) if name in record else "absent"
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "..."
