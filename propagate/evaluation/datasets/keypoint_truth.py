"""True points of a clip from a .npz or .csv file, and the video that they belong to.

A .npz holds `xy` (T, L, 2) or, for several animals, (T, A, L, 2) pixels; and may hold `frames` (T,) indices (0, 1, ...
without it), `visible` (T, L) or (T, A, L), `names` (L,) (numbers without it), `size` (width, height), and `video`, a
path from the file's folder. A .csv is one of `formats.csv_points`. Points of several animals are called `1/nose`.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from propagate.errors import InputError
from propagate.evaluation.datasets.clips import VIDEOS
from propagate.formats import csv_points
from propagate.formats.points import full_name

Array = NDArray[np.float64]
SUFFIXES = (".npz", ".csv")


@dataclass(frozen=True)
class PointTruth:
    """The points of a clip that can be scored: those that its first labelled frame has.

    Attributes:
        names: (L,).
        frames: (T,) indices of the labelled frames, ascending; the points of the first are given.
        xy: (T, L, 2) pixels, NaN where unknown.
        notes: what is odd about it.
    """

    names: tuple[str, ...]
    frames: tuple[int, ...]
    xy: Array
    notes: tuple[str, ...] = ()


def read_truth(path: Path, *, stems: Sequence[str], size: tuple[int, int]) -> PointTruth:
    """Return the true points of a file.

    Args:
        path: a .npz or .csv file.
        stems: the stems of the video's frames: how many there are, and for files that name them.
        size: (height, width) of the video.

    Raises:
        InputError: the file is damaged or lacks something, does not fit the video, or has fewer than two labelled
            frames.
    """
    names, frames, xy = _read_npz(path, size=size) if path.suffix.lower() == ".npz" else _read_csv(path, stems=stems)
    labelled = np.isfinite(xy).all(axis=2).max(axis=1)  # (T,)
    frames, xy = frames[labelled], xy[labelled]
    if len(frames) and (frames[-1] >= len(stems) or frames[0] < 0):
        strange = frames[-1] if frames[0] >= 0 else frames[0]
        raise InputError(f"{path}: there is no frame {strange}, the video has {len(stems)}, counted from 0")
    if len(frames) < 2:
        raise InputError(f"{path}: {len(frames)} labelled frames; the first is given, so at least one more is needed")
    given = np.isfinite(xy[0]).all(axis=1)
    note = f"{int((~given).sum())} of {len(given)} points are not on the first labelled frame: they are not scored"
    kept = tuple(name for name, known in zip(names, given, strict=True) if known)
    return PointTruth(kept, tuple(frames.tolist()), xy[:, given], () if given.all() else (note,))


def _read_csv(path: Path, *, stems: Sequence[str]) -> tuple[tuple[str, ...], NDArray[np.int64], Array]:
    points = csv_points.read(path, stems=stems)
    frames = np.array([annotation.frame for annotation in points.annotations], dtype=np.int64)
    xy = np.stack([np.asarray(annotation.array, dtype=np.float64) for annotation in points.annotations])
    return points.names, frames, xy


def _read_npz(path: Path, *, size: tuple[int, int]) -> tuple[tuple[str, ...], NDArray[np.int64], Array]:
    data = _load(path)
    if "xy" not in data:
        raise InputError(f"{path}: holds no xy", hint=f"it holds {', '.join(data) or 'nothing'}")
    xy = data["xy"]
    if xy.ndim not in (3, 4) or xy.shape[-1] != 2 or xy.dtype.kind not in "fiu" or 0 in xy.shape:
        raise InputError(f"{path}: xy is {xy.shape} {xy.dtype}, expected numbers (frames, points, 2)")
    frames = _part(path, data, "frames", shape=xy.shape[:1], default=np.arange(len(xy)))
    if frames.dtype.kind not in "iu" or (np.diff(frames) <= 0).any():
        raise InputError(f"{path}: frames must be ascending whole numbers")
    visible = _part(path, data, "visible", shape=xy.shape[:-1], default=np.ones(xy.shape[:-1]))
    names = _part(path, data, "names", shape=xy.shape[-2:-1], default=np.arange(xy.shape[-2]))
    wanted = _part(path, data, "size", shape=(2,), default=np.array(size[::-1]))
    if tuple(wanted.tolist()) != size[::-1]:
        raise InputError(f"{path}: for frames of {wanted[0]}x{wanted[1]}, but the video is {size[1]}x{size[0]}")
    if len(set(map(str, names))) != len(names):
        raise InputError(f"{path}: two points have the same name")
    xy = np.where((visible > 0)[..., None], xy.astype(np.float64), np.nan)
    animals = [""] if xy.ndim == 3 else [str(number + 1) for number in range(xy.shape[1])]
    every = tuple(full_name(animal, str(name)) for animal in animals for name in names)
    return every, frames.astype(np.int64), xy.reshape(len(xy), -1, 2)


def _load(path: Path) -> dict[str, NDArray[Any]]:
    """Return the arrays of a .npz file."""
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as data:  # NumPy leaves a damaged file open
            return {key: data[key] for key in data.files}
    except (OSError, ValueError, TypeError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(f"{path}: not a .npz file that can be read: {error}") from error


def _part(
    path: Path, data: Mapping[str, NDArray[Any]], key: str, *, shape: tuple[int, ...], default: NDArray[Any]
) -> NDArray[Any]:
    found = data.get(key, default)
    if found.shape != shape:
        raise InputError(f"{path}: {key} is {found.shape}, expected {shape} to fit xy")
    return found


def truth_files(folder: Path) -> dict[str, Path]:
    """Return the truth files of a folder by stem.

    Raises:
        InputError: there is no such folder, no truth in it, or a stem has two.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: there is no such folder")
    files: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in SUFFIXES or path.name.startswith("."):
            continue
        if path.stem in files:
            raise InputError(f"{folder}: {files[path.stem].name} and {path.name} are both the truth of {path.stem}")
        files[path.stem] = path
    if not files:
        raise InputError(f"{folder}: there is no truth in it", hint="expected CLIP.npz or CLIP.csv beside each video")
    return files


def video_of(path: Path, *, videos: Path | None) -> Path:
    """Return the video of a truth file: the one that it names, or one of its stem beside it or in `videos`.

    Raises:
        InputError: there is none.
    """
    if path.suffix.lower() == ".npz" and "video" in (data := _load(path)):
        named = path.parent / str(data["video"])
        if not named.exists():
            raise InputError(f"{path}: its video {named} is not there")
        return named
    folders: list[Path] = [path.parent] if videos is None else [path.parent, videos]
    for folder in folders:
        candidates = [folder / f"{path.stem}{ending}" for ending in ("", *VIDEOS)]
        if found := [video for video in candidates if video.exists()]:
            return found[0]
    places = " or ".join(map(str, folders))
    raise InputError(f"{path}: there is no video {path.stem} in {places}", hint="a file, or a folder of frames")
