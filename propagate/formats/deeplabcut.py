"""DeepLabCut's CSV: header rows scorer, [individuals,] bodyparts, coords; one row per image or frame.

Read: `CollectedData_*.csv`, single or multi-animal, with the image's path as index in one column
(`labeled-data/clip/img0123.png`) or split over three. The image's stem is matched with the video's stems; else its last
digits are the frame's index, which is how DeepLabCut names extracted frames. A plain number is the index. Empty and
NaN are not annotated. Multi-animal points are called `individual/bodypart`; DeepLabCut's individual `single`, which
holds parts that belong to no animal, is left out of the name. A likelihood is passed over.

Written: one row per frame of the video (NaN, as an empty cell, where absent), index = frame, columns x, y, likelihood.

Pixel centres: DeepLabCut's labels come from matplotlib's imshow, where (0, 0) is the centre of the top-left pixel, as
it is here; no shift is applied.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from propagate.errors import InputError
from propagate.formats.atomic import write_text
from propagate.formats.points import (
    PointCell,
    PointFormat,
    PointSet,
    PointTracks,
    full_name,
    point,
    point_set,
    tracks_by_name,
)
from propagate.formats.tables import cell_text, csv_line, csv_rows, number, read_text

SCORER = "propagate"
_COORDS = ("x", "y", "likelihood")


@dataclass(frozen=True)
class _Header:
    """Where the points are: how many index columns, and the x and y column of every name."""

    index: int
    columns: dict[str, dict[str, int]]


def read(path: str | Path, *, stems: Sequence[str] | None = None) -> PointSet:
    """Return all annotated rows of a DeepLabCut CSV.

    Args:
        path: `CollectedData_*.csv`, or DeepLabCut's own predictions.
        stems: the stems of the video's frames, to match image names with.

    Raises:
        InputError: a header row or column is missing, a cell is no number, or an image matches no frame.
    """
    path = Path(path)
    rows = list(csv_rows(path, read_text(path)))
    head = {row[0].strip(): row for _, row in rows[:4]}
    header = _header(path, head)
    body = [(line, row) for line, row in rows if row[0].strip() not in ("scorer", "individuals", "bodyparts", "coords")]
    cells = [cell for line, row in body for cell in _cells(row, header, f"{path}, line {line}")]
    return point_set(path, cells, stems=stems)


def write(path: str | Path, tracks: PointTracks) -> None:
    """Write a DeepLabCut CSV with a row for every frame; multi-animal when a name holds a slash.

    Raises:
        OutputError: the file cannot be written.
    """
    animals = [name.partition("/")[0] if "/" in name else "single" for name in tracks.names]
    parts = [name.partition("/")[2] if "/" in name else name for name in tracks.names]
    several = any("/" in name for name in tracks.names)
    lines = [csv_line(["scorer", *[SCORER] * 3 * len(parts)])]
    lines += [csv_line(["individuals", *(a for a in animals for _ in _COORDS)])] if several else []
    lines += [csv_line(["bodyparts", *(p for p in parts for _ in _COORDS)])]
    lines += [csv_line(["coords", *_COORDS * len(parts)])]
    for row, frame in enumerate(tracks.frames):
        points = tracks_by_name(tracks, row).values()
        cells = [text for x, y, c, _ in points for text in (cell_text(x, 3), cell_text(y, 3), cell_text(c, 4))]
        lines.append(csv_line([str(frame), *cells]))
    write_text(Path(path), "".join(lines))


DEEPLABCUT = PointFormat(".csv", read, write)


def _header(path: Path, head: dict[str, list[str]]) -> _Header:
    missing = [row for row in ("scorer", "bodyparts", "coords") if row not in head]
    if missing:
        raise InputError(f"{path}: the header row {missing[0]} of a DeepLabCut file is missing")
    coords = [cell.strip() for cell in head["coords"]]
    index = next((place for place, cell in enumerate(coords) if cell in _COORDS), len(coords))
    columns: dict[str, dict[str, int]] = {}
    for place in range(index, len(coords)):
        part = _cell(head["bodyparts"], place)
        animal = _cell(head["individuals"], place) if "individuals" in head else ""
        name = full_name("" if animal == "single" else animal, part)
        if not part or coords[place] not in _COORDS:
            raise InputError(f"{path}: column {place + 1} of the header has no bodypart or is none of x, y, likelihood")
        if coords[place] in columns.setdefault(name, {}):
            raise InputError(f"{path}: the column {coords[place]} of {name} comes twice")
        columns[name][coords[place]] = place
    for name, found in columns.items():
        if not {"x", "y"} <= set(found):
            raise InputError(f"{path}: {name} has no column {'y' if 'x' in found else 'x'}")
    return _Header(index, columns)


def _cells(row: Sequence[str], header: _Header, where: str) -> Iterator[PointCell]:
    frame = "/".join(cell.strip() for cell in row[: header.index] if cell.strip())
    if not frame:
        raise InputError(f"{where}: the row names no image or frame")
    for name, columns in header.columns.items():
        x, y = (number(_cell(row, columns[part]), where=where, what=f"{part} of {name}", nan=True) for part in "xy")
        yield PointCell(frame, name, point(x, y, where=where, name=name), where)


def _cell(row: Sequence[str], place: int) -> str:
    return row[place].strip() if place < len(row) else ""
