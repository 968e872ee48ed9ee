from __future__ import annotations

import csv
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from evaluation.synthetic_benchmark import Synthetic, method, scores_of

from propagate.errors import OutputError
from propagate.evaluation import BENCHMARKS
from propagate.evaluation.analysis.bootstrap import Interval, RunIntervals
from propagate.evaluation.protocol import Measure, Scores
from propagate.evaluation.report.tables import file_names, table_rows, write_tables
from propagate.evaluation.results import MethodResult, SweepPoint

BENCHMARK = Synthetic()
NAN = float("nan")


def davis_scores() -> list[Scores]:
    j = [np.array([0.8, 0.6, 0.4, 0.2]), np.array([1.0, 1.0, 0.9, 0.9]), np.array([0.5, 0.5, 0.5, 0.5])]
    f = [np.array([0.7, 0.7, 0.3, 0.1]), np.array([0.9, 0.9, 0.9, 0.9]), np.array([0.6, 0.4, 0.6, np.nan])]
    bike = Scores("bike", (1, 2, 3, 4), {"1": {"J": j[0], "F": f[0]}, "2": {"J": j[1], "F": f[1]}})
    return [bike, Scores("dog", (1, 2, 3, 4), {"1": {"J": j[2], "F": f[2]}}, seconds=0.5)]


def test_davis_files_are_the_official_evaluators(tmp_path: Path) -> None:
    scores = {one.sequence: one for one in davis_scores()}
    benchmark = BENCHMARKS["davis"](tmp_path)
    result = MethodResult("flow", scores, benchmark.summary(davis_scores()))
    write_tables(tmp_path, benchmark, [result], list_name="2017/val")
    # J-Mean: (0.5 + 0.95 + 0.5) / 3; recall: (0.5 + 1 + 0) / 3; decay: (0.7 - 0.3 + 1 - 0.9 + 0) / 3, where four frames
    # have the quarters 0 to 1 and 2 to 3. F: (0.45 + 0.9 + 1.6/3) / 3, (0.5 + 1 + 2/3) / 3, (0.5 + 0 - 0.1) / 3
    assert (tmp_path / "flow" / "global_results-val.csv").read_text() == (
        "J&F-Mean,J-Mean,J-Recall,J-Decay,F-Mean,F-Recall,F-Decay\n0.639,0.650,0.500,0.167,0.628,0.722,0.133\n"
    )
    assert (tmp_path / "flow" / "per-sequence_results-val.csv").read_text() == (
        "Sequence,J-Mean,F-Mean\nbike_1,0.500,0.450\nbike_2,0.950,0.900\ndog_1,0.500,0.533\n"
    )


def test_every_method_has_its_own_pair(tmp_path: Path) -> None:
    names = ["resnet18:a/b.pt", "resnet18:a-b.pt", "../../x", "Flow", "flow"]
    results = [method(name, davis_scores(), BENCHMARK) for name in names]
    paths = write_tables(tmp_path, BENCHMARK, results, list_name="../dev")
    assert len(set(paths)) == 11
    assert all(path.resolve().is_relative_to(tmp_path.resolve()) and path.is_file() for path in paths)
    assert len({name.lower() for name in file_names(names)}) == 5


def test_results_json_is_strict_and_whole(tmp_path: Path) -> None:
    scores = [replace(one, totals={"lost": math.inf, "n": np.int64(3)}) for one in davis_scores()]
    result = method("flow", scores, BENCHMARK, settings={"radius": NAN, "place": Path("x"), "k": (1, True)}, detail="ä")
    write_tables(tmp_path, BENCHMARK, [result])

    def refuse(word: str) -> None:
        raise AssertionError(word)

    data = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"), parse_constant=refuse)
    (one,) = data["methods"]
    assert one["settings"] == {"radius": None, "place": "x", "k": [1, True]}
    assert one["summary"]["J-Mean"] == BENCHMARK.summary(scores)["J-Mean"]
    assert one["sequences"][0]["totals"] == {"lost": "inf", "n": 3}
    back = Scores.from_json(one["sequences"][1])
    np.testing.assert_array_equal(back.units["1"]["F"], scores[1].units["1"]["F"])


def test_results_json_holds_intervals_odds_and_a_sweep(tmp_path: Path) -> None:
    scores = [replace(one, units={"1": one.units["1"] | {"color": one.units["1"]["J"]}}) for one in davis_scores()]
    result = method("flow", scores, BENCHMARK)
    intervals = RunIntervals(BENCHMARK, [result], resamples=20)
    write_tables(tmp_path, BENCHMARK, [result], intervals=intervals, sweep=[SweepPoint("radius", None, 0.4)])
    data = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))
    (one,) = data["methods"]
    assert one["intervals"]["J-Mean"] == [intervals.of(result)["J-Mean"].low, intervals.of(result)["J-Mean"].high]
    assert one["odds"]["events"] == 8
    assert data["sweep"] == [{"setting": "radius", "value": None, "score": 0.4, "seconds": None, "memory": None}]


def test_other_benchmarks_have_one_table_over_methods(tmp_path: Path) -> None:
    benchmark = Synthetic(name="jhmdb")
    good, bad = [scores_of('a, "b"', [0.1, 1 / 3])], [scores_of('a, "b"', [NAN, 0.5])]
    write_tables(tmp_path, benchmark, [method("x", good, benchmark), MethodResult("y", {"a": bad[0]}, {"lost": NAN})])
    with (tmp_path / "summary.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["method", "J-Mean", "lost"]
    assert float(rows[1][1]) == (0.1 + 1 / 3) / 2
    assert rows[2] == ["y", "", ""]
    with (tmp_path / "per-sequence.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows[1][:2] == ["x", 'a, "b"']
    assert rows[2] == ["y", "a", "0.5", "0.0"]


def test_terminal_rows_have_measures_time_and_settings() -> None:
    result = method("flow", davis_scores(), BENCHMARK, detail="threshold 0.3")
    intervals = {"flow": {"J-Mean": Interval(0.65, 0.5, 0.95), "lost": Interval(1, NAN, NAN)}}
    rows = table_rows(BENCHMARK, [result, MethodResult("none", {}, {})], intervals=intervals)
    assert rows[0] == ["method", "J-Mean", "lost", "sequences", "s/frame", "settings"]
    assert rows[1] == ["flow", "0.650 [0.500, 0.950]", "16.7", "2", "0.500", "threshold 0.3"]
    assert rows[2] == ["none", "–", "–", "0", "–", ""]


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="file/x: cannot be made"):
        write_tables(tmp_path / "file" / "x", Synthetic(measures=(Measure("J-Mean"),)), [])
