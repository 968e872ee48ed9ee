from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from counted_benchmark import Counted

from propagate.errors import ConfigError, ConflictError, InputError
from propagate.jobs.entries import EvaluationRequest
from propagate.jobs.evaluate import open_evaluation


def request_at(folder: Path, *methods: str) -> EvaluationRequest:
    return EvaluationRequest(Counted(folder), folder / "out", methods=methods or ("identity",))


def tracked(folder: Path) -> list[str]:
    log = folder / "tracked.txt"
    return log.read_text(encoding="utf-8").split() if log.is_file() else []


def test_every_sequence_is_scored_by_hand_worked_values(tmp_path: Path) -> None:
    found = {done.case.name: done.scores for done in open_evaluation(request_at(tmp_path))}
    assert list(found) == ["a", "b", "c/d"]
    assert found["a"].units["1"]["J"].tolist() == [0.75, 0.5]  # the square leaves one of its four columns a frame


def test_what_was_scored_is_not_tracked_again(tmp_path: Path) -> None:
    first = [done.scores.to_json() for done in open_evaluation(request_at(tmp_path))]
    again = list(open_evaluation(request_at(tmp_path)))
    assert [done.kept for done in again] == [True] * 3
    assert [done.scores.to_json() for done in again] == first
    assert tracked(tmp_path) == ["a", "b", "c/d"]


def test_a_stopped_run_goes_on_with_the_sequences_it_lacks(tmp_path: Path) -> None:
    broken = replace(request_at(tmp_path), benchmark=Counted(tmp_path, broken="c/d"))
    with pytest.raises(InputError, match="c/d: is broken"):
        list(open_evaluation(broken))
    list(open_evaluation(replace(broken, force=False, benchmark=Counted(tmp_path, broken="c/d"), limit=2)))
    assert tracked(tmp_path) == ["a", "b"]


def test_damaged_scores_are_made_again(tmp_path: Path) -> None:
    list(open_evaluation(request_at(tmp_path)))
    (tmp_path / "out/identity/scores/b.json").write_text('{"case": ', encoding="utf-8")
    list(open_evaluation(request_at(tmp_path)))
    assert tracked(tmp_path) == ["a", "b", "c/d", "b"]


def test_other_settings_in_the_same_place_are_refused_unless_forced(tmp_path: Path) -> None:
    request = replace(request_at(tmp_path, "rawcolor"), limit=1)
    list(open_evaluation(request))
    other = replace(request, flags={"topk": 3})
    with pytest.raises(ConflictError, match="topk"):
        open_evaluation(other)
    assert [done.kept for done in open_evaluation(replace(other, force=True))] == [False]


def test_processes_give_what_one_gives(tmp_path: Path) -> None:
    alone = {done.case.name: done.scores for done in open_evaluation(request_at(tmp_path))}
    (tmp_path / "two").mkdir()
    apart = list(open_evaluation(replace(request_at(tmp_path / "two"), jobs=2)))
    assert {d.case.name: d.scores.units["1"]["J"].tolist() for d in apart} == {
        name: scores.units["1"]["J"].tolist() for name, scores in alone.items()
    }
    assert all(d.scores.memory > 1e7 for d in apart)


def test_results_of_another_tool_are_scored_as_they_are(tmp_path: Path) -> None:
    list(open_evaluation(request_at(tmp_path)))
    theirs = replace(request_at(tmp_path), methods=(), results=(tmp_path / "out/identity/results",))
    before = sorted(theirs.results[0].rglob("*"))
    assert [d.scores.units["1"]["J"].tolist() for d in open_evaluation(theirs)] == [[0.75, 0.5]] * 3
    assert sorted(theirs.results[0].rglob("*")) == before
    assert len(tracked(tmp_path)) == 3


def test_a_sweep_runs_encoders_once_a_value_and_baselines_once(tmp_path: Path) -> None:
    sweep = ("radius", (("2", 2), ("full", None)))
    request = replace(request_at(tmp_path, "identity", "rawcolor"), sweeps=(sweep,), limit=1)
    names = [entry.name for entry in open_evaluation(request).entries]
    assert names == ["identity", "rawcolor radius=2", "rawcolor radius=full"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"methods": ()}, "nothing to score"),
        ({"methods": ("identity", "identity")}, "scored twice"),
        ({"results": (Path("nowhere"),)}, "no such folder"),
    ],
)
def test_requests_that_cannot_be_are_refused(tmp_path: Path, change: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        open_evaluation(replace(request_at(tmp_path), **change))  # type: ignore[arg-type]
