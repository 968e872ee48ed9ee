"""Encoders with their weights: loaded, saved and verified. Building is in `build`, finding files in `library`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from propagate.config import PropagateConfig, resolve
from propagate.device import choose_device
from propagate.encoders.build import (
    as_module,
    build_encoder,
    build_from_tensors,
    build_on_meta,
    check_keys,
    expected_shapes,
    prepare,
    trained_tensors,
)
from propagate.encoders.import_checkpoint import ImportReport, import_checkpoint
from propagate.encoders.library import WeightsInfo, describe, find_weights, list_weights, shipped_weights
from propagate.encoders.protocol import Encoder
from propagate.encoders.weights_file import (
    Header,
    check_tensors,
    file_digest,
    listed,
    read_header,
    read_tensors,
    write_weights,
)
from propagate.errors import ConfigError, WeightsError

__all__ = [
    "WeightsInfo",
    "build_encoder",
    "describe",
    "find_weights",
    "import_weights",
    "list_weights",
    "load_encoder",
    "open_encoder",
    "save_weights",
    "verify",
    "whole_preset",
]

CHECKPOINTS = (".pth", ".pt", ".tar")  # files of torch.save: read as `weights import` does


def load_encoder(
    name: str | None = None,
    weights: str | Path | None = None,
    *,
    device: str | torch.device | None = None,
    dtype: torch.dtype | None = None,
    seed: int = 0,
    settings: Mapping[str, Any] | None = None,
) -> Encoder:
    """Return an encoder ready to run: `prepare`d, with its weights and its preset.

    Args:
        name: an entry of `ENCODERS`; None takes the encoder that the weights are for.
        weights: "random", a name (see `find_weights`), a path of our weights or of a public checkpoint; None for those
            that ship for the encoder, or for one that needs none. Without a name too, the default of every command.
        device: where it will run; None takes what every command takes: CUDA, then MPS, then the CPU.
        dtype: float32 (the default) or bfloat16.
        seed: of random weights.
        settings: constructor arguments, for an encoder without a file; a file brings its own.

    Raises:
        WeightsError: the encoder needs weights, or they are missing, damaged or for another network.
        ConfigError: there is no such encoder or setting.
    """
    encoder = open_encoder(name, weights, seed=seed, settings=settings)
    return prepare(encoder, choose_device("auto") if device is None else device, dtype or torch.float32)


def open_encoder(
    name: str | None = None,
    weights: str | Path | None = None,
    *,
    seed: int = 0,
    settings: Mapping[str, Any] | None = None,
) -> Encoder:
    """Return what `load_encoder` returns before it is prepared: trainable, on the CPU; the arguments are the same."""
    weights = weights or shipped_weights(name or PropagateConfig.encoder)
    if weights is not None and weights != "random":
        path = find_weights(weights, encoder=name)
        if path.suffix in CHECKPOINTS:
            return _from_checkpoint(path, name=name)
        return _from_file(path, name=name, settings=settings)
    if name is None:
        raise WeightsError("no encoder is named, and no file of weights says one", hint="give --encoder or --weights")
    encoder = build_encoder(name, settings=settings, seed=seed)
    if weights is None and any(True for _ in as_module(encoder).parameters()):
        raise WeightsError(f"encoder {name!r} needs weights", hint="give --weights FILE or --weights random")
    return encoder


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


def save_weights(
    path: str | Path, encoder: Encoder, *, training: Mapping[str, Any], dtype: torch.dtype = torch.float32
) -> None:
    """Write an encoder's weights, with what is needed to build it again and its whole preset, whole or not at all.

    Args:
        path: the file, *.safetensors.
        encoder: as built, not `prepare`d.
        training: a JSON-able record of how the weights came to be.
        dtype: of the values in the file, such as float16 for half the size; they are loaded as float32.

    Raises:
        OutputError: the file cannot be written.
        WeightsError: the encoder is folded, so its weights fit no network that can be built, or a value is not finite
            in a `dtype` other than float32.
    """
    tensors = trained_tensors(encoder)
    original = build_on_meta(encoder.name, encoder.settings)
    check_keys(tensors, expected_shapes(original), where=f"{path}: encoder {encoder.name!r}")
    header = Header(encoder.name, settings=dict(encoder.settings), preset=dict(encoder.preset), training=dict(training))
    write_weights(path, _in_format(tensors, dtype, where=str(path)), header=header)


def whole_preset(header: Header) -> dict[str, Any]:
    """Return the settings of a run that a file of weights brings, those of its encoder's class included.

    Raises:
        ConfigError: an old file, which holds no whole preset, is for an encoder that there is not.
    """
    own = build_on_meta(header.encoder, header.settings).preset if header.version == 1 else {}
    return header.preset_over(own)


def verify(path: str | Path) -> WeightsInfo:
    """Return what is known of a file of weights after checking that it is undamaged, finite, and fits its encoder.

    Raises:
        WeightsError: what is wrong with it.
    """
    info = describe(path)
    _from_file(Path(path), name=None, settings=None)
    return info


def _in_format(tensors: Mapping[str, Tensor], dtype: torch.dtype, *, where: str) -> dict[str, Tensor]:
    """Return tensors in another number format, in which all of them must be finite; float32 takes what there is."""
    cast = {name: tensor.to(dtype) for name, tensor in tensors.items()}
    bad = [name for name, tensor in cast.items() if not tensor.isfinite().all()] if dtype != torch.float32 else []
    if bad:
        format_ = str(dtype).removeprefix("torch.")
        raise WeightsError(f"{where}: values are beyond {format_}, or not finite, in {listed(bad)}")
    return cast


def _from_checkpoint(path: Path, *, name: str | None) -> Encoder:
    """Return the encoder of a public checkpoint, as `weights import` would make it."""
    encoder, _ = import_checkpoint(path)
    if name is not None and name != encoder.name:
        raise WeightsError(f"{path}: holds weights of {encoder.name!r}, not of {name!r}")
    return encoder


def _from_file(path: Path, *, name: str | None, settings: Mapping[str, Any] | None) -> Encoder:
    """Return the encoder of a file of weights, with its values and preset."""
    header = read_header(path)
    if name is not None and name != header.encoder:
        raise WeightsError(f"{path}: holds weights of {header.encoder!r}, not of {name!r}")
    if settings is not None and dict(settings) != dict(header.settings):
        raise WeightsError(f"{path}: its network was built with {dict(header.settings)}, not with {dict(settings)}")
    where = f"{path} for {header.encoder!r}"
    tensors = read_tensors(path)
    try:
        encoder = build_from_tensors(header.encoder, tensors, settings=header.settings, where=where)
        check_tensors(tensors, digest=header.tensors_sha256, path=path)
        encoder.preset = header.preset_over(encoder.preset)
        resolve(encoder.preset)
    except ConfigError as error:
        raise WeightsError(f"{path}: its header does not fit this propagate: {error}") from error
    return encoder
