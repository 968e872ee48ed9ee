"""A training run's folder: whose it is, and the one way in which files get into it.

A file that this run, or one before it, did not write is never removed or replaced, with --force too: the manifest of
the run's folder holds the digest of every file before it takes its place.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from propagate.errors import ConflictError
from propagate.formats.atomic import make_folder
from propagate.runs.folder import RunFolder
from propagate.runs.manifest import FileEntry
from propagate.runs.record import differences, file_sha256
from propagate.training.checkpoint import NAMES

LOG, CURVE, CHECKPOINTS = "log.jsonl", "curve.svg", "checkpoints"
BEST, LAST = "best.safetensors", "last.safetensors"
PICTURE = "pictures/step-{:06d}.png"
BOARD = "tensorboard"
WHOLES = (BEST, LAST, CURVE, LOG, *(f"{CHECKPOINTS}/{name}" for name in NAMES))
_FREE = ("videos", "prepare", "side")  # names of the footage, which its digest tells from other footage
_APART = "give another -o, or move it away"

log = logging.getLogger(__name__)


def claim_run(folder: RunFolder, record: dict[str, Any], *, force: bool) -> None:
    """Keep other runs out of the folder, and make it that of the run; what can be refused is, before it is touched.

    Args:
        folder: of the run.
        record: what run.yaml will hold.
        force: begin again where another run of ours is; the files that it wrote are removed.

    Raises:
        ConflictError: another run or its files are there, another process is at work, or a file was changed.
        OutputError: the folder cannot be written.
    """
    wholes = [folder.path_of(name) for name in WHOLES]
    former = _is_former(folder)
    folder.check(record, wholes=() if former else wholes, but=_FREE, force=force)
    folder.claim()
    if former:
        names = [name for name in WHOLES if folder.path_of(name).is_file()]
        folder.manifest.adopt({name: folder.digest_of(name) for name in names})
    folder.check(record, wholes=wholes, but=_FREE, force=force)  # another process may have begun in between
    for name in WHOLES:
        _refuse_changed(folder, name)
    there = folder.read_record()
    if there is not None and differences(there, record, but=_FREE):
        remove_run(folder)
    make_folder(folder.out / CHECKPOINTS)
    folder.write_record(record)


def _is_former(folder: RunFolder) -> bool:
    """Return whether the folder holds a training run of propagate 0.1.0, which kept no digests of its files."""
    there = folder.read_record() or {}
    return there.get("command") == "train" and "fingerprint" in there and not folder.manifest.written


def remove_run(folder: RunFolder) -> None:
    """Remove the files that runs wrote into a folder and nobody changed since, and no others.

    Raises:
        OutputError: one cannot be removed.
    """
    manifest = folder.manifest
    for name in manifest.written:
        folder.remove(name)
    manifest.forget(frames=[entry.frame for entry in manifest.frames()], names=list(manifest.written))
    for name in (CHECKPOINTS, "pictures", BOARD):
        with suppress(OSError):  # there is none, or files of others are in it
            (folder.out / name).rmdir()


def is_anothers(folder: RunFolder, name: str) -> bool:
    """Return whether a file is in a place of the run that no run wrote, or that was changed since."""
    path, written = folder.path_of(name), folder.manifest.written.get(name, ())
    if not os.path.lexists(path):
        return False
    return not (written and path.is_file()) or not (file_sha256(path) in written or _is_left(path, written))


def _is_left(path: Path, written: Sequence[str]) -> bool:
    """Return whether a file is what a kill or a power cut left: nothing but zeros, or a log whose last line is cut."""
    data = path.read_bytes()
    lines = data[: data.rfind(b"\n") + 1]
    return not any(data) or (path.name == LOG and hashlib.sha256(lines).hexdigest() in written)


def _refuse_changed(folder: RunFolder, name: str) -> None:
    if is_anothers(folder, name):
        text = f"{folder.path_of(name)}: was changed since a run wrote it, and would be replaced"
        raise ConflictError(text, hint=_APART)


def scratch(folder: RunFolder, name: str) -> Path:
    """Return where a file is made before it is placed."""
    return folder.state / Path(name).name


def place(folder: RunFolder, made: Path, name: str) -> None:
    """Move a file that is made to its place; its digest is noted before, so that a killed run knows it as its own.

    Raises:
        ConflictError: somebody's file is there.
        OutputError: it cannot be noted, or its folder not made.
        OSError: it cannot be moved.
    """
    _refuse_changed(folder, name)
    path = folder.path_of(name)
    make_folder(path.parent)
    folder.manifest.add_file(FileEntry(name, file_sha256(made), size=made.stat().st_size))
    os.replace(made, path)


def place_picture(folder: RunFolder, made: Path, name: str) -> None:
    """Move a picture to its place; somebody's file there is left, and said: a run does not end for a picture.

    Raises:
        OutputError: it cannot be noted, or its folder not made.
        OSError: it cannot be moved.
    """
    if is_anothers(folder, name):
        log.warning("%s: was not written by this run: it is left as it is", folder.path_of(name))
        made.unlink()
        return
    place(folder, made, name)
