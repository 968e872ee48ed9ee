"""results.jsonl: appended, read back, and cut on resume."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from propagate.errors import InputError, OutputError
from propagate.formats import results
from propagate.values import Frame, ObjectState, Prediction

PIXELS = np.zeros((4, 6, 3), np.uint8)


def prediction(index: int, *objects: ObjectState) -> Prediction:
    frame = Frame(index, index / 30, PIXELS, f"{index:05d}")
    return Prediction(frame, np.zeros((4, 6), np.int32), tuple(o.id for o in objects), "propagated", objects)


CAT = ObjectState(1, 0.123456, True, 12, (1, 2, 3, 4), (1.23456, 2.0), ("border",))
GONE = ObjectState(2, 0.0, False, 0, flags=("vanished",))


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "results.jsonl"


def test_a_line(log: Path) -> None:
    results.append(log, prediction(1, CAT, GONE))
    assert json.loads(log.read_text()) == {
        "index": 1,
        "stem": "00001",
        "time": 0.033333,
        "source": "propagated",
        "objects": [
            {
                "id": 1,
                "visible": True,
                "confidence": 0.1235,
                "area": 12,
                "box": [1, 2, 3, 4],
                "centroid": [1.235, 2.0],
                "flags": ["border"],
            },
            {
                "id": 2,
                "visible": False,
                "confidence": 0.0,
                "area": 0,
                "box": None,
                "centroid": None,
                "flags": ["vanished"],
            },
        ],
    }


def test_numpy_numbers_and_nan_centroids_are_written(log: Path) -> None:
    state = ObjectState("nose", float(np.float32(0.5)), bool(np.True_), centroid=(float("nan"), float("nan")))
    results.append(log, prediction(0, state))
    assert results.states(results.read(log)[0]) == (ObjectState("nose", 0.5, True),)


def test_states_come_back(log: Path) -> None:
    results.append(log, prediction(0, GONE))
    results.append(log, prediction(1, GONE))
    assert [results.states(line) for line in results.read(log)] == [(GONE,), (GONE,)]


@pytest.mark.parametrize(("frames", "left"), [(0, 0), (2, 2), (3, 3), (9, 3)])
def test_truncate_keeps_whole_lines_below(log: Path, frames: int, left: int) -> None:
    for index in range(3):
        results.append(log, prediction(index, CAT))
    whole = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(b"".join(whole) + whole[0][:20])
    assert len(results.read(log)) == 3
    assert results.truncate(log, frames) == left
    assert log.read_bytes() == b"".join(whole[:left])


def test_errors(log: Path) -> None:
    assert results.truncate(log, 3) == 0
    with pytest.raises(InputError, match="there is no such file"):
        results.read(log)
    log.write_text('{"index": 0}\nxx\n')
    with pytest.raises(InputError, match=r"results.jsonl, line 2: damaged"):
        results.read(log)
    log.write_text("[]\n")
    with pytest.raises(InputError, match=r"line 1: not a line of results"):
        results.truncate(log, 1)
    with pytest.raises(OutputError, match="cannot be written"):
        results.append(log.parent / "missing" / "results.jsonl", prediction(0))


def test_tracks_of_a_keypoint_run(log: Path) -> None:
    results.append(log, prediction(0, ObjectState("nose", 1.0, True, centroid=(1.5, 2.25))))
    results.append(log, prediction(1, ObjectState("nose", 0.2, False)))
    tracks = results.read_tracks(log)
    assert (tracks.names, tracks.frames, tracks.stems) == (("nose",), (0, 1), ("00000", "00001"))
    assert np.array_equal(tracks.xy, [[[1.5, 2.25]], [[np.nan, np.nan]]], equal_nan=True)
    assert tracks.confidence.tolist() == [[1.0], [0.2]]
    assert tracks.visible.tolist() == [[True], [False]]
