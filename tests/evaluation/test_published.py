from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hatchling.builders.wheel import WheelBuilder

import propagate.evaluation.report.published as module
from propagate.evaluation import BENCHMARKS
from propagate.evaluation.report.published import PublishedTable, Row, parse_tables, published_tables

SEEDS = Path(__file__).resolve().parents[3] / "shared" / "seeds"
NUMBER = re.compile(r"\d+\.\d+")
DATA = yaml.safe_load(Path(module.__file__).with_suffix(".yaml").read_text(encoding="utf-8"))


def holds(line: list[float], wanted: list[float]) -> bool:
    return any(wanted == line[start:][: len(wanted)] for start in range(len(line)))


def published_for(benchmark: str) -> list[Row]:
    return [row for table in published_tables() if table.benchmark == benchmark for row in table.rows]


def numbers(row: Any) -> list[float]:
    return [value for value in row.values.values() if value is not None]


def test_every_table_names_its_data_and_source() -> None:
    for table in published_tables():
        assert table.benchmark in BENCHMARKS
        assert all((table.title, table.dataset, table.split, table.source, table.rows, table.measures))


def test_percentages_are_percentages() -> None:
    for table in published_tables():
        if table.unit == "percent":
            assert all(0 < value <= 100 for row in table.rows for value in numbers(row))


def test_figures_that_the_papers_are_known_by() -> None:
    davis = {(row.table, row.method): row.values for row in published_for("davis")}
    assert davis["vondrick-1", "Video Colorization (the paper's own)"] == {"J": 34.6, "F": 32.7}
    assert davis["vondrick-4.5", "Video Colorization (the paper's own)"] == {"odds ratio": 2.3}
    assert davis["corrflow-1", "CorrFlow (ResNet-18)"]["J&F"] == 49.5
    (pose,) = [row for row in published_for("jhmdb") if row.values.get("PCK-max@.1") == 71.9]
    assert pose.values == {"PCK-instance@.1": 58.5, "PCK-instance@.2": 78.8, "PCK-max@.1": 71.9, "PCK-max@.2": 88.3}
    assert {row.method: row.values["5-F"] for row in published_for("reconstruction")}["TimeCycle (ResNet-50)"] == 60.4
    assert published_for("colors") == []


def test_what_is_not_in_the_seeds_says_so() -> None:
    elsewhere = [table for table in published_tables() if not table.seeds]
    assert {table.id for table in elsewhere} == {"corrflow-1", "peers-davis", "peers-jhmdb", "peers-vip"}
    assert all("notes on peers" in table.source for table in elsewhere)


def test_j_and_f_of_one_method_have_their_mean_beside_them() -> None:
    for row in published_for("davis"):
        if row.method == "TimeCycle (ResNet-50) at 480 px":
            continue  # its own source prints 48.7 beside 46.4 and 50.0; the table's note says so
        if row.values.get("J") is not None and row.values.get("J&F") is not None:
            j, f, both = (row.values[name] or 0 for name in ("J", "F", "J&F"))
            assert both == pytest.approx((j + f) / 2, abs=0.11), row.method


@pytest.mark.skipif(not SEEDS.is_dir(), reason="the papers are not beside this checkout")
@pytest.mark.parametrize("table", [t for t in published_tables() if t.seeds], ids=lambda table: table.id)
def test_every_row_stands_in_its_seed(table: PublishedTable) -> None:
    for file in table.seeds:
        text = (SEEDS / file).read_text(encoding="utf-8")
        lines = [[float(found) for found in NUMBER.findall(line)] for line in text.splitlines()]
        for row in table.rows:
            wanted = numbers(row)
            assert any(holds(line, wanted) for line in lines), row


@pytest.mark.skipif(not SEEDS.is_dir(), reason="the papers are not beside this checkout")
@pytest.mark.parametrize("seed", sorted({file for table in published_tables() for file in table.seeds}))
def test_every_row_of_a_table_in_a_seed_is_published(seed: str) -> None:
    rows = [numbers(row) for table in published_tables() if seed in table.seeds for row in table.rows]
    text = (SEEDS / seed).read_text(encoding="utf-8")
    tables = [line for line in text.splitlines() if line.count("\t") + line.count(" | ") >= 2]
    found = [[float(number) for number in NUMBER.findall(line.replace("@.", "@"))] for line in tables]
    found = [line for line in found if len(line) >= 2 and max(line) > 1]  # a header holds thresholds below 1
    assert len(found) >= 9
    missing = [line for line in found if not any(holds(line, row) for row in rows)]
    assert not missing


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"unit": "per mille"}, "vondrick-1 is in 'per mille'"),
        ({"source": "elsewhere too"}, "vondrick-1 has keys"),
        ({"rows": [["Identity", [22.1], None]]}, r"vondrick-1, Identity: \[22.1\] do not fit the columns"),
        ({"rows": [["Identity", ["22,1", 1.0], None]]}, "vondrick-1, Identity"),
        ({"id": "vondrick-2"}, "two tables have the same id"),
    ],
)
def test_broken_data_is_refused_by_name(change: dict[str, Any], said: str) -> None:
    data = copy.deepcopy(DATA)
    data["tables"][0] |= change
    with pytest.raises(ValueError, match=said):
        parse_tables(data)


def test_data_ships_beside_its_reader() -> None:
    files = WheelBuilder(str(Path(module.__file__).parents[3])).recurse_included_files()
    shipped = {Path(file.distribution_path).as_posix() for file in files}
    wanted = ("published.yaml", "page.html", "page.css")
    assert shipped >= {f"propagate/evaluation/report/{name}" for name in wanted}
