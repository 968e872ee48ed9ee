"""Tracked points on disk: a run over a video written as a long CSV, and such a file of any tool read back."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from propagate.errors import InputError
from propagate.evaluation.datasets.tracking import make_folder
from propagate.formats import csv_points
from propagate.formats.frames import match_frames
from propagate.formats.points import PointTracks
from propagate.formats.tables import csv_rows, read_text
from propagate.values import Prediction
from propagate.video import read_video
from propagate.video.folder import list_images

Array = NDArray[np.float64]


def write_tracks(path: Path, predictions: Iterable[Prediction]) -> None:
    """Write the points of a run, a row per frame and point, x and y empty where a point is lost.

    Raises:
        OutputError: the file cannot be written.
    """
    names: tuple[str, ...] = ()
    frames, xy, confidence = [], [], []
    for prediction in predictions:
        names = tuple(str(name) for name in prediction.ids)
        frames.append(prediction.frame)
        xy.append(prediction.array)
        sure = [state.confidence for state in prediction.objects] or [1.0] * len(names)
        confidence.append(np.array(sure, dtype=float))
    places = np.array(xy, dtype=float)
    tracks = PointTracks(
        names=names,
        frames=tuple(frame.index for frame in frames),
        stems=tuple(frame.stem for frame in frames),
        times=tuple(frame.time for frame in frames),
        xy=places,
        confidence=np.array(confidence),
        visible=np.isfinite(places).all(axis=2),
    )
    make_folder(path.parent)
    csv_points.write(path, tracks)


def read_tracks(path: Path, *, names: Sequence[str], frames: Sequence[int], stems: Sequence[str]) -> Array:
    """Return the points of a results file at the scored frames; what the file leaves out is lost.

    Args:
        path: a CSV as `formats.csv_points` reads it.
        names: (L,) the points of the truth.
        frames: (T,) the indices of the scored frames; the file must have a row of each.
        stems: the stems of the video's frames, for files that name frames by stem.

    Returns:
        (T, L, 2) pixels, NaN where lost.

    Raises:
        InputError: the file is missing or damaged, has a point that the truth lacks, or lacks a frame.
    """
    found = csv_points.read(path, stems=stems)
    unknown = [name for name in found.names if name not in names]
    if unknown:
        raise InputError(f"{path}: the truth has no point {unknown[0]!r}", hint=f"it has {', '.join(names)}")
    missing = sorted(set(frames) - _frames_of(path, stems))
    if missing:
        raise InputError(f"{path}: no row of frame {missing[0]}", hint=f"frames {min(frames)} to {max(frames)} count")
    columns = [names.index(name) for name in found.names]
    row_of = {frame: row for row, frame in enumerate(frames)}
    places = np.full((len(frames), len(names), 2), np.nan)
    for annotation in found.annotations:
        if annotation.frame in row_of:
            places[row_of[annotation.frame], columns] = annotation.array
    return places


def _frames_of(path: Path, stems: Sequence[str]) -> set[int]:
    """Return the frames that a CSV has rows of, those without any point included; it has been read before."""
    text = read_text(path)
    separator = next((letter for letter in text.lstrip().splitlines()[0] if letter in ",;\t"), ",")
    lines = csv_rows(path, text, separator=separator)
    column = [cell.strip() for cell in next(lines)[1]].index("frame")
    cells = {row[column].strip() for _, row in lines}
    named = {cell for cell in cells if re.match("0[0-9]", cell) or not re.fullmatch(r"[+]?[0-9]+(\.[0-9]*)?", cell)}
    matched = match_frames([Path(cell.replace("\\", "/")).stem for cell in named], stems=stems, where=str(path))
    return {int(float(cell)) for cell in cells - named} | {frame for frame, _ in matched}


def stems_of(video: str) -> list[str]:
    """Return the stems of a video's frames, in order: the images' own, or the index with five digits for a file."""
    if Path(video).is_dir():
        return [path.stem for path in list_images(Path(video))]
    with read_video(video) as frames:
        return [f"{index:05d}" for index in range(len(frames))]
