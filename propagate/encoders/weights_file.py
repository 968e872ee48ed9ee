"""A file of weights: safetensors with a header that says which encoder, how it was built and how it was trained.

The header is read without torch, which takes seconds to import: a run that was done before is known from it.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from propagate.config import PropagateConfig
from propagate.errors import OutputError, WeightsError
from propagate.settings import current_names

if TYPE_CHECKING:
    from torch import Tensor

HEADER_KEY = "propagate"
_LONGEST = 10_000_000  # bytes of a header; ours have some 15,000
_DEEPEST = 20  # of lists and tables in one another
_FORMATS = {  # of safetensors: torch's name, bytes of a value
    "F64": ("float64", 8),
    "F32": ("float32", 4),
    "F16": ("float16", 2),
    "BF16": ("bfloat16", 2),
    "I64": ("int64", 8),
    "I32": ("int32", 4),
    "I16": ("int16", 2),
    "I8": ("int8", 1),
    "U8": ("uint8", 1),
    "BOOL": ("bool", 1),
}
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
    from safetensors import SafetensorError
    from safetensors.torch import save_file

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


@dataclass(frozen=True)
class TensorForm:
    """The form of one tensor in a file: its shape, and torch's name of its number format."""

    shape: tuple[int, ...]
    dtype: str


def read_header(path: str | Path) -> Header:
    """Return the header of a file of weights.

    Raises:
        WeightsError: the file is missing, damaged, not safetensors, or not written by propagate.
    """
    metadata = _read_front(path).get("__metadata__")
    if not isinstance(metadata, dict) or not isinstance(metadata.get(HEADER_KEY), str):
        raise WeightsError(f"{path}: is a safetensors file without the header {HEADER_KEY!r}: not weights of ours")
    return _parse_header(metadata[HEADER_KEY], path=path)


def read_forms(path: str | Path) -> dict[str, TensorForm]:
    """Return the form of every tensor of a file of weights, by name, without its values.

    Raises:
        WeightsError: the file is missing or damaged.
    """
    front = _read_front(path)
    return {
        name: TensorForm(tuple(t["shape"]), _FORMATS[t["dtype"]][0]) for name, t in front.items() if name[:2] != "__"
    }


def _read_front(path: str | Path) -> dict[str, Any]:
    """Return the table at the front of a safetensors file, checked against the size of the file."""
    hint = f"if it is a public checkpoint: propagate weights import {path} FILE.safetensors"
    try:
        with Path(path).open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            length = int.from_bytes(file.read(8), "little")
            if size < 8 or length > min(_LONGEST, size - 8):
                raise ValueError("it is cut, or begins with something else")
            front = _load_json(file.read(length))
        _check_front(front, values=size - 8 - length)
    except OSError as error:
        raise _unreadable(path, error) from error
    except ValueError as error:
        raise WeightsError(f"{path}: is not a whole safetensors file: {error}", hint=hint) from error
    return dict(front)


def _load_json(text: str | bytes) -> Any:
    """Return what JSON text holds.

    Raises:
        ValueError: it is not JSON, too deep, or holds a number that none is.
    """

    def refuse(word: str) -> None:
        raise ValueError(f"{word} is no number")

    try:
        content = json.loads(text, parse_constant=refuse)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    level = [content]
    for _ in range(_DEEPEST):
        level = [part for one in level if isinstance(one, dict | list) for part in _parts(one)]
    if level:
        raise ValueError("it is nested too deeply")
    return content


def _parts(one: dict[str, Any] | list[Any]) -> list[Any]:
    return list(one.values()) if isinstance(one, dict) else one


def _check_front(front: object, *, values: int) -> None:
    """Refuse a table whose tensors do not lie in so many bytes of values.

    Raises:
        ValueError: what is wrong.
    """
    if not isinstance(front, dict):
        raise ValueError("it has no table of tensors")
    end = 0
    for name, form in front.items():
        if name == "__metadata__":
            continue
        if not isinstance(form, dict) or str(form.get("dtype")) not in _FORMATS:
            raise ValueError(f"tensor {name[:60]!r} has no number format that is known")
        shape, place = form.get("shape", ()), form.get("data_offsets", ())
        if not (_whole_numbers(shape) and _whole_numbers(place) and len(place) == 2 and len(shape) <= 8):
            raise ValueError(f"tensor {name[:60]!r} has no shape, or no place")
        if place[1] - place[0] != math.prod(shape) * _FORMATS[form["dtype"]][1] or place[1] > values:
            raise ValueError(f"tensor {name[:60]!r} does not lie in the file")
        end = max(end, place[1])
    if end != values:
        raise ValueError(f"it has {values} bytes of values, and its tensors {end}")


def _whole_numbers(value: Any) -> bool:
    return isinstance(value, list) and all(type(one) is int and 0 <= one < 2**48 for one in value)


def _unreadable(path: str | Path, error: OSError) -> WeightsError:
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return WeightsError(f"{path}: there is no such file of weights")
    return WeightsError(f"{path}: cannot be read: {error.strerror or error}")


def is_weights(path: str | Path) -> bool:
    """Return whether there is a file at `path`.

    Raises:
        WeightsError: it may not be looked at.
    """
    try:
        return Path(path).is_file()
    except (OSError, ValueError) as error:
        raise WeightsError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from error


def read_tensors(path: str | Path) -> dict[str, Tensor]:
    """Return the tensors of a file of weights, on the CPU, by name.

    Raises:
        WeightsError: the file is missing or damaged.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        return load(Path(path).read_bytes())
    except OSError as error:
        raise _unreadable(path, error) from error
    except SafetensorError as error:
        raise WeightsError(f"{path}: is not a whole safetensors file: {error}") from error


def check_tensors(tensors: Mapping[str, Tensor], *, digest: str, path: str | Path) -> None:
    """Refuse tensors that are damaged, or hold what is no number.

    Args:
        tensors: of a file of weights.
        digest: as the file's header says.
        path: the file, for messages.

    Raises:
        WeightsError: a value is not finite, or the digest differs.
    """
    bad = [name for name, tensor in tensors.items() if not tensor.isfinite().all()]
    if bad:
        raise WeightsError(f"{path}: values are not finite in {listed(bad)}")
    if tensors_digest(tensors) != digest:
        raise WeightsError(f"{path}: the values differ from the digest in its header: damaged", hint="fetch it again")


def listed(keys: list[str]) -> str:
    """Return the first of `keys`, and how many more there are, for a message."""
    rest = f" and {len(keys) - 5} more" if len(keys) > 5 else ""
    return ", ".join(keys[:5]) + rest


def file_digest(path: str | Path) -> str:
    """Return the SHA-256 of a file, hexadecimal.

    Raises:
        WeightsError: the file cannot be read.
    """
    try:
        with Path(path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise _unreadable(path, error) from error


def tensors_digest(tensors: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 of names, shapes and values, whatever the order, hexadecimal."""
    import torch

    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}\n".encode())
        digest.update(tensor.flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _parse_header(text: str, *, path: str | Path) -> Header:
    """Return the header that `text` (JSON) holds."""
    try:
        content = _load_json(text)
        header = Header(**content)
    except (ValueError, TypeError) as error:
        raise WeightsError(f"{path}: its header cannot be understood: {error}") from error
    if not all(isinstance(part, Mapping) for part in (header.settings, header.preset, header.training)):
        raise WeightsError(f"{path}: its header cannot be understood: settings, preset and training must be mappings")
    if not isinstance(header.encoder, str) or not isinstance(header.tensors_sha256, str):
        raise WeightsError(f"{path}: its header cannot be understood: encoder and digest must be text")
    if header.version not in READABLE:
        known = " and ".join(map(str, READABLE))
        raise WeightsError(f"{path}: its header has version {header.version}, this propagate reads {known}")
    return dataclasses.replace(header, preset=current_names(PropagateConfig, header.preset))
