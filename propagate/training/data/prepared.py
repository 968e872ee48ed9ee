"""Footage prepared on disk, so that decoding is paid once: small frames of each video in one memory-mapped .npy.

A folder holds settings.json (what all its frames have in common, written first), for each video NAME.npy and NAME.json
(written after it), and index.json (written last). NAME is a digest of the video's path. A run that is killed leaves
whole videos behind and goes on from there.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import numpy as np
from numpy.typing import NDArray

from propagate.errors import ConflictError, InputError, OutputError
from propagate.formats.atomic import partial_of, write_text
from propagate.training.data.decoding import UNREADABLE, scan
from propagate.training.data.footage import Footage, note_damage, skip
from propagate.training.data.shots import Shot
from propagate.training.data.sources import Skipped, Source, Sources, nothing_left

INDEX, SETTINGS = "index.json", "settings.json"
VERSION = 1  # of the layout and of everything that decides on frames and shots
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


@dataclass(frozen=True)
class Prepared:
    """One video, as it is in the notes.

    Attributes:
        source: absolute path of the video.
        group: of the source.
        stamp: bytes and time in ns of the video when it was decoded; of a folder the sum and the latest.
        file: name of its frames, a .npy.
        shape: (N, h, w, 3) of the frames; empty when it is skipped.
        lost: frames that did not decode whole.
        spans: (start, frames, rate) of each shot.
        skipped: why it is not used, or None.
    """

    source: str
    group: str
    stamp: tuple[int, int]
    file: str
    shape: tuple[int, ...] = ()
    lost: int = 0
    spans: tuple[tuple[int, int, float], ...] = ()
    skipped: str | None = None

    @classmethod
    def read(cls, entry: dict[str, Any]) -> Prepared:
        """Return what `as_json` wrote.

        Raises:
            TypeError, ValueError: it did not.
        """
        found = cls(**entry)
        spans = tuple((int(start), int(frames), float(rate)) for start, frames, rate in found.spans)
        shape = tuple(int(length) for length in found.shape)
        size, time = found.stamp
        return replace(found, stamp=(size, time), shape=shape, spans=spans)

    def as_json(self) -> dict[str, Any]:
        """Return it as plain data."""
        return asdict(self)

    @property
    def shots(self) -> tuple[Shot, ...]:
        """The shots of the video."""
        if not self.spans:
            return ()
        _, height, width, _ = self.shape
        return tuple(Shot(Path(self.source), self.group, *span, (height, width)) for span in self.spans)


def prepare_video(source: Source, folder: Path, *, side: int, rate: float | None) -> Prepared:
    """Return the note of a video, which is decoded unless the note that is there is of the video as it is now.

    Raises:
        OutputError: the folder cannot be written.
    """
    name = hashlib.blake2b(os.fsencode(source.path), digest_size=10).hexdigest()
    note = folder / f"{name}.json"
    fresh = Prepared(str(source.path), source.group, (0, 0), f"{name}.npy")
    try:
        fresh = replace(fresh, stamp=stamp_of(source.path))
    except OSError as error:
        return replace(fresh, skipped=skip(source.path, error).reason)
    known = _read_note(note)
    if (
        known is not None
        and known.stamp == fresh.stamp
        and (known.skipped or is_whole(folder / known.file, known.shape))
    ):
        return replace(known, source=fresh.source, group=fresh.group)
    _forget(note, folder / INDEX)  # they would describe frames that are being replaced
    fresh = _decode(fresh, folder, side=side, rate=rate)
    write_text(note, json.dumps(fresh.as_json()) + "\n")
    return fresh


def stamp_of(path: Path) -> tuple[int, int]:
    """Return the bytes of a video and when it was changed, in ns; of a folder the sum and the latest of its files."""
    files = [entry for entry in path.iterdir() if entry.is_file()] if path.is_dir() else [path]
    stats = [file.stat() for file in files]
    return sum(stat.st_size for stat in stats), max((stat.st_mtime_ns for stat in stats), default=0)


def _decode(fresh: Prepared, folder: Path, *, side: int, rate: float | None) -> Prepared:
    """Write the frames of a video and return what is known of it then."""
    file, path = folder / fresh.file, Path(fresh.source)
    try:
        with FrameFile(file) as frames:
            found = scan(path, side=side, rate=rate, keep=frames.append)
            shape = frames.finish()
    except UNREADABLE as error:
        return replace(fresh, skipped=skip(path, error).reason)
    spans = tuple((span.start, span.frames, span.rate) for span in found.spans)
    return replace(fresh, shape=shape, lost=found.lost, spans=spans)


def _read_note(note: Path) -> Prepared | None:
    """Return the note of a video; None when there is none, or it is damaged."""
    try:
        return Prepared.read(json.loads(note.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def _forget(*files: Path) -> None:
    for file in files:
        try:
            file.unlink(missing_ok=True)
        except OSError as error:
            raise OutputError(f"{file}: cannot be removed: {error.strerror or error}") from error


def prepare_videos(
    sources: Sources, folder: Path, *, side: int = 256, rate: float | None = None, workers: int = 1
) -> Iterator[Prepared]:
    """Prepare one video after the other, yielding what is noted of each; the index is written at the end.

    A video that has changed since (its size or time) is decoded again, one that could not be read is not tried again.

    Args:
        sources: the videos.
        folder: made when missing; one process at a time may fill it.
        side: pixels of the short side, never enlarged.
        rate: at most that many frames a second; None keeps all.
        workers: videos that are decoded at the same time, each by several threads already.

    Raises:
        ConflictError: the folder holds something else, or footage of other settings.
        InputError: not one of the videos can be used.
        OutputError: the folder cannot be written, or is full; what is done stays.
    """
    settings = {"version": VERSION, "side": side, "rate": rate}
    _claim(folder, settings)
    videos = []
    pool = ThreadPoolExecutor(workers, thread_name_prefix="prepare")
    try:
        for video in pool.map(partial(prepare_video, folder=folder, side=side, rate=rate), sources.videos):
            videos.append(video)
            note_damage(Path(video.source), video.lost)
            yield video
    finally:
        pool.shutdown(cancel_futures=True)
    if not any(video.spans for video in videos):
        lost = [Skipped(Path(video.source), video.skipped or "") for video in videos]
        raise nothing_left([*sources.skipped, *lost])
    index = {**settings, "videos": [video.as_json() for video in videos]}
    write_text(folder / INDEX, json.dumps(index, indent=1) + "\n")


def open_footage(folder: Path) -> Footage:
    """Return footage that `prepare_videos` has finished; the videos themselves are not needed any more.

    Raises:
        InputError: there is none, it is unfinished, or its files are damaged.
    """
    videos = _read_index(folder)
    used = {Path(video.source): video for video in videos if video.spans}
    for video in used.values():
        if not is_whole(folder / video.file, video.shape):
            raise InputError(f"{folder / video.file}: missing or cut off", hint="prepare again: only it is decoded")
    shots = tuple(shot for video in used.values() for shot in video.shots)
    skipped = tuple(Skipped(Path(video.source), video.skipped) for video in videos if video.skipped)
    return Footage(shots, skipped, PreparedFrames({path: folder / video.file for path, video in used.items()}))


class PreparedFrames:
    """Frames in the files that `prepare_videos` has written.

    Args:
        files: of each video.
    """

    def __init__(self, files: Mapping[Path, Path]) -> None:
        self._files = dict(files)

    def read(self, shot: Shot, positions: Sequence[int]) -> NDArray[np.uint8]:
        """Return the frames (T, h, w, 3) at these positions within the shot."""
        return read_frames(self._files[shot.source], [shot.start + position for position in positions])


def _claim(folder: Path, settings: Mapping[str, Any]) -> None:
    """Make the folder ours, or see that it is and has these settings."""
    path = folder / SETTINGS
    try:
        folder.mkdir(parents=True, exist_ok=True)
        there = json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
        others = sorted(entry.name for entry in folder.iterdir() if entry not in (path, partial_of(path)))
    except (OSError, ValueError) as error:
        raise OutputError(f"{folder}: cannot be used: {error}", hint="give another folder") from error
    if there == settings:
        return
    if isinstance(there, dict):
        names = [name for name in settings if there.get(name) != settings[name]]
        found = ", ".join(f"{name} {there.get(name)}, not {settings[name]}" for name in names)
        hint = f"give --side {there['side']}, or another folder" if names == ["side"] else "give another folder"
        raise ConflictError(f"{folder}: holds footage of other settings: {found}", hint=hint)
    if others:
        raise ConflictError(f"{folder}: holds other files, such as {others[0]}", hint="give another folder")
    write_text(path, json.dumps(settings) + "\n")


def _read_index(folder: Path) -> list[Prepared]:
    path = folder / INDEX
    try:
        index = json.loads(path.read_text(encoding="utf-8"))
        version, videos = index["version"], [Prepared.read(entry) for entry in index["videos"]]
    except FileNotFoundError as error:
        hint = "prepare again: it goes on where it stopped" if (folder / SETTINGS).exists() else None
        raise InputError(f"{folder}: no prepared footage, index.json is missing", hint=hint) from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: damaged: {error}", hint="prepare again: only what is lost is decoded") from error
    if version != VERSION:
        raise InputError(f"{folder}: prepared by another version of propagate", hint="prepare it again elsewhere")
    return videos
