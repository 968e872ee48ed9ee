"""The engine's state between two frames as one file: everything but features, which are computed anew."""

from __future__ import annotations

import json
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from propagate.engine.propagation import Remembered, Snapshot
from propagate.formats.atomic import write_bytes

NAME = "window.safetensors"
_KEY = "snapshot"


def save_state(folder: Path, snapshot: Snapshot) -> None:
    """Write a snapshot into `folder`, whole or not at all, in place of the one before.

    Labels are kept as float32 and origins as int64, exactly.

    Raises:
        OutputError: it cannot be written.
    """
    tensors: dict[str, Tensor] = {}
    for number, kept in enumerate(snapshot.references):
        tensors[f"labels.{number}"], tensors[f"origin.{number}"] = kept.labels, kept.origin
    tensors |= {f"annotated.{index}": labels for index, labels in snapshot.annotated.items()}
    if snapshot.soft is not None:
        tensors["soft"] = snapshot.soft
    if snapshot.centre is not None:
        tensors["centre"] = snapshot.centre
    head = {
        "next": snapshot.next,
        "references": [[kept.index, kept.annotated] for kept in snapshot.references],
        "annotated": list(snapshot.annotated),
        "last": list(snapshot.last.items()),
    }
    own = {name: tensor.clone().contiguous() for name, tensor in tensors.items()}  # some share their memory
    write_bytes(folder / NAME, save(own, metadata={_KEY: json.dumps(head)}))


def load_state(folder: Path) -> Snapshot | None:
    """Return the snapshot that lies in `folder`; None when there is none that is whole."""
    path = folder / NAME
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            head = json.loads((file.metadata() or {})[_KEY])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, it is no mapping
        references = tuple(
            Remembered(index, annotated, tensors[f"labels.{number}"], tensors[f"origin.{number}"])
            for number, (index, annotated) in enumerate(head["references"])
        )
        annotated = {index: tensors[f"annotated.{index}"] for index in head["annotated"]}
        last = {name: visible for name, visible in head["last"]}  # noqa: C416, pairs of JSON
    except (SafetensorError, KeyError, ValueError):  # not ours, or damaged: the run starts over
        return None
    return Snapshot(head["next"], references, annotated, last, tensors.get("soft"), tensors.get("centre"))
