"""The folder of an evaluation: what is not its own survives everything, and what was cut or edited is noticed."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from counted_benchmark import Counted

from propagate.encoders import weights
from propagate.errors import ConfigError, ConflictError
from propagate.evaluation import plan, summary
from propagate.evaluation.benchmarks.davis import Davis
from propagate.evaluation.benchmarks.jhmdb import Jhmdb
from propagate.evaluation.plan import EvaluationRequest, build_benchmark, read_inputs, request_record
from propagate.evaluation.runner import Done, open_evaluation
from propagate.evaluation.summary import summarize
from propagate.runs import settings
from propagate.runs.settings import SettingLayers


def asked(folder: Path, *methods: str) -> EvaluationRequest:
    for name in ("clip.mp4", "truth.txt"):
        (folder / name).write_text(name, encoding="utf-8")
    return EvaluationRequest(Counted(folder), folder / "out", methods=methods or ("identity",))


def done(request: EvaluationRequest) -> list[Done]:
    with closing(open_evaluation(request)) as evaluation:
        found = list(evaluation)
        summarize(evaluation, resamples=5)
    return found


def kept(request: EvaluationRequest) -> list[bool]:
    return [one.kept for one in done(request)]


@pytest.mark.parametrize("flags", [{}, {"force": True}, {"force": True, "methods": ("flow-first",)}])
def test_a_users_files_among_the_results_survive(tmp_path: Path, flags: dict[str, object]) -> None:
    done(asked(tmp_path))
    own = ["notes.txt", "identity/results/a/hand.npy", "identity/scores/mine.json", "identity/scores/x/b.txt"]
    own += ["cache/mine.npz", "identity/.state/mine"]
    for name in own:
        (tmp_path / "out" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "out" / name).write_text('{"mine": 1}', encoding="utf-8")
    done(replace(asked(tmp_path), **flags))  # type: ignore[arg-type]
    assert [(tmp_path / "out" / name).read_text(encoding="utf-8") for name in own] == ['{"mine": 1}'] * len(own)


@pytest.mark.parametrize("name", ["results.json", "report.html", "run.yaml", "identity/run.yaml"])
def test_a_users_file_in_the_way_is_named_before_anything_is_tracked(tmp_path: Path, name: str) -> None:
    path = tmp_path / "out" / name
    path.parent.mkdir(parents=True)
    path.write_text("mine", encoding="utf-8")
    with pytest.raises(ConflictError, match=name):
        open_evaluation(replace(asked(tmp_path), force=True))
    assert path.read_text(encoding="utf-8") == "mine"
    assert not (tmp_path / "tracked.txt").exists()


def test_an_edited_table_is_the_users(tmp_path: Path) -> None:
    done(asked(tmp_path))
    (tmp_path / "out/summary.csv").write_text("with my remarks", encoding="utf-8")
    with pytest.raises(ConflictError, match=r"summary.csv: was changed since it was written"):
        open_evaluation(replace(asked(tmp_path), force=True))


def test_scores_that_were_edited_are_made_again(tmp_path: Path) -> None:
    done(asked(tmp_path))
    path = tmp_path / "out/identity/scores/b.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    content["units"]["1"]["J"] = [1.0, 1.0]
    path.write_text(json.dumps(content), encoding="utf-8")
    again = done(asked(tmp_path))
    assert {one.sequence.name: one.kept for one in again} == {"a": True, "b": False, "c/d": True}
    assert again[-1].scores.units["1"]["J"].tolist() == [0.75, 0.5]


def test_a_missing_result_is_made_again_and_an_edited_one_is_left_and_said(tmp_path: Path) -> None:
    done(asked(tmp_path))
    results = tmp_path / "out/identity/results"
    (results / "a/found.npy").unlink()
    (results / "b/found.npy").write_bytes(b"edited")
    again = {one.sequence.name: one for one in done(asked(tmp_path))}
    assert [again[name].kept for name in ("a", "b", "c/d")] == [False, True, True]
    assert "b/found.npy was changed since it was scored" in again["b"].notes[0]
    assert (results / "a/found.npy").exists()
    forced = {one.sequence.name: one for one in done(replace(asked(tmp_path), force=True))}
    assert "found.npy is not as it was written" in forced["b"].notes[0]
    assert (results / "b/found.npy").read_bytes() == b"edited"


def test_force_does_all_again_and_other_settings_leave_no_old_scores(tmp_path: Path) -> None:
    done(replace(asked(tmp_path, "rawcolor"), limit=2))
    assert kept(replace(asked(tmp_path, "rawcolor"), limit=1, force=True, layers=SettingLayers(flags={"topk": 3}))) == [
        False
    ]
    assert kept(replace(asked(tmp_path, "rawcolor"), layers=SettingLayers(flags={"topk": 3}))) == [True, False, False]
    assert not (tmp_path / "out/rawcolor/.state").exists()


def test_a_network_is_loaded_once_and_the_data_built_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loads, built = [], []
    open_encoder, as_data = weights.open_encoder, summary.as_data
    monkeypatch.setattr(weights, "open_encoder", lambda *a, **k: loads.append(a) or open_encoder(*a, **k))
    monkeypatch.setattr(summary, "as_data", lambda *a, **k: built.append(a) or as_data(*a, **k))
    settings._open.cache_clear()
    assert kept(asked(tmp_path, "rawcolor", "resnet18:random")) == [False] * 6
    assert (len(loads), len(built)) == (2, 1)


def test_its_own_record_asks_for_the_same_again(tmp_path: Path) -> None:
    sweep = ("radius", (("2", 2), ("full", None)))
    benchmark = Davis(tmp_path, list="2017/val", sequences=("a",), attributes=tmp_path / "x.csv")
    request = EvaluationRequest(
        benchmark,
        tmp_path / "out",
        methods=("rawcolor",),
        sweeps=(sweep,),
        limit=3,
        layers=SettingLayers(flags={"topk": 4}, quality="best"),
    )
    path = tmp_path / "run.yaml"
    path.write_text(yaml.safe_dump(request_record(request)), encoding="utf-8")
    inputs = read_inputs(path, "davis")
    assert build_benchmark("davis", Path(inputs["root"]), inputs["options"]) == benchmark
    assert (inputs["methods"], inputs["sweeps"], inputs["limit"]) == (["rawcolor"], ["radius=2,full"], 3)
    assert plan.read_settings(path) == {"topk": 4}
    assert read_inputs(path, "vip") == {}


def test_options_of_a_record_are_read_as_their_types(tmp_path: Path) -> None:
    assert build_benchmark("jhmdb", tmp_path, {"list": "a.txt", "split": 2}) == Jhmdb(
        tmp_path, list=Path("a.txt"), split=2
    )
    with pytest.raises(ConfigError, match="no option 'spilt'"):
        build_benchmark("jhmdb", tmp_path, {"spilt": 2})
    with pytest.raises(ConfigError, match="gaps must be"):
        build_benchmark("reconstruction", tmp_path, {"gaps": [0]})
