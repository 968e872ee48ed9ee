"""Where a training run stands, as a file: whole or not there, and the one before it kept until the next is whole.

A folder belongs to one run and holds two files that take turns, so a disk that fills up, or a machine that stops in the
middle of a write, leaves the last good one.
"""

from __future__ import annotations

import dataclasses
import logging
import os
import pickle
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from propagate.errors import OutputError, WeightsError
from propagate.formats.atomic import partial_of

NAMES = ("checkpoint.0.pt", "checkpoint.1.pt")
VERSION = 1
_UNREADABLE = (OSError, RuntimeError, EOFError, ValueError, KeyError, pickle.UnpicklingError, zipfile.BadZipFile)
log = logging.getLogger(__name__)


def random_states() -> dict[str, Any]:
    """Return the states of the global random numbers of torch, of every GPU, and of NumPy, as plain data."""
    kind, keys, position, has_gauss, gauss = np.random.get_state(legacy=True)  # noqa: NPY002, the state of others' draws
    numbers = torch.from_numpy(np.asarray(keys).astype(np.int64))
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "numpy": [str(kind), numbers, int(position), int(has_gauss), float(gauss)],
    }


def restore_random(states: Mapping[str, Any]) -> None:
    """Set the global random numbers back to `random_states`; those of GPUs only where their number is the same."""
    torch.set_rng_state(states["torch"])
    if states["cuda"] and torch.cuda.device_count() == len(states["cuda"]):
        torch.cuda.set_rng_state_all(states["cuda"])
    kind, numbers, position, has_gauss, gauss = states["numpy"]
    keys = numbers.numpy().astype(np.uint32)
    np.random.set_state((kind, keys, position, has_gauss, gauss))  # noqa: NPY002, as above


@dataclass(frozen=True)
class Checkpoint:
    """Everything that a run needs to go on as if it had never stopped.

    Attributes:
        step: how many steps are done; the next clips and the next chance follow from it.
        seconds: of training that are spent.
        best: the best validation so far, None before the first.
        objective: its `state_dict`, encoder included.
        optimizer: its `state_dict`.
        config: the resolved settings, plain data.
        record: what else the run keeps, plain data (`Objective.record`, the log's place, ...).
        random: from `random_states`.
    """

    step: int
    seconds: float
    best: float | None
    objective: Mapping[str, Tensor]
    optimizer: Mapping[str, Any]
    config: Mapping[str, Any]
    record: Mapping[str, Any]
    random: Mapping[str, Any] = field(default_factory=random_states)


def save_checkpoint(folder: Path, state: Checkpoint, *, place: Callable[[Path, Path], object] | None = None) -> Path:
    """Write a checkpoint in place of the older of the two in `folder`, whole or not at all; return its path.

    Args:
        folder: of the two.
        state: what is kept.
        place: moves the file that is made to its place; `os.replace` when None.

    Raises:
        OutputError: the folder is missing, read-only or full; the newer checkpoint is untouched.
        ValueError: the state holds something other than tensors and plain data, and could not be read again.
    """
    path = folder / NAMES[0]
    standing = _newest_first(folder)
    if standing:
        path = next(folder / name for name in NAMES if folder / name != standing[0])
    content = {entry.name: getattr(state, entry.name) for entry in dataclasses.fields(state)}
    partial = partial_of(path)
    try:
        _write_through(partial, {"version": VERSION, **content})
        _check_readable(partial)
        (place or os.replace)(partial, path)
        _flush_folder(folder)
    except (OSError, RuntimeError) as error:
        if (cause := _of_the_system(error)) is None:
            raise
        kept = f"; {standing[0].name} is kept" if standing else ""
        raise OutputError(f"{path}: cannot be written: {_reason(cause)}{kept}") from error
    finally:
        partial.unlink(missing_ok=True)
    return path


def load_checkpoint(path: Path) -> Checkpoint:
    """Return the checkpoint in a file, its tensors on the CPU; nothing in the file is executed.

    Raises:
        WeightsError: the file is missing, damaged, or not a checkpoint of this propagate.
    """
    if not path.is_file():
        raise WeightsError(f"{path}: there is no such checkpoint")
    try:
        with zipfile.ZipFile(path) as file:
            damaged = file.testzip()  # torch itself does not look at the sums
        content = torch.load(path, map_location="cpu", weights_only=True)
    except _UNREADABLE as error:
        raise WeightsError(f"{path}: is not a whole checkpoint: {_reason(error)}") from error
    if damaged is not None:
        raise WeightsError(f"{path}: is not a whole checkpoint: {damaged} differs from its sum")
    names = {entry.name for entry in dataclasses.fields(Checkpoint)}
    if not isinstance(content, dict) or content.pop("version", None) != VERSION or content.keys() != names:
        raise WeightsError(f"{path}: is not a checkpoint of this version of propagate")
    return Checkpoint(**content)


def latest_checkpoint(folder: Path) -> Checkpoint | None:
    """Return the newest whole checkpoint in a folder; None where there is none at all.

    Raises:
        WeightsError: there are checkpoints, but all are damaged.
    """
    failures = []
    for path in _newest_first(folder):
        try:
            return load_checkpoint(path)
        except WeightsError as error:
            failures.append(error)
            log.warning("%s", error)
    if failures:
        raise failures[0]
    return None


def _newest_first(folder: Path) -> list[Path]:
    """Return the checkpoints in a folder, by step, then by time; those whose step cannot be read come last."""
    paths = [path for name in NAMES if (path := folder / name).is_file()]
    return sorted(paths, key=lambda path: (_step(path), path.stat().st_mtime_ns), reverse=True)


def _step(path: Path) -> int:
    """Return the step of a checkpoint without reading its tensors, -1 when it cannot be read."""
    try:
        return int(torch.load(path, map_location="cpu", weights_only=True, mmap=True)["step"])
    except (*_UNREADABLE, TypeError):
        return -1


def _write_through(path: Path, content: Mapping[str, Any]) -> None:
    """Write `content` and wait until the disk has it."""
    with path.open("wb") as file:
        torch.save(content, file)
        file.flush()
        os.fsync(file.fileno())


def _check_readable(path: Path) -> None:
    """Refuse a file that torch will not load without running code, such as one with NumPy's numbers in it."""
    try:
        torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except pickle.UnpicklingError as error:
        raise ValueError(f"a checkpoint must hold tensors and plain data only: {_reason(error)}") from error


def _flush_folder(folder: Path) -> None:
    """Wait until the disk has the folder's new names, where the system can be asked (not on Windows)."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _of_the_system(error: BaseException) -> OSError | None:
    """Return the system's own error: torch's writer says RuntimeError while it handles one."""
    return error if isinstance(error, OSError) else _of_the_system(error.__context__) if error.__context__ else None


def _reason(error: BaseException) -> str:
    """Return what an error says, in one line."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return str(text).splitlines()[0]
