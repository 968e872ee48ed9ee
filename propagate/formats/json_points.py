"""Points as JSON, `{"0": {"nose": [x, y]}}`, or as JSON lines, one frame a line.

A frame is its 0-based index or a stem; a point is `[x, y]`, `[x, y, anything]` or `null` where it is not annotated;
several animals are `{"0": {"mouse1": {"nose": [x, y]}}}` and become `mouse1/nose`. A line of JSONL is
`{"frame": 0, "stem": ..., "time": ..., "points": {...}, "confidence": {...}}`, of which `frame` and `points` are read.
Pixel centres: (0, 0) is the centre of the top-left pixel, no shift is applied.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

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
from propagate.formats.tables import parse_json, read_text, rounded, shown


def read(path: str | Path, *, stems: Sequence[str] | None = None) -> PointSet:
    """Return the annotated points of a JSON or JSONL file.

    Args:
        path: the file.
        stems: the stems of the video's frames, for files that name frames by stem.

    Raises:
        InputError: not JSON, not of the shape above, or a point is given twice.
    """
    path = Path(path)
    text = read_text(path)
    cells = [
        cell for frame, points, where in _frames(path, text) for cell in _cells(frame, points, animal="", where=where)
    ]
    return point_set(path, cells, stems=stems)


def write(path: str | Path, tracks: PointTracks) -> None:
    """Write `{"0": {"nose": [x, y]}}` with every frame, a line each; absent points are null.

    Raises:
        OutputError: the file cannot be written.
    """
    frames = [f"{_dump(str(frame))}: {_dump(_points(tracks, row))}" for row, frame in enumerate(tracks.frames)]
    write_text(Path(path), "{\n" + ",\n".join(frames) + "\n}\n")


def write_lines(path: str | Path, tracks: PointTracks) -> None:
    """Write JSON lines: one object per frame with its points and their confidence.

    Raises:
        OutputError: the file cannot be written.
    """
    lines = []
    for row, frame in enumerate(tracks.frames):
        confidence = {name: rounded(value[2], 4) for name, value in tracks_by_name(tracks, row).items()}
        head = {"frame": frame, "stem": tracks.stems[row], "time": rounded(tracks.times[row], 6)}
        lines.append(_dump({**head, "points": _points(tracks, row), "confidence": confidence}) + "\n")
    write_text(Path(path), "".join(lines))


JSON = PointFormat(".json", read, write)
JSONL = PointFormat(".jsonl", read, write_lines)


def _points(tracks: PointTracks, row: int) -> dict[str, list[float | None] | None]:
    """Return `[x, y]` of each point of one frame, None for an absent one."""
    values = tracks_by_name(tracks, row).items()
    return {name: None if math.isnan(x + y) else [rounded(x, 3), rounded(y, 3)] for name, (x, y, _, _) in values}


def _dump(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def _frames(path: Path, text: str) -> Iterator[tuple[str, Any, str]]:
    """Return what each frame is called, its points, and where it stands in the file."""
    try:
        whole = parse_json(text, where=str(path))
    except json.JSONDecodeError as error:
        if error.msg != "Extra data" or not text.lstrip().startswith("{"):
            raise InputError(f"{path}, line {error.lineno}: not JSON: {error.msg}") from error
        yield from _lines(path, text)
        return
    if not isinstance(whole, dict):
        raise InputError(f'{path}: expected {{"0": {{"nose": [x, y]}}}} but found a {_kind(whole)}')
    if set(whole) >= {"frame", "points"}:
        yield str(whole["frame"]), whole["points"], str(path)
        return
    for frame, points in whole.items():
        yield frame, points, f"{path}, frame {frame}"


def _lines(path: Path, text: str) -> Iterator[tuple[str, Any, str]]:
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        try:
            record = parse_json(line, where=where)
        except json.JSONDecodeError as error:
            raise InputError(f"{where}: not JSON: {error.msg}") from error
        if not isinstance(record, dict) or "frame" not in record or "points" not in record:
            raise InputError(f"{where}: expected an object with frame and points")
        yield str(record["frame"]), record["points"], where


def _cells(frame: str, points: Any, *, animal: str, where: str) -> Iterator[PointCell]:
    if not isinstance(points, dict):
        raise InputError(f"{where}: expected points by name but found a {_kind(points)}")
    for part, value in points.items():
        name = full_name(animal, part)
        if isinstance(value, dict) and not animal:
            yield from _cells(frame, value, animal=part, where=where)
        else:
            yield PointCell(frame, name, _xy(value, name, where), where)


def _xy(value: Any, name: str, where: str) -> tuple[float, float]:
    if value is None:
        return math.nan, math.nan
    if not isinstance(value, list) or len(value) < 2:
        raise InputError(f"{where}: the point {name} must be [x, y] or null, not {shown(value)}")
    x, y = (_coordinate(v, name, where) for v in value[:2])
    return point(x, y, where=where, name=name)


def _coordinate(value: Any, name: str, where: str) -> float:
    if value is None:
        return math.nan
    if isinstance(value, bool) or not isinstance(value, (int, float)) or math.isinf(value):
        raise InputError(f"{where}: the point {name} is not a number: {shown(value)}")
    return float(value)


def _kind(value: object) -> str:
    return {list: "list", str: "string", dict: "object", type(None): "null"}.get(type(value), "number")
