"""Named points on frames, as every point format reads and writes them.

Coordinates are (x, y) pixels with the centre of the top-left pixel at (0.0, 0.0). Points of several animals are called
`animal/part`, one name space for all.
"""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from propagate.errors import InputError
from propagate.files import IMAGE_SUFFIXES, cannot_read, check_file, looks_like_video
from propagate.formats import FORMATS
from propagate.formats.frames import check_frame, match_frames
from propagate.formats.tables import frame_index, read_text
from propagate.values import Annotation


@dataclass(frozen=True)
class PointSet:
    """Annotated points of a video.

    Attributes:
        names: the L names, in the order in which the file has them.
        annotations: one per annotated frame, by frame; `array` is (L, 2) float64 x, y with NaN where a point is not
            annotated, `ids` are all L names, so that row i belongs to name i.
        skeleton: pairs of names that a drawing joins.
        where: the file and line of each frame's point of each name, for messages.
    """

    names: tuple[str, ...]
    annotations: tuple[Annotation, ...]
    skeleton: tuple[tuple[str, str], ...] = ()
    where: Mapping[tuple[int, str], str] = field(default_factory=dict, compare=False, repr=False)


@dataclass(frozen=True)
class PointTracks:
    """Points of every frame of a run, as the writers take them.

    Attributes:
        names: the L names.
        frames: the T frame indices.
        stems: the T stems.
        times: the T presentation times in seconds.
        xy: (T, L, 2) pixels, NaN where a point is absent.
        confidence: (T, L) in [0, 1].
        visible: (T, L) bool.
    """

    names: tuple[str, ...]
    frames: tuple[int, ...]
    stems: tuple[str, ...]
    times: tuple[float, ...]
    xy: NDArray[np.float64]
    confidence: NDArray[np.float64]
    visible: NDArray[np.bool_]

    def __post_init__(self) -> None:
        shape = (len(self.frames), len(self.names))
        if self.xy.shape != (*shape, 2) or self.confidence.shape != shape or self.visible.shape != shape:
            shapes = f"{self.xy.shape}, {self.confidence.shape} and {self.visible.shape}"
            raise ValueError(f"xy, confidence and visible must be {(*shape, 2)}, {shape} and {shape}, not {shapes}")
        if not len(self.stems) == len(self.times) == len(self.frames):
            raise ValueError("frames, stems and times must be equally long")


@dataclass(frozen=True)
class PointFormat:
    """One file format for points: an entry of `FORMATS`.

    Attributes:
        suffix: what a file of this format is called, with the dot.
        read: `read(path, stems=None) -> PointSet`.
        write: `write(path, tracks)`, atomic, the same bytes for the same tracks.
    """

    suffix: str
    read: Callable[..., PointSet]
    write: Callable[[str | Path, PointTracks], None]


@dataclass(frozen=True)
class PointCell:
    """One point as a file states it.

    Attributes:
        frame: what the file calls the frame: an index, a stem, or the path of an image.
        name: the point's name.
        xy: x and y in pixels, NaN when the file leaves them empty.
        where: file and line, for messages.
    """

    frame: str
    name: str
    xy: tuple[float, float]
    where: str


def point_set(path: Path, cells: Sequence[PointCell], *, stems: Sequence[str] | None) -> PointSet:
    """Return the annotated points of a file from its cells; frames without any point are not annotated.

    Args:
        path: the file, for messages.
        cells: all points of the file, in its order.
        stems: the stems of the video's frames, to match frames that the file calls by name.

    Raises:
        InputError: a frame matches nothing, a point is given twice, or there is none at all.
    """
    names = tuple(dict.fromkeys(cell.name for cell in cells))
    rows = {name: row for row, name in enumerate(names)}
    first: dict[str, str] = {}
    for cell in cells:
        first.setdefault(cell.frame, cell.where)
    index = _frame_indices(path, first, stems=stems)
    where: dict[tuple[int, str], str] = {}
    arrays: dict[int, NDArray[np.float64]] = {}
    for cell in cells:
        frame = index[cell.frame]
        if (frame, cell.name) in where:
            raise InputError(f"{cell.where}: the point {cell.name} of frame {cell.frame} is given twice")
        where[frame, cell.name] = cell.where
        arrays.setdefault(frame, np.full((len(names), 2), np.nan))[rows[cell.name]] = cell.xy
    annotated = {frame: xy for frame, xy in sorted(arrays.items()) if not np.isnan(xy).all()}
    if not annotated:
        raise InputError(f"{path}: no point is annotated")
    return PointSet(names, tuple(Annotation(frame, xy, names) for frame, xy in annotated.items()), where=where)


def _frame_indices(path: Path, frames: Mapping[str, str], *, stems: Sequence[str] | None) -> dict[str, int]:
    """Return the index of each frame that a file names.

    A number is the index, unless it starts with 0 like a stem and there are stems to match; anything else is matched.

    Args:
        path: the file, for messages.
        frames: what the file calls each frame, and where it first does.
        stems: the stems of the video's frames.
    """
    index: dict[str, int] = {}
    known = set(stems or ())
    for frame, where in frames.items():
        if stems and (re.match("0[0-9]", frame) or (frame in known and not frame.isdecimal())):
            continue
        if (number := frame_index(frame, where=where)) is not None:
            index[frame] = number
    named = [frame for frame in frames if frame not in index]
    matches = match_frames([Path(frame.replace("\\", "/")).stem for frame in named], stems=stems, where=str(path))
    return index | {frame: place for frame, (place, _) in zip(named, matches, strict=True)}


def point(x: float, y: float, *, where: str, name: str) -> tuple[float, float]:
    """Return x, y of a point that has both or neither.

    Raises:
        InputError: only one of them is given.
    """
    if math.isnan(x) != math.isnan(y):
        raise InputError(f"{where}: the point {name} has only one of x and y")
    return x, y


def full_name(animal: str, part: str) -> str:
    """Return `animal/part`, or the part alone without an animal."""
    return f"{animal}/{part}" if animal else part


def tracks_by_name(tracks: PointTracks, row: int) -> Mapping[str, tuple[float, float, float, bool]]:
    """Return x, y, confidence and visible of each name on the run's frame number `row`."""
    values = zip(tracks.names, tracks.xy[row].tolist(), tracks.confidence[row], tracks.visible[row], strict=True)
    return {name: (x, y, float(confidence), bool(visible)) for name, (x, y), confidence, visible in values}


logger = logging.getLogger(__name__)


def recognise(path: Path) -> str:
    """Return the name in `FORMATS` of the format that a file's content has.

    Raises:
        InputError: the file is missing, empty, or not text.
    """
    check_file(path, wanted="a CSV or JSON file of points")
    _refuse_binary(path)
    text = read_text(path).lstrip()
    if text[0] in "{[":
        return "json"
    return "deeplabcut" if text.partition(",")[0].strip().strip('"') == "scorer" else "csv"


def _refuse_binary(path: Path) -> None:
    """Refuse files that are no text, by their first bytes or their name, with what to do.

    Raises:
        InputError: the file is HDF5 (DeepLabCut's .h5, SLEAP's .slp), a video, or a picture.
    """
    try:
        with path.open("rb") as file:
            hdf5 = file.read(8) == b"\x89HDF\r\n\x1a\n"
    except OSError as error:
        raise cannot_read(path, error) from error
    if hdf5:
        raise InputError(f"{path}: an HDF5 file is not read here", hint="export the points as CSV")
    if looks_like_video(path) or path.suffix.lower() in IMAGE_SUFFIXES:
        kind = "a video" if looks_like_video(path) else "a picture"
        hint = "the video comes first, then its points: VIDEO POINTS.csv"
        raise InputError(f"{path}: {kind} where a file of points is expected", hint=hint)


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
        size: (height, width) of the video; a point outside is warned about and kept, one far outside refused.

    Raises:
        InputError: the file cannot be read, annotates a frame that does not exist, or has a point far outside.
    """
    path = Path(path)
    form: PointFormat = FORMATS[recognise(path)]
    points = form.read(path, stems=stems)
    for annotation in points.annotations:
        check_frame(annotation.frame, frame_count, where=str(path))
    if size is not None:
        for annotation in points.annotations:
            _check_inside(annotation, points, size)
    return points


def _check_inside(annotation: Annotation, points: PointSet, size: tuple[int, int]) -> None:
    """Warn of points outside the picture; refuse those that can only be of another video.

    Raises:
        InputError: a point lies more than half a picture beyond the border.
    """
    limits = np.array(size[::-1], np.float64)  # width, height
    xy = np.asarray(annotation.array, np.float64)
    outside = np.any((xy < -0.5) | (xy > limits - 0.5), axis=1)
    far = np.any((xy < -limits / 2) | (xy > 1.5 * limits), axis=1)
    for row in np.flatnonzero(outside):
        name, picture = points.names[row], f"{size[1]}x{size[0]} picture"
        place = f"the point {name} of frame {annotation.frame} at ({xy[row, 0]:g}, {xy[row, 1]:g})"
        where = points.where.get((annotation.frame, name), "points")
        if far[row]:
            hint = "are the points of this video, and in pixels of its own size?"
            raise InputError(f"{where}: {place} is far outside the {picture}", hint=hint)
        logger.warning("%s: %s lies outside the %s", where, place, picture)
