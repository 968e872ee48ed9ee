"""Points from a file of any known format, recognised by its content, never by its name."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from propagate.errors import InputError
from propagate.formats import FORMATS
from propagate.formats.frames import check_frame
from propagate.formats.points import PointFormat, PointSet
from propagate.formats.tables import read_text

logger = logging.getLogger(__name__)


def recognise(path: Path) -> str:
    """Return the name in `FORMATS` of the format that a file's content has.

    Raises:
        InputError: the file is missing, empty, or not text.
    """
    _refuse_hdf5(path)
    text = read_text(path).lstrip()
    if text[0] in "{[":
        return "json"
    return "deeplabcut" if text.partition(",")[0].strip().strip('"') == "scorer" else "csv"


def _refuse_hdf5(path: Path) -> None:
    """Refuse binary files that hold points but need another reader, by their first bytes.

    Raises:
        InputError: the file is HDF5 (DeepLabCut's .h5, SLEAP's .slp).
    """
    if path.is_file():
        with path.open("rb") as file:
            if file.read(8) == b"\x89HDF\r\n\x1a\n":
                raise InputError(f"{path}: an HDF5 file is not read here", hint="export the points as CSV")


def read_points(
    path: str | Path,
    *,
    stems: Sequence[str] | None = None,
    frame_count: int | None = None,
    size: tuple[int, int] | None = None,
) -> PointSet:
    """Return the annotated points of a CSV, JSON, JSONL or DeepLabCut file.

    Args:
        path: the file; its content decides the format.
        stems: the stems of the video's frames in order, to match frames that the file calls by name.
        frame_count: how many frames the video has, None when that is not known.
        size: (height, width) of the video; a point outside is warned about and kept.

    Raises:
        InputError: the file cannot be read or annotates a frame that does not exist.
    """
    path = Path(path)
    form: PointFormat = FORMATS[recognise(path)]
    points = form.read(path, stems=stems)
    for annotation in points.annotations:
        check_frame(annotation.frame, frame_count, where=str(path))
    if size is not None:
        _warn_outside(path, points, size)
    return points


def _warn_outside(path: Path, points: PointSet, size: tuple[int, int]) -> None:
    height, width = size
    for annotation in points.annotations:
        xy = np.asarray(annotation.array, np.float64)
        outside = (xy < -0.5).any(axis=1) | (xy[:, 0] > width - 0.5) | (xy[:, 1] > height - 0.5)
        for row in np.flatnonzero(outside):
            place = f"({xy[row, 0]:g}, {xy[row, 1]:g})"
            message = "%s: the point %s of frame %d at %s lies outside the %dx%d picture"
            logger.warning(message, path, points.names[row], annotation.frame, place, width, height)
