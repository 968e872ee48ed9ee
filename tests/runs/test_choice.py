"""Which frame is annotated next: worked by hand on runs of which everything is said."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from propagate.formats import results
from propagate.runs.choice import expected_errors, next_frames, spaced
from propagate.values import Frame, ObjectState, Prediction, Source


def line(
    index: int,
    confidence: Sequence[float] = (1.0,),
    *,
    source: Source = "propagated",
    flags: tuple[str, ...] = (),
    x: float = 50.0,
    area: int = 400,
) -> dict[str, Any]:
    """Return the record of a frame with objects 1, 2, ..., as a run writes it."""
    states = tuple(
        ObjectState(number, sure, True, area, (0, 0, 20, 20), (x, 50.0), flags if number == 1 else ())
        for number, sure in enumerate(confidence, start=1)
    )
    rgb = np.zeros((2, 2, 3), np.uint8)
    return results.record(Prediction(Frame(index, index / 25, rgb, f"{index:05d}"), rgb[..., 0], (1,), source, states))


def run(frames: int, *annotated: int, **changed: Mapping[int, Any]) -> list[dict[str, Any]]:
    """Return the records of a run; `confidence={7: (0.5,)}` changes frame 7."""
    made = []
    for index in range(frames):
        own = {name: values[index] for name, values in changed.items() if index in values}
        made.append(line(index, **({"source": "annotated"} if index in annotated else {}), **own))
    return made


def test_between_two_annotated_frames_nothing_is_better_than_the_middle() -> None:
    [found] = next_frames(run(101, 0, 100))
    assert found.frame == 50
    assert found.objects == (1,)
    assert found.reasons == ("50 frames from the nearest annotated one",)


def test_error_that_grows_with_the_way_is_best_cut_at_two_thirds() -> None:
    # Of an error e(f) = c f, with frame 0 annotated, t takes away c (f - |f - t|) where that is positive,
    # in all c (t n - 3 t t / 4), whose derivative is 0 at t = 2 n / 3.
    lines = run(61, 0, confidence={index: (1 - index / 100,) for index in range(61)})
    assert abs(next_frames(lines)[0].frame - 40) <= 2  # drift adds a little


def test_the_object_that_fails_draws_the_choice_to_its_frames_and_is_named() -> None:
    sure = {index: (0.9, 0.3 if 60 <= index < 80 else 0.95) for index in range(1, 100)}
    [found] = next_frames(run(101, 0, 100, confidence=sure | {0: (1.0, 1.0), 100: (1.0, 1.0)}))
    assert 55 <= found.frame < 80
    assert found.objects[0] == 2
    assert found.reasons[0] == "2: confidence 0.30"


def test_several_are_spaced_and_each_counts_on_those_before() -> None:
    found = [one.frame for one in next_frames(run(81, 0, 80), count=3)]
    assert abs(found[0] - 40) <= 1  # 39 and 41 take away as much
    assert np.abs(np.sort(found) - [20, 40, 60]).max() <= 1
    gains = [one.gain for one in next_frames(run(81, 0, 80), count=3)]
    assert gains == sorted(gains, reverse=True)


def test_flags_and_jumps_let_expect_error_until_the_next_annotated_frame() -> None:
    x = {index: 50.0 + index + (40 if index >= 10 else 0) for index in range(30)}
    names, errors = expected_errors(run(30, 0, 20, x=x, flags={5: ("swapped",)}))
    assert names == (1,)
    drift = 0.004
    assert errors[5, 0] == pytest.approx(1 - 0.5 * (1 - 5 * drift))
    assert errors[4, 0] == pytest.approx(4 * drift)
    assert errors[10, 0] == pytest.approx(1 - 0.6 * (1 - 10 * drift))  # a step of 41, where 4 * 1 + 1 is usual
    assert errors[12, 0] == pytest.approx(1 - (1 - 0.4 * 0.9**2) * (1 - 8 * drift))
    assert errors[20, 0] == 0
    assert errors[21, 0] == pytest.approx(drift)


def test_an_area_that_doubles_is_a_jump() -> None:
    errors = expected_errors(run(12, 0, area={index: 400 if index < 6 else 800 for index in range(12)}))[1]
    assert errors[5, 0] < 0.1
    assert errors[6, 0] > 0.4


def test_what_cannot_be_decoded_is_never_chosen() -> None:
    sources: dict[int, Source] = dict.fromkeys(range(45, 56), "undecodable")
    lines = [dict(one, source=sources.get(one["index"], one["source"])) for one in run(101, 0, 100)]
    assert next_frames(lines)[0].frame in (44, 56)
    assert next_frames(lines, candidates=(3, 70))[0].frame == 70


def test_a_run_that_says_nothing_of_its_objects_is_judged_by_the_way_alone() -> None:
    lines = [dict(one, objects=[]) for one in run(61, 0)]
    [found] = next_frames(lines)
    assert (found.frame, found.objects) == (40, ())
    assert next_frames([dict(one, source="none") for one in lines])[0].reasons == ("nothing is annotated yet",)


def test_it_reads_what_a_run_has_written(tmp_path: Path) -> None:
    lines = run(41, 0, 40)
    (tmp_path / "results.jsonl").write_bytes(b"".join(map(results.line_bytes, lines)))
    assert next_frames(results.read(tmp_path / "results.jsonl")) == next_frames(lines)
    assert next_frames([]) == []
    assert len(next_frames(run(3, 0), count=9)) == 2


def test_frames_well_apart() -> None:
    assert spaced(range(40), [0]) == list(range(5, 40))  # a quarter of a half
    assert spaced([0, 1, 2], [0, 2]) == [1]
    assert spaced([3, 1], []) == [1, 3]
