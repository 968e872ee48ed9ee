"""Maps of any kind, `.npy` or `.npz`: probabilities and values for `propagate labels`, and its results.

Each array of the file is one plane, (H, W) or (H, W, d). What it is, unless the caller says it:

1. integers or booleans (H, W): categories, kind "probability"; the array stays (H, W) int32 ids, 0 is a category too;
2. two or more channels, none negative, that sum to 1 at every pixel within 1e-3: probabilities, (H, W, d) float32;
3. anything else: values, (H, W, d) float32.

Element (r, c) belongs to pixel x = c, y = r; nothing is shifted.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from propagate.errors import InputError
from propagate.formats.atomic import write_bytes
from propagate.formats.images import check_size
from propagate.values import Kind

_TOLERANCE = 1e-3


@dataclass(frozen=True)
class Plane:
    """One map.

    Attributes:
        name: the array's name in the file, the file's stem for `.npy`.
        array: (H, W) int32 categories, or (H, W, d) float32.
        kind: "probability" or "value".
    """

    name: str
    array: NDArray[np.int32] | NDArray[np.float32]
    kind: Kind


def read_maps(path: str | Path, *, size: tuple[int, int] | None = None, kind: Kind | None = None) -> tuple[Plane, ...]:
    """Return the planes of a `.npy` or `.npz` file, by name.

    Args:
        path: the file; pickled objects are refused.
        size: the (height, width) that every plane must have, None for any.
        kind: what all planes are, None to tell by the rule above. As "probability", one float channel p in [0, 1]
            becomes the two channels 1 - p and p; as "value", categories become plain numbers.

    Raises:
        InputError: the file cannot be read, or a plane has a wrong shape, size or type, or numbers that do not fit
            its kind.
    """
    path = Path(path)
    planes = []
    for name, array in sorted(_arrays(path).items()):
        where = f"{path}: the array {name!r}"
        _check_array(array, where)
        if size is not None:
            found = (int(array.shape[0]), int(array.shape[1]))
            check_size(path, found, size, what=f"the map {name!r}", hint="resize the map")
        planes.append(_plane(name, array, kind, where=where))
    if not planes:
        raise InputError(f"{path}: no array in this file")
    return tuple(planes)


def write_map(path: str | Path, arrays: Mapping[str, NDArray[np.generic]]) -> None:
    """Write arrays as a compressed `.npz`, atomically; equal arrays give equal bytes.

    Args:
        path: the file to write; its folder exists.
        arrays: name to array of any shape, no objects.

    Raises:
        OutputError: the file cannot be written.
    """
    write_bytes(Path(path), map_bytes(arrays))


def map_bytes(arrays: Mapping[str, NDArray[np.generic]]) -> bytes:
    """Return arrays as the bytes of a compressed `.npz`; equal arrays give equal bytes.

    NumPy's own writer leaves the entries' dates to `zipfile`; here they are fixed, and the order is that of the names.

    Args:
        arrays: name to array of any shape, no objects.
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name in sorted(arrays):
            entry = io.BytesIO()
            np.lib.format.write_array(entry, np.ascontiguousarray(arrays[name]), allow_pickle=False)
            info = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            archive.writestr(info, entry.getvalue(), zipfile.ZIP_DEFLATED, compresslevel=1)
    return buffer.getvalue()


def _arrays(path: Path) -> dict[str, NDArray[Any]]:
    if not path.is_file():
        raise InputError(f"{path}: there is no such file")
    try:
        loaded = np.load(io.BytesIO(path.read_bytes()), allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return {path.stem: loaded}
        with loaded:
            return {name: loaded[name] for name in loaded.files}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        hint = "save arrays of numbers with numpy.save or numpy.savez"
        raise InputError(f"{path}: not a .npy or .npz file of numbers", hint=hint) from error


def _check_array(array: NDArray[Any], where: str) -> None:
    if array.dtype.kind not in "biuf":
        raise InputError(f"{where} holds {array.dtype}, not numbers")
    if array.ndim not in (2, 3) or 0 in array.shape:
        raise InputError(f"{where} must be (H, W) or (H, W, d), not {array.shape}")
    broken = int(np.count_nonzero(~np.isfinite(array)))
    if broken:
        raise InputError(f"{where} has {broken} numbers that are NaN or infinite")


def _plane(name: str, array: NDArray[Any], kind: Kind | None, *, where: str) -> Plane:
    integers = array.dtype.kind in "biu"
    if integers and array.ndim == 2 and kind != "value":
        if array.min() < 0 or array.max() > 65535:
            raise InputError(f"{where} has categories from {array.min()} to {array.max()}, they must be 0 to 65535")
        return Plane(name, array.astype(np.int32), "probability")
    floats = array.astype(np.float32).reshape(*array.shape[:2], -1)  # (H, W, d)
    if kind is None:
        kind = "probability" if _sums_to_one(floats) else "value"
    if kind == "probability" and floats.shape[2] == 1 and floats.min() >= 0 and floats.max() <= 1:
        floats = np.concatenate([1 - floats, floats], axis=2)
    if kind == "probability" and not _sums_to_one(floats):
        total = floats.sum(axis=2)
        found = f"least {floats.min():g}, sums {total.min():g} to {total.max():g}"
        raise InputError(f"{where} holds no probabilities: {found}", hint="normalise each pixel to sum to 1")
    return Plane(name, floats, kind)


def _sums_to_one(floats: NDArray[np.float32]) -> bool:
    """Return whether (H, W, d) are probabilities over two or more channels."""
    if floats.shape[2] < 2 or floats.min() < 0:
        return False
    return bool(np.abs(floats.sum(axis=2) - 1).max() <= _TOLERANCE)
