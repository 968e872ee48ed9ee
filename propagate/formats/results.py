"""`results.jsonl`: one line per frame of a run; a last line that a killed run cut short does not count.

A line is `{"index", "stem", "time", "source", "objects": [{"id", "visible", "confidence", "area", "box", "centroid",
"flags"}]}`, and `"cut": true` where a new shot begins; box is x, y, width, height and centroid x, y in pixels, null
where there is none.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from propagate.errors import InputError
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
        **({"cut": True} if prediction.cut else {}),
    }


def line_bytes(content: Mapping[str, Any]) -> bytes:
    """Return the line of a frame, as `record` has it, with its end."""
    return encode(json.dumps(content, ensure_ascii=False, allow_nan=False) + "\n")


def parse_line(line: bytes, *, where: str = "results") -> dict[str, Any]:
    """Return what a line says.

    Raises:
        InputError: it is damaged, or no line of results.
    """
    try:
        content = json.loads(line)
    except (ValueError, RecursionError) as error:
        hint = "the run's folder was changed from outside; run the same command again"
        raise InputError(f"{where}: damaged", hint=hint) from error
    if not isinstance(content, dict) or not isinstance(content.get("index"), int):
        raise InputError(f"{where}: not a line of results")
    return content


def read(path: str | Path) -> list[dict[str, Any]]:
    """Return the records of a file, a last line that was cut short left out.

    Raises:
        InputError: the file cannot be read, or a line is damaged.
    """
    return list(_lines(Path(path)))


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


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the record of every whole line."""
    data = read_bytes(path, wanted="a file of results")
    for number, line in enumerate(data.splitlines(keepends=True), 1):
        if line.endswith(b"\n"):
            yield parse_line(line, where=f"{path}, line {number}")
