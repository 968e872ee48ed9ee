"""Points as CSV: long (a row per frame and point) or wide (a row per frame); the header tells which.

Long: `frame,name,x,y[,visible][,object]`, written as `frame,stem,time,name,x,y,confidence,visible`. Wide:
`frame,nose_x,nose_y,...`, written with `stem`, `time` and `nose_confidence`. `frame` is the 0-based index or, for a
folder of images, a stem. A point whose `visible` is 0 is not annotated; `object` makes the name `object/name`; other
columns are passed over. Commas, semicolons and tabs separate; the header's first one decides.

Pixel centres: (0, 0) is the centre of the top-left pixel, no shift is applied.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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

_NO = frozenset({"0", "0.0", "false", "no"})


def read(path: str | Path, *, stems: Sequence[str] | None = None) -> PointSet:
    """Return the annotated points of a long or wide CSV file.

    Args:
        path: the file.
        stems: the stems of the video's frames, for files that name frames by stem.

    Raises:
        InputError: a column is missing, a cell is no number, or a point is given twice.
    """
    path = Path(path)
    text = read_text(path)
    separator = next((letter for letter in text.lstrip().splitlines()[0] if letter in ",;\t"), ",")
    lines = csv_rows(path, text, separator=separator)
    _, header = next(lines)
    header = [cell.strip() for cell in header]
    _check_header(path, header)
    names = None if "name" in header else _wide_names(path, header)
    cells: list[PointCell] = []
    for line, row in lines:
        record = _record(path, line, header, row)
        where = f"{path}, line {line}"
        cells += _long_cells(record, where) if names is None else _wide_cells(record, names, where)
    return point_set(path, cells, stems=stems)


def write(path: str | Path, tracks: PointTracks) -> None:
    """Write a long CSV: a row per frame and point, x and y empty where the point is absent.

    Raises:
        OutputError: the file cannot be written.
    """
    lines = [csv_line(["frame", "stem", "time", "name", "x", "y", "confidence", "visible"])]
    for row, frame in enumerate(tracks.frames):
        head = [str(frame), tracks.stems[row], cell_text(tracks.times[row], 6)]
        for name, (x, y, confidence, visible) in tracks_by_name(tracks, row).items():
            place = [cell_text(x, 3), cell_text(y, 3), cell_text(confidence, 4), str(int(visible))]
            lines.append(csv_line([*head, name, *place]))
    write_text(Path(path), "".join(lines))


def write_wide(path: str | Path, tracks: PointTracks) -> None:
    """Write a wide CSV: a row per frame, `NAME_x`, `NAME_y` and `NAME_confidence` per point.

    Raises:
        OutputError: the file cannot be written.
    """
    columns = [f"{name}_{part}" for name in tracks.names for part in ("x", "y", "confidence")]
    lines = [csv_line(["frame", "stem", "time", *columns])]
    for row, frame in enumerate(tracks.frames):
        points = tracks_by_name(tracks, row).values()
        cells = [text for x, y, c, _ in points for text in (cell_text(x, 3), cell_text(y, 3), cell_text(c, 4))]
        lines.append(csv_line([str(frame), tracks.stems[row], cell_text(tracks.times[row], 6), *cells]))
    write_text(Path(path), "".join(lines))


LONG = PointFormat(".csv", read, write)
WIDE = PointFormat(".csv", read, write_wide)


def _check_header(path: Path, header: Sequence[str]) -> None:
    wide = any(column.endswith(("_x", "_y")) for column in header)
    wanted = ["frame"] if wide and "name" not in header else ["frame", "name", "x", "y"]
    missing = [column for column in wanted if column not in header]
    if missing:
        hint = "the header is frame,name,x,y or frame,NAME_x,NAME_y,..."
        raise InputError(f"{path}: no column {', '.join(missing)} in the header {','.join(header)!r}", hint=hint)
    twice = [column for column in dict.fromkeys(header) if column and header.count(column) > 1]
    if twice:
        raise InputError(f"{path}: the column {twice[0]} comes twice in the header")


def _record(path: Path, line: int, header: Sequence[str], row: Sequence[str]) -> dict[str, str]:
    if len(row) > len(header) and any(cell.strip() for cell in row[len(header) :]):
        raise InputError(f"{path}, line {line}: {len(row)} cells but the header has {len(header)}")
    padded = [cell.strip() for cell in row] + [""] * len(header)
    record = dict(zip(header, padded, strict=False))
    if not record["frame"]:
        raise InputError(f"{path}, line {line}: the frame is empty")
    return record


def _long_cells(record: dict[str, str], where: str) -> Iterator[PointCell]:
    if not record["name"]:
        raise InputError(f"{where}: the name is empty")
    name = full_name(record.get("object", ""), record["name"])
    hidden = record.get("visible", "").lower() in _NO
    yield PointCell(record["frame"], name, _xy(record["x"], record["y"], name, where, hidden=hidden), where)


def _wide_cells(record: dict[str, str], names: Sequence[str], where: str) -> Iterator[PointCell]:
    for name in names:
        hidden = record.get(f"{name}_visible", "").lower() in _NO
        xy = _xy(record[f"{name}_x"], record[f"{name}_y"], name, where, hidden=hidden)
        yield PointCell(record["frame"], name, xy, where)


def _xy(x: str, y: str, name: str, where: str, *, hidden: bool) -> tuple[float, float]:
    values = number(x, where=where, what=f"x of {name}"), number(y, where=where, what=f"y of {name}")
    return (float("nan"), float("nan")) if hidden else point(*values, where=where, name=name)


def _wide_names(path: Path, header: Sequence[str]) -> list[str]:
    names = list(dict.fromkeys(column[:-2] for column in header if column.endswith(("_x", "_y"))))
    missing = [f"{name}_{part}" for name in names for part in "xy" if f"{name}_{part}" not in header]
    if missing:
        raise InputError(f"{path}: no column {', '.join(missing)} in the header")
    return names
