"""What each frame leaves behind, as files: exact, so that a run goes on from any frame as if it had never stopped."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from propagate.encoders.features import Box
from propagate.engine.snapshot import FrameState, GroupState
from propagate.engine.ways import Left, Way
from propagate.errors import InputError
from propagate.formats.maps import map_bytes
from propagate.ops.grid import Grid
from propagate.runs.folder import RunFolder
from propagate.runs.manifest import StateEntry

SUFFIX = ".npz"


def state_file(folder: Path, way: Way, index: int) -> Path:
    """Return where what a frame leaves behind on one way lies in a run's state folder."""
    return folder / way / f"{index:06d}{SUFFIX}"


class StateFiles:
    """What frames left behind, as files of a run's folder; the manifest knows of them.

    Args:
        folder: of the run.
        key_of: returns the digest of all that a frame's labels depend on.
    """

    def __init__(self, folder: RunFolder, key_of: Callable[[int], str]) -> None:
        self.folder, self.key_of = folder, key_of

    def keep(self, left: Left) -> None:
        """Write what a frame left behind."""
        data = state_bytes(left.state)
        self.folder.write(self.folder.name_of(state_file(self.folder.state, left.way, left.index)), data)
        digest = hashlib.sha256(data).hexdigest()
        self.folder.manifest.add_state(StateEntry(left.index, left.way, self.key_of(left.index), digest))

    def left(self, way: Way, index: int) -> FrameState:
        """Return what a frame left behind on one way, in the way's own indices."""
        return read_state(state_file(self.folder.state, way, index))

    def any(self) -> FrameState:
        """Return what some frame left behind."""
        way, index = next(iter(self.folder.manifest.states()))
        return self.left(way, index)


def state_bytes(state: FrameState) -> bytes:
    """Return a state as the bytes of a compressed `.npz`: labels as float32, exactly; equal states give equal bytes."""
    arrays: dict[str, NDArray[np.generic]] = {"head": np.frombuffer(json.dumps(_head(state)).encode(), np.uint8)}
    for number, group in enumerate(state.groups):  # what is of all groups follows from them
        arrays[f"group.{number}.soft"] = group.soft.numpy()
        if group.origin is not None:
            arrays[f"group.{number}.origin"] = _packed(group.origin)
    if state.soft is not None and not state.groups:
        arrays["soft"] = state.soft.numpy()
    return map_bytes(arrays)


def read_state(path: Path) -> FrameState:
    """Return the state that a file holds.

    Raises:
        InputError: the file is missing, damaged, or not one of ours.
    """
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        head = json.loads(arrays["head"].tobytes())
        return _state(head, {name: array for name, array in arrays.items() if name != "head"})
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise InputError(f"{path}: cannot be read as the state of a frame: {error}") from error


def _head(state: FrameState) -> dict[str, Any]:
    """Return what is not a tensor; ids may be numbers or names, so that mappings are pairs."""
    return {
        "index": state.index,
        "source": state.source,
        "ids": list(state.ids),
        "grid": dataclasses.asdict(state.grid),
        "groups": [
            {"ids": list(group.ids), "box": group.box and list(group.box), "start": group.start, "end": group.end}
            for group in state.groups
        ],
    }


def _state(head: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> FrameState:
    grid: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in head["grid"].items()
    }
    ids = tuple(head["ids"])
    groups = tuple(
        GroupState(
            ids=tuple(own["ids"]),
            soft=torch.from_numpy(arrays[f"group.{number}.soft"]),
            origin=_unpacked(arrays[name]) if (name := f"group.{number}.origin") in arrays else None,
            box=None if own["box"] is None else Box(*own["box"]),
            start=own["start"],
            end=own["end"],
        )
        for number, own in enumerate(head["groups"])
    )
    if groups:
        return FrameState.of_groups(head["index"], groups, source=head["source"], ids=ids, grid=Grid(**grid))
    soft = torch.from_numpy(arrays["soft"]) if "soft" in arrays else None
    return FrameState(head["index"], head["source"], ids, Grid(**grid), soft)


def _packed(origin: Tensor) -> NDArray[np.int32]:
    """Return origins (h*w, 2) as a frame and the way from the cell itself, (2, h*w): mostly small and alike."""
    frames, cells = origin.to(torch.int32).unbind(1)
    return torch.stack([frames, cells - torch.arange(len(cells), dtype=torch.int32)]).numpy()


def _unpacked(packed: NDArray[np.int32]) -> Tensor:
    frames, way = torch.from_numpy(packed).to(torch.int64)
    return torch.stack([frames, way + torch.arange(len(way))], 1)
