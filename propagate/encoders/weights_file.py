"""A file of weights: safetensors with a header that says which encoder, how it was built and how it was trained."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from propagate.config import PropagateConfig
from propagate.errors import OutputError, WeightsError
from propagate.settings import current_names

HEADER_KEY = "propagate"
VERSION = 2  # 2: the header holds the whole preset; 1: only what differs from the preset of the encoder's class
READABLE = (1, 2)


@dataclass(frozen=True)
class Header:
    """What a file of weights says of itself.

    Attributes:
        encoder: an entry of `ENCODERS`.
        settings: its constructor arguments.
        preset: settings of a run: all of them, or in version 1 those unlike its class's preset.
        training: a free record of how the weights came to be.
        tensors_sha256: digest of names, shapes and values, so that damage is seen.
        version: of this layout, one of `READABLE`.
    """

    encoder: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    preset: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    tensors_sha256: str = ""
    version: int = VERSION

    def preset_over(self, own: Mapping[str, Any]) -> dict[str, Any]:
        """Return the preset of the weights; `own` is that of the encoder's class, which only version 1 is laid over."""
        return {**own, **self.preset} if self.version == 1 else dict(self.preset)


def write_weights(path: str | Path, tensors: Mapping[str, Tensor], *, header: Header) -> None:
    """Write a file of weights, whole or not at all.

    Raises:
        OutputError: the folder is missing, not writable or full.
    """
    path = Path(path)
    header = dataclasses.replace(header, tensors_sha256=tensors_digest(tensors))
    metadata = {HEADER_KEY: json.dumps(dataclasses.asdict(header), sort_keys=True)}
    try:
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as folder:
            temporary = Path(folder) / path.name
            save_file({name: t.contiguous() for name, t in tensors.items()}, temporary, metadata=metadata)
            temporary.chmod(0o644)  # safetensors makes files that nobody else may read
            temporary.replace(path)
    except (OSError, SafetensorError) as error:
        raise OutputError(f"{path}: cannot be written: {error}") from error


def read_header(path: str | Path) -> Header:
    """Return the header of a file of weights.

    Raises:
        WeightsError: the file is missing, damaged, not safetensors, or not written by propagate.
    """
    if not Path(path).is_file():
        raise WeightsError(f"{path}: there is no such file of weights")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
    except (OSError, SafetensorError) as error:
        hint = f"if it is a public checkpoint: propagate weights import {path} FILE.safetensors"
        raise WeightsError(f"{path}: is not a whole safetensors file: {error}", hint=hint) from error
    if HEADER_KEY not in metadata:
        raise WeightsError(f"{path}: is a safetensors file without the header {HEADER_KEY!r}: not weights of ours")
    return _parse_header(metadata[HEADER_KEY], path=path)


def read_tensors(path: str | Path) -> dict[str, Tensor]:
    """Return the tensors of a file of weights, on the CPU, by name.

    Raises:
        WeightsError: the file is missing or damaged.
    """
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"{path}: cannot be read: {error}") from error


def file_digest(path: str | Path) -> str:
    """Return the SHA-256 of a file, hexadecimal.

    Raises:
        WeightsError: the file cannot be read.
    """
    try:
        with Path(path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read: {error}") from error


def tensors_digest(tensors: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 of names, shapes and values, whatever the order, hexadecimal."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}\n".encode())
        digest.update(tensor.flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _parse_header(text: str, *, path: str | Path) -> Header:
    """Return the header that `text` (JSON) holds."""
    try:
        content = json.loads(text)
        header = Header(**content)
    except (json.JSONDecodeError, TypeError) as error:
        raise WeightsError(f"{path}: its header cannot be understood: {error}") from error
    if not all(isinstance(part, Mapping) for part in (header.settings, header.preset, header.training)):
        raise WeightsError(f"{path}: its header cannot be understood: settings, preset and training must be mappings")
    if header.version not in READABLE:
        known = " and ".join(map(str, READABLE))
        raise WeightsError(f"{path}: its header has version {header.version}, this propagate reads {known}")
    return dataclasses.replace(header, preset=current_names(PropagateConfig, header.preset))
