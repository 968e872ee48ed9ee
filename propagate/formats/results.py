"""`results.jsonl`: one line per frame of a run, appended as frames are done, cut back to whole lines on resume.

A line is `{"index", "stem", "time", "source", "objects": [{"id", "visible", "confidence", "area", "box", "centroid",
"flags"}]}`; box is x, y, width, height and centroid x, y in pixels, null where there is none.
"""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any, cast

import numpy as np

from propagate.errors import InputError, OutputError
from propagate.files import read_bytes
from propagate.formats.atomic import encode
from propagate.formats.points import PointTracks
from propagate.formats.tables import rounded
from propagate.values import ObjectState, Prediction


def record(prediction: Prediction) -> dict[str, Any]:
    """Return what `results.jsonl` says of one frame, floats rounded (pixels 0.001, confidence 0.0001, time 1e-6 s)."""
    frame = prediction.frame
    return {
        "index": frame.index,
        "stem": frame.stem,
        "time": rounded(frame.time, 6),
        "source": prediction.source,
        "objects": [_object(state) for state in prediction.objects],
    }


def append(path: str | Path, prediction: Prediction) -> None:
    """Append the line of one frame.

    Raises:
        OutputError: the file cannot be written.
    """
    line = json.dumps(record(prediction), ensure_ascii=False, allow_nan=False) + "\n"
    try:
        with Path(path).open("ab") as file:
            file.write(encode(line))
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror or error}") from error


def read(path: str | Path) -> list[dict[str, Any]]:
    """Return the records of a file, a last line that was cut short left out.

    Raises:
        InputError: the file cannot be read, or a line is damaged.
    """
    return [line for line, _ in _lines(Path(path))]


def truncate(path: str | Path, frames: int) -> int:
    """Cut the file to its leading whole lines of frames below `frames`, for a run that continues there.

    Args:
        path: the file; when it does not exist nothing is done.
        frames: how many frames are kept at most.

    Returns:
        How many lines are left.

    Raises:
        InputError: a line is damaged.
        OutputError: the file cannot be cut.
    """
    path = Path(path)
    if not path.exists():
        return 0
    kept, length = 0, 0
    for line, end in _lines(path):
        if line["index"] >= frames:
            break
        kept, length = kept + 1, end
    try:
        os.truncate(path, length)
    except OSError as error:
        raise OutputError(f"{path}: cannot be cut: {error.strerror or error}") from error
    return kept


def states(line: dict[str, Any]) -> tuple[ObjectState, ...]:
    """Return the objects of a record as values."""
    return tuple(
        ObjectState(
            id=o["id"],
            confidence=o["confidence"],
            visible=o["visible"],
            area=o["area"],
            box=None if o["box"] is None else cast(tuple[int, int, int, int], tuple(o["box"])),
            centroid=None if o["centroid"] is None else (o["centroid"][0], o["centroid"][1]),
            flags=tuple(o["flags"]),
        )
        for o in line["objects"]
    )


def read_tracks(path: str | Path) -> PointTracks:
    """Return the points of a keypoint run, for the writers of `FORMATS`.

    Raises:
        InputError: the file cannot be read, or a line is damaged.
    """
    lines = read(path)
    names = tuple(dict.fromkeys(str(o["id"]) for line in lines for o in line["objects"]))
    column = {name: place for place, name in enumerate(names)}
    xy = np.full((len(lines), len(names), 2), np.nan)
    confidence = np.zeros((len(lines), len(names)))
    visible = np.zeros((len(lines), len(names)), bool)
    for row, line in enumerate(lines):
        for o in line["objects"]:
            place = column[str(o["id"])]
            confidence[row, place], visible[row, place] = o["confidence"], o["visible"]
            if o["visible"] and o["centroid"] is not None:
                xy[row, place] = o["centroid"]
    frames, stems = tuple(line["index"] for line in lines), tuple(line["stem"] for line in lines)
    return PointTracks(names, frames, stems, tuple(line["time"] for line in lines), xy, confidence, visible)


def _object(state: ObjectState) -> dict[str, Any]:
    centroid = state.centroid
    if centroid is not None and math.isnan(centroid[0] + centroid[1]):
        centroid = None
    return {
        "id": state.id,
        "visible": bool(state.visible),
        "confidence": rounded(state.confidence, 4),
        "area": None if state.area is None else int(state.area),
        "box": None if state.box is None else [int(v) for v in state.box],
        "centroid": None if centroid is None else [rounded(v, 3) for v in centroid],
        "flags": list(state.flags),
    }


def _lines(path: Path) -> list[tuple[dict[str, Any], int]]:
    """Return every whole line's record with the offset of its end in bytes."""
    data = read_bytes(path, wanted="a file of results")
    found, end = [], 0
    for number, line in enumerate(data.splitlines(keepends=True), 1):
        if not line.endswith(b"\n"):
            break
        end += len(line)
        try:
            found.append((json.loads(line), end))
        except (ValueError, RecursionError) as error:
            hint = "the run's folder was changed from outside; start again with --force"
            raise InputError(f"{path}, line {number}: damaged", hint=hint) from error
        if not isinstance(found[-1][0], dict) or "index" not in found[-1][0]:
            raise InputError(f"{path}, line {number}: not a line of results")
    return found
