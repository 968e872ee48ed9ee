from __future__ import annotations

import math
import os
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from counted_benchmark import Counted

from propagate.encoders.weights import build_encoder, save_weights
from propagate.errors import ConfigError, ConflictError, InputError
from propagate.evaluation.plan import EvaluationRequest
from propagate.evaluation.runner import Done, open_evaluation
from propagate.runs.settings import SettingLayers


def request_at(folder: Path, *methods: str) -> EvaluationRequest:
    for name in ("clip.mp4", "truth.txt"):
        if not (folder / name).exists():
            (folder / name).write_text(name, encoding="utf-8")
    return EvaluationRequest(Counted(folder), folder / "out", methods=methods or ("identity",))


def scored(request: EvaluationRequest) -> list[Done]:
    with closing(open_evaluation(request)) as evaluation:
        return list(evaluation)


def tracked(folder: Path) -> list[str]:
    log = folder / "tracked.txt"
    return log.read_text(encoding="utf-8").split() if log.is_file() else []


def test_every_sequence_is_scored_by_hand_worked_values(tmp_path: Path) -> None:
    found = {done.sequence.name: done.scores for done in scored(request_at(tmp_path))}
    assert list(found) == ["a", "b", "c/d"]
    assert found["a"].units["1"]["J"].tolist() == [0.75, 0.5]  # the square leaves one of its four columns a frame


def test_what_was_scored_is_not_tracked_again(tmp_path: Path) -> None:
    first = [done.scores.to_json() for done in scored(request_at(tmp_path))]
    again = scored(request_at(tmp_path))
    assert [done.kept for done in again] == [True] * 3
    assert [done.scores.to_json() for done in again] == first
    assert tracked(tmp_path) == ["a", "b", "c/d"]


def test_a_stopped_run_goes_on_with_the_sequences_it_lacks(tmp_path: Path) -> None:
    broken = replace(request_at(tmp_path), benchmark=Counted(tmp_path, broken="c/d"))
    with pytest.raises(InputError, match="c/d: is broken"):
        scored(broken)
    scored(replace(broken, force=False, benchmark=Counted(tmp_path, broken="c/d"), limit=2))
    assert tracked(tmp_path) == ["a", "b"]


def test_damaged_scores_are_made_again(tmp_path: Path) -> None:
    scored(request_at(tmp_path))
    (tmp_path / "out/identity/scores/b.json").write_text('{"case": ', encoding="utf-8")
    scored(request_at(tmp_path))
    assert tracked(tmp_path) == ["a", "b", "c/d", "b"]


def test_changed_truth_is_scored_again(tmp_path: Path) -> None:
    scored(request_at(tmp_path))
    (tmp_path / "truth.txt").write_text("corrected", encoding="utf-8")
    assert [done.kept for done in scored(request_at(tmp_path))] == [False] * 3


def test_scores_without_their_record_are_not_trusted(tmp_path: Path) -> None:
    scored(request_at(tmp_path))
    (tmp_path / "out/identity/run.yaml").unlink()
    with pytest.raises(ConflictError, match="without a record"):
        open_evaluation(request_at(tmp_path))


def test_other_files_in_the_folder_are_refused(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/thesis.txt").write_text("do not lose")
    with pytest.raises(ConflictError, match="holds other files"):
        open_evaluation(request_at(tmp_path))


def test_results_are_never_scored_into_their_own_folder(tmp_path: Path) -> None:
    scored(request_at(tmp_path))
    request = replace(request_at(tmp_path), methods=(), results=(tmp_path / "out",))
    with pytest.raises(ConflictError, match="lies in the results"):
        open_evaluation(request)


def test_two_runs_at_once_are_kept_apart(tmp_path: Path) -> None:
    first = open_evaluation(request_at(tmp_path))
    with pytest.raises(ConflictError, match="is at work here"):
        open_evaluation(request_at(tmp_path))
    first.close()
    open_evaluation(request_at(tmp_path)).close()


def test_replaced_weights_make_another_run(tmp_path: Path) -> None:
    for seed in (0, 1):
        encoder = build_encoder("resnet18", seed=seed)
        save_weights(tmp_path / "w.safetensors", encoder, training={})
        request = replace(request_at(tmp_path, f"resnet18:{tmp_path}/w.safetensors"), limit=1)
        if seed == 0:
            open_evaluation(request).close()
        else:
            with pytest.raises(ConflictError, match="weights_sha256"):
                open_evaluation(request)


def test_a_worker_ends_with_its_parent(tmp_path: Path) -> None:
    code = (
        "import os, sys, time\nfrom propagate.evaluation.runner import _follow_parent\n"
        "child = os.fork()\n"
        "if child == 0:\n    _follow_parent(os.getppid())\n    time.sleep(60)\n"
        "print(child, flush=True)\nos._exit(0)"
    )
    child = int(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)
    for _ in range(100):
        try:
            os.kill(child, 0)
        except ProcessLookupError:
            return
        if Path(f"/proc/{child}/stat").exists() and Path(f"/proc/{child}/stat").read_text().split()[2] == "Z":
            return
        time.sleep(0.1)
    pytest.fail("the worker is still there")


def test_other_settings_in_the_same_place_are_refused_unless_forced(tmp_path: Path) -> None:
    request = replace(request_at(tmp_path, "rawcolor"), limit=1)
    scored(request)
    other = replace(request, layers=SettingLayers(flags={"topk": 3}))
    with pytest.raises(ConflictError, match="topk"):
        open_evaluation(other)
    assert [done.kept for done in scored(replace(other, force=True))] == [False]


def test_processes_give_what_one_gives(tmp_path: Path) -> None:
    alone = {done.sequence.name: done.scores for done in scored(request_at(tmp_path))}
    (tmp_path / "two").mkdir()
    apart = scored(replace(request_at(tmp_path / "two"), jobs=2))
    assert {d.sequence.name: d.scores.units["1"]["J"].tolist() for d in apart} == {
        name: scores.units["1"]["J"].tolist() for name, scores in alone.items()
    }
    assert all(math.isnan(d.scores.memory) for d in apart)  # a worker did several: its peak is not one sequence's


def test_results_of_another_tool_are_scored_as_they_are(tmp_path: Path) -> None:
    scored(request_at(tmp_path))
    theirs = replace(request_at(tmp_path), methods=(), results=(tmp_path / "out/identity/results",))
    before = sorted(theirs.results[0].rglob("*"))
    assert [d.scores.units["1"]["J"].tolist() for d in scored(theirs)] == [[0.75, 0.5]] * 3
    assert sorted(theirs.results[0].rglob("*")) == before
    assert len(tracked(tmp_path)) == 3


def test_a_sweep_runs_encoders_once_a_value_and_baselines_once(tmp_path: Path) -> None:
    sweep = ("radius", (("2", 2), ("full", None)))
    request = replace(request_at(tmp_path, "identity", "rawcolor"), sweeps=(sweep,), limit=1)
    with closing(open_evaluation(request)) as evaluation:
        names = [run.name for run in evaluation.method_runs]
    assert names == ["identity", "rawcolor radius=2", "rawcolor radius=full"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"methods": ()}, "nothing to score"),
        ({"methods": ("identity", "identity")}, "scored twice"),
        ({"results": (Path("nowhere"),)}, "no such folder"),
        ({"layers": SettingLayers(flags={"weights": "random"})}, "named in the method"),
    ],
)
def test_requests_that_cannot_be_are_refused(tmp_path: Path, change: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        open_evaluation(replace(request_at(tmp_path), **change))  # type: ignore[arg-type]
