"""Maps of any kind, `.npy` or `.npz`: probabilities and values for `propagate labels`, and its results.

Each array of the file is one plane, (H, W) or (H, W, d). What it is, unless the caller says it:

1. integers or booleans (H, W): categories, kind "probability"; the array stays (H, W) int32 ids, 0 is a category too;
2. two or more channels, none negative, that sum to 1 at every pixel within 1e-3: probabilities, (H, W, d) float32;
3. anything else: values, (H, W, d) float32.

Element (r, c) belongs to pixel x = c, y = r; nothing is shifted.
"""

from __future__ import annotations

import io
import math
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from propagate.errors import InputError
from propagate.files import cannot_read, check_file
from propagate.formats.atomic import write_bytes
from propagate.formats.images import check_size
from propagate.values import Kind

MOST_BYTES = 4 << 30  # of one array, unpacked: 500 float32 channels of a 1080p frame
_TOLERANCE = 1e-3
_SHOWN = 60  # characters of a shape in a message
_HEADS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
_DAMAGED = (zipfile.BadZipFile, zlib.error, SyntaxError, TypeError, OverflowError)


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
    for name, array in _arrays(path, size):
        where = f"{path}: the array {name!r}"
        _check_numbers(array, where)
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
            npy.write_array(entry, np.ascontiguousarray(arrays[name]), allow_pickle=False)
            info = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            archive.writestr(info, entry.getvalue(), zipfile.ZIP_DEFLATED, compresslevel=1)
    return buffer.getvalue()


def _arrays(path: Path, size: tuple[int, int] | None) -> Iterator[tuple[str, NDArray[Any]]]:
    """Yield the arrays of a file, by name; what each head says is checked before its data are read."""
    check_file(path, wanted="a .npy or .npz file")
    try:
        with path.open("rb") as file:
            if not zipfile.is_zipfile(file):
                file.seek(0)
                yield path.stem, _array(file, path.stat().st_size, path, path.stem, size)
                return
            with zipfile.ZipFile(file) as archive:
                entries = {entry.filename.removesuffix(".npy"): entry for entry in archive.infolist()}
                if len(entries) < len(archive.infolist()):
                    raise InputError(f"{path}: an array comes twice", hint="save each name once")
                for name, entry in sorted(entries.items()):
                    with archive.open(entry) as member:
                        yield name, _array(member, entry.file_size, path, name, size)
    except OSError as error:
        raise cannot_read(path, error) if error.errno else _damaged(path, error) from error
    except (ValueError, EOFError, MemoryError, RuntimeError, NotImplementedError, KeyError, *_DAMAGED) as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> InputError:
    hint = f"save arrays of numbers with numpy.save or numpy.savez: {str(error)[:80]}"
    return InputError(f"{path}: not a .npy or .npz file of numbers", hint=hint)


def _array(file: IO[bytes], length: int, path: Path, name: str, size: tuple[int, int] | None) -> NDArray[Any]:
    """Return one array, refused by its head when it cannot be a map or is not as long as the head says.

    Args:
        file: at the start of the .npy data.
        length: how many bytes the file, or the archive's directory, says it has.
        path: for messages.
        name: for messages.
        size: the (height, width) that it must have.
    """
    where = f"{path}: the array {name!r}"
    version = npy.read_magic(file)
    if version not in _HEADS:
        raise ValueError(f"version {version} of the format")
    shape, by_column, dtype = _HEADS[version](file)
    _check_head(shape, dtype, where)
    if size is not None:
        check_size(path, (shape[0], shape[1]), size, what=f"the map {name!r}", hint="resize the map")
    wanted, rest = math.prod(shape) * dtype.itemsize, length - file.tell()
    if wanted != rest:
        raise InputError(f"{where} says that it is {_said(shape)} {dtype}, {wanted} bytes, but holds {rest}")
    if wanted > MOST_BYTES:
        raise InputError(f"{where} has {wanted / 2**30:.1f} GiB, at most {MOST_BYTES >> 30} are read")
    data = file.read(wanted)
    if len(data) != wanted:
        raise InputError(f"{where} is cut off: {len(data)} of {wanted} bytes")
    return np.frombuffer(data, dtype).reshape(shape, order="F" if by_column else "C")


def _check_head(shape: tuple[int, ...], dtype: np.dtype[Any], where: str) -> None:
    if dtype.hasobject:
        raise InputError(f"{where} holds Python objects, not numbers", hint="save an array of numbers")
    if dtype.kind not in "biuf":
        raise InputError(f"{where} holds {dtype}, not numbers")
    if len(shape) not in (2, 3) or min(shape) < 1:
        raise InputError(f"{where} must be (H, W) or (H, W, d), not {_said(shape)}")


def _said(shape: tuple[int, ...]) -> str:
    text = str(shape)
    return text if len(text) < _SHOWN else f"an array of {len(shape)} axes"


def _check_numbers(array: NDArray[Any], where: str) -> None:
    broken = int(np.count_nonzero(~np.isfinite(array)))
    if broken:
        raise InputError(f"{where} has {broken} numbers that are NaN or infinite")
    if array.dtype.itemsize > 4 and np.abs(array.astype(np.float64)).max() > np.finfo(np.float32).max:
        raise InputError(f"{where} has numbers that 32-bit floats cannot hold")


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
