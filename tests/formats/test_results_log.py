"""results.jsonl: what a line says, and reading lines back."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from propagate.errors import InputError
from propagate.formats import results
from propagate.values import Frame, ObjectState, Prediction

PIXELS = np.zeros((4, 6, 3), np.uint8)


def prediction(index: int, *objects: ObjectState) -> Prediction:
    frame = Frame(index, index / 30, PIXELS, f"{index:05d}")
    return Prediction(frame, np.zeros((4, 6), np.int32), tuple(o.id for o in objects), "propagated", objects)


CAT = ObjectState(1, 0.123456, True, 12, (1, 2, 3, 4), (1.23456, 2.0), ("border",))
GONE = ObjectState(2, 0.0, False, 0, flags=("vanished",))


def append(path: Path, found: Prediction) -> None:
    with path.open("ab") as file:
        file.write(results.line_bytes(results.record(found)))


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "results.jsonl"


def test_a_line(log: Path) -> None:
    append(log, prediction(1, CAT, GONE))
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
    append(log, prediction(0, state))
    (found,) = results.read(log)[0]["objects"]
    assert (found["id"], found["confidence"], found["visible"], found["centroid"]) == ("nose", 0.5, True, None)


def test_a_line_that_was_cut_short_is_left_out(log: Path) -> None:
    for index in range(3):
        append(log, prediction(index, CAT))
    whole = log.read_bytes()
    log.write_bytes(whole + whole[:20])
    assert [line["index"] for line in results.read(log)] == [0, 1, 2]


def test_errors(log: Path) -> None:
    with pytest.raises(InputError, match="there is no such file"):
        results.read(log)
    log.write_text('{"index": 0}\nxx\n')
    with pytest.raises(InputError, match=r"results.jsonl, line 2: damaged"):
        results.read(log)
    log.write_text("[" * 200000 + "\n")
    with pytest.raises(InputError, match=r"results.jsonl, line 1: damaged"):
        results.read(log)
    log.write_text("[]\n")
    with pytest.raises(InputError, match=r"line 1: not a line of results"):
        results.read(log)


def test_tracks_of_a_keypoint_run(log: Path) -> None:
    append(log, prediction(0, ObjectState("nose", 1.0, True, centroid=(1.5, 2.25))))
    append(log, prediction(1, ObjectState("nose", 0.2, False)))
    tracks = results.read_tracks(log)
    assert (tracks.names, tracks.frames, tracks.stems) == (("nose",), (0, 1), ("00000", "00001"))
    assert np.array_equal(tracks.xy, [[[1.5, 2.25]], [[np.nan, np.nan]]], equal_nan=True)
    assert tracks.confidence.tolist() == [[1.0], [0.2]]
    assert tracks.visible.tolist() == [[True], [False]]
