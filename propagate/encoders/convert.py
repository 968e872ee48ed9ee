"""Public checkpoints to weights of ours: recognised by their keys, loaded without running code, no key ignored."""

from __future__ import annotations

import argparse
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from propagate.encoders.build import UNUSED, build_from_tensors, listed
from propagate.encoders.layouts import Layout, find_layout
from propagate.encoders.protocol import Encoder
from propagate.encoders.weights import save_weights
from propagate.encoders.weights_file import file_digest
from propagate.errors import WeightsError

CONTAINERS = ("state_dict", "model", "teacher")
# What is known to lie beside the network.
BESIDE = ("optimizer", "lr_scheduler", "scheduler", "scaler", "amp", "ema", "student")


@dataclass(frozen=True)
class ImportReport:
    """What an import did.

    Attributes:
        source: who publishes such files.
        encoder: the entry of `ENCODERS` that they became.
        settings: its constructor arguments.
        used: how many tensors were taken.
        dropped: keys that were expected and not needed, in the file's order; entries beside the network first.
        note: what the user should know, or "".
    """

    source: str
    encoder: str
    settings: Mapping[str, object]
    used: int
    dropped: tuple[str, ...]
    note: str


def import_weights(src: str | Path, dst: str | Path, *, source: str | None = None) -> ImportReport:
    """Write `dst`, a file of weights of ours, from the public checkpoint `src`; return what was done.

    Raises:
        WeightsError: as `import_checkpoint`.
        OutputError: `dst` cannot be written.
    """
    encoder, report = import_checkpoint(src, source=source)
    record = {"imported_from": report.source, "file": Path(src).name, "sha256": file_digest(src)}
    save_weights(dst, encoder, training=record)
    return report


def import_checkpoint(path: str | Path, *, source: str | None = None) -> tuple[Encoder, ImportReport]:
    """Return the encoder that a public checkpoint holds, trainable, with its source's preset.

    Args:
        path: a file of torch.save.
        source: read it as this source's (CorrFlow and MAST have the same keys).

    Raises:
        WeightsError: it cannot be loaded safely, its layout is unknown or refused, or keys are missing or unknown.
    """
    network, beside = _network(load_safely(path), path=path)
    parallel = any(key.startswith("module.") for key in network)
    network = {key.removeprefix("module."): tensor for key, tensor in network.items()}
    try:
        layout = find_layout(network, parallel=parallel, source=source)
    except WeightsError as error:
        raise WeightsError(f"{path}: cannot be imported: {error}") from error
    tensors, dropped = _renamed(network, layout=layout)
    where = f"{path}: taken for {layout.source}'s {layout.encoder}"
    encoder = build_from_tensors(layout.encoder, tensors, settings=layout.settings, where=where)
    encoder.preset = {**encoder.preset, **layout.preset}
    report = ImportReport(
        layout.source, layout.encoder, layout.settings, len(tensors), (*beside, *dropped), layout.note
    )
    return encoder, report


def load_safely(path: str | Path) -> object:
    """Return what torch.save wrote, without letting the file run code.

    Raises:
        WeightsError: it is missing, damaged, not a file of torch.save, or holds more than plain data.
    """
    if not Path(path).is_file():
        raise WeightsError(f"{path}: there is no such checkpoint")
    try:
        with torch.serialization.safe_globals([argparse.Namespace]):  # CRW saves its arguments; plain data
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        reason = str(error).splitlines()[0]
        raise WeightsError(f"{path}: cannot be loaded without running its code, so it is not: {reason}") from error
    except (OSError, RuntimeError, EOFError, ValueError, KeyError) as error:
        raise WeightsError(f"{path}: is not a whole checkpoint of torch.save: {error}") from error


def _network(content: object, *, path: str | Path) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Return the tensors of the network in a checkpoint, and the names of the entries beside it."""
    if not isinstance(content, Mapping):
        raise WeightsError(f"{path}: holds a {type(content).__name__}, expected a dictionary of tensors")
    name = next((name for name in CONTAINERS if isinstance(content.get(name), Mapping)), None)
    network: Mapping[Any, Any] = content if name is None else content[name]
    other = [str(key) for key, value in network.items() if not (isinstance(key, str) and isinstance(value, Tensor))]
    if other or not network:
        raise WeightsError(f"{path}: expected only tensors in it, found {listed(other) or 'nothing'}")
    beside = tuple(str(key) for key in content if name is not None and key != name)
    strange = [key for key in beside if key not in BESIDE and _holds_tensors(content[key])]
    if strange:
        raise WeightsError(f"{path}: holds tensors beside {name!r} that propagate does not know: {listed(strange)}")
    return dict(network), beside


def _holds_tensors(value: object) -> bool:
    """Return whether `value` is a dictionary with a tensor in it: a second network."""
    return isinstance(value, Mapping) and any(isinstance(item, Tensor) for item in value.values())


def _renamed(network: Mapping[str, Tensor], *, layout: Layout) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Return tensors by our names, 3-D kernels of one frame made 2-D, and the keys that the layout drops."""
    dropped = tuple(key for key in network if layout.drops(key))
    kept = {key: t for key, t in network.items() if not layout.drops(key) and not key.endswith(UNUSED)}
    flat = {key: t.squeeze(2) if t.ndim == 5 and t.shape[2] == 1 else t for key, t in kept.items()}
    return {layout.rename(key): tensor for key, tensor in flat.items()}, dropped
