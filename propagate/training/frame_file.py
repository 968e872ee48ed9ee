"""A .npy of pictures that is written one by one, whole or not at all, and read in any order."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import numpy as np
from numpy.typing import NDArray

from propagate.errors import InputError, OutputError
from propagate.formats.atomic import partial_of

_HEADER = 128  # bytes before the pictures; a multiple of 64, as the format asks


class FrameFile:
    """A .npy (N, h, w, 3) uint8 that grows under a temporary name; its number of pictures is written last.

    Args:
        path: its name once `finish` is called; without it nothing is left behind.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._partial = partial_of(path)
        self._shape: tuple[int, ...] = ()
        self._count = 0
        try:
            self._file: BinaryIO = self._partial.open("wb")
            self._file.write(bytes(_HEADER))
        except OSError as error:
            raise self._unwritable(error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._file.close()
        except OSError as failure:  # what was buffered does not fit any more
            if kind is None:
                raise self._unwritable(failure) from failure
        finally:
            self._partial.unlink(missing_ok=True)

    def append(self, picture: NDArray[np.uint8]) -> None:
        """Add a picture (h, w, 3), of one size with those before.

        Raises:
            OutputError: the disk is full or read-only.
        """
        if self._count and picture.shape != self._shape:
            raise ValueError(f"a picture of {picture.shape} after those of {self._shape}")
        try:
            self._file.write(np.ascontiguousarray(picture).data)
        except OSError as error:
            raise self._unwritable(error) from error
        self._shape = picture.shape
        self._count += 1

    def finish(self) -> tuple[int, ...]:
        """Give the file its name and return its shape.

        Raises:
            OutputError: the disk is full or read-only.
        """
        shape = (self._count, *self._shape)
        try:
            self._file.seek(0)
            self._file.write(_header(shape))
            self._file.flush()
            os.fsync(self._file.fileno())  # its record is written next, and must not outlive it
            self._file.close()
            os.replace(self._partial, self._path)
        except OSError as error:
            raise self._unwritable(error) from error
        return shape

    def _unwritable(self, error: OSError) -> OutputError:
        hint = "free some space and run it again: finished videos are kept"
        return OutputError(f"{self._path}: cannot be written: {error.strerror or error}", hint=hint)


def read_frames(path: Path, places: Sequence[int]) -> NDArray[np.uint8]:
    """Return pictures of such a file in the order of `places`, (N, h, w, 3); only these are read.

    It is mapped for the time of the call only: a mapping holds a file open, and there may be more than may be open.

    Raises:
        InputError: it is missing or damaged.
    """
    try:
        frames: NDArray[np.uint8] = np.load(path, mmap_mode="r")[list(places)]
    except (OSError, ValueError, IndexError) as error:
        raise InputError(f"{path}: cannot be read: {error}", hint="remove it and prepare the footage again") from error
    return frames


def is_whole(path: Path, shape: Sequence[int]) -> bool:
    """Return whether a file of pictures of this shape is there, by its length."""
    return path.is_file() and path.stat().st_size == _HEADER + int(np.prod([int(side) for side in shape]))


def _header(shape: tuple[int, ...]) -> bytes:
    """The format's version 1.0, of a fixed length so that the shape can be written last."""
    words = repr({"descr": "|u1", "fortran_order": False, "shape": shape}).encode()
    start = b"\x93NUMPY\x01\x00" + (_HEADER - 10).to_bytes(2, "little")
    return start + words.ljust(_HEADER - 11) + b"\n"
