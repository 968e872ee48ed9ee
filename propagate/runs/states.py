"""What each frame leaves behind, as files: exact, so that a run goes on from any frame as if it had never stopped."""

from __future__ import annotations

import dataclasses
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from propagate.encoders.features import Box
from propagate.engine.snapshot import FrameState, GroupState, joined_groups
from propagate.errors import InputError
from propagate.formats.maps import map_bytes
from propagate.ops.grid import Grid

FOLDER = "frames"
SUFFIX = ".npz"


def state_file(folder: Path, index: int) -> Path:
    """Return where the state of a frame lies in a run's state folder."""
    return folder / FOLDER / f"{index:06d}{SUFFIX}"


def state_bytes(state: FrameState) -> bytes:
    """Return a state as the bytes of a compressed `.npz`: labels as float32, exactly; equal states give equal bytes."""
    arrays: dict[str, NDArray[np.generic]] = {"head": np.frombuffer(json.dumps(_head(state)).encode(), np.uint8)}
    if state.groups:  # what is of all groups follows from them
        for number, group in enumerate(state.groups):
            arrays |= {f"group.{number}.{name}": array for name, array in _tensors(group).items()}
    else:
        arrays |= _tensors(state)
    return map_bytes(arrays)


def _tensors(state: FrameState | GroupState) -> dict[str, NDArray[np.generic]]:
    """Return the tensors of a state, or of one of its groups, by name."""
    arrays: dict[str, NDArray[np.generic]] = {}
    if state.soft is not None:
        arrays["soft"] = state.soft.numpy()
    if state.origin is not None:
        arrays["origin"] = _packed(state.origin)
    if state.centre is not None:
        arrays["centre"] = state.centre.numpy()
    return arrays | {f"revised.{index}": labels.numpy() for index, labels in state.revised.items()}


def read_state(path: Path) -> FrameState:
    """Return the state that a file holds.

    Raises:
        InputError: the file is missing, damaged, or not one of ours.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        head = json.loads(arrays["head"].tobytes())
        return _state(head, {name: array for name, array in arrays.items() if name != "head"})
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise InputError(f"{path}: cannot be read as the state of a frame: {error}") from error


def _head(state: FrameState) -> dict[str, Any]:
    """Return what is not a tensor; ids may be numbers or names, so that mappings are pairs."""
    head: dict[str, Any] = {
        "index": state.index,
        "source": state.source,
        "ids": list(state.ids),
        "grid": dataclasses.asdict(state.grid),
        "last": list(state.last.items()),
        "visible": list(state.visible.items()),
    }
    if state.groups:
        return {**head, "groups": [list(group.ids) for group in state.groups], "boxes": [_row(g) for g in state.groups]}
    return {**head, "boxes": [_row(state)]}


def _row(state: FrameState | GroupState) -> list[int] | None:
    return None if state.box is None else list(state.box)


def _state(head: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> FrameState:
    grid: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in head["grid"].items()
    }
    ids = tuple(head["ids"])
    boxes = [None if row is None else Box(*row) for row in head["boxes"]]
    tensors: dict[str, Any]
    groups = tuple(
        GroupState(ids=tuple(own), box=boxes[number], **_read_tensors(arrays, f"group.{number}."))
        for number, own in enumerate(head.get("groups", ()))
    )
    tensors = {"soft": joined_groups(groups, ids)} if groups else {**_read_tensors(arrays, ""), "box": boxes[0]}
    return FrameState(
        index=head["index"],
        source=head["source"],
        ids=ids,
        grid=Grid(**grid),
        last={name: visible for name, visible in head["last"]},  # noqa: C416, pairs of JSON
        visible={name: visible for name, visible in head["visible"]},  # noqa: C416
        groups=groups,
        **tensors,
    )


def _read_tensors(arrays: dict[str, NDArray[Any]], prefix: str) -> dict[str, Any]:
    """Return the tensors of a state, or of one of its groups; the inverse of `_tensors`."""
    own = {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
    found: dict[str, Any] = {name: torch.from_numpy(own[name]) for name in ("soft", "centre") if name in own}
    if "origin" in own:
        found["origin"] = _unpacked(own["origin"])
    revised = {name: labels for name, labels in own.items() if name.startswith("revised.")}
    return {
        **found,
        "revised": {int(name.partition(".")[2]): torch.from_numpy(labels) for name, labels in revised.items()},
    }


def _packed(origin: Tensor) -> NDArray[np.int32]:
    """Return origins (h*w, 2) as a frame and the way from the cell itself, (2, h*w): mostly small and alike."""
    frames, cells = origin.to(torch.int32).unbind(1)
    return torch.stack([frames, cells - torch.arange(len(cells), dtype=torch.int32)]).numpy()


def _unpacked(packed: NDArray[np.int32]) -> Tensor:
    frames, way = torch.from_numpy(packed).to(torch.int64)
    return torch.stack([frames, way + torch.arange(len(way))], 1)
