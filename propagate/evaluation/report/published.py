"""Figures that papers report, each with its dataset, split, unit and source; they stand apart from measured ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import yaml

UNITS = ("percent", "ratio", "not stated")
_KEYS = {"id", "title", "benchmark", "dataset", "split", "unit", "measures", "rows"}
_OPTIONAL = {"seed", "source", "note"}


@dataclass(frozen=True)
class Row:
    """One method in one table.

    Attributes:
        method: as the table names it.
        values: measure name -> figure, None for a dash.
        data: what it was trained on, None when it was not, or nothing says it.
        supervised: trained with labels.
        table: the table's own identifier here.
    """

    method: str
    values: Mapping[str, float | None]
    data: str | None
    supervised: bool
    table: str


@dataclass(frozen=True)
class PublishedTable:
    """One table of one paper.

    Attributes:
        id: unique here.
        title: paper and table.
        benchmark: an entry of `BENCHMARKS`.
        dataset: what was measured on.
        split: which part of it.
        unit: of all figures: one of `UNITS`.
        measures: the columns.
        rows: in the paper's order.
        source: the file and table that the figures were read from.
        note: how the table was read; empty when there is nothing to say.
        seeds: names of the files in `seeds/` that hold it; none when it comes from elsewhere.
    """

    id: str
    title: str
    benchmark: str
    dataset: str
    split: str
    unit: str
    measures: tuple[str, ...]
    rows: tuple[Row, ...]
    source: str
    note: str
    seeds: tuple[str, ...]


@cache
def published_tables() -> tuple[PublishedTable, ...]:
    """Return all published tables.

    Raises:
        ValueError: the data file that ships with the package is not as it should be; the table is named.
    """
    text = resources.files("propagate.evaluation.report").joinpath("published.yaml").read_text(encoding="utf-8")
    return parse_tables(yaml.safe_load(text))


def parse_tables(data: Mapping[str, Any]) -> tuple[PublishedTable, ...]:
    """Return the tables of parsed YAML: {"seeds": {name: file}, "papers": {name: title}, "tables": [...]}.

    Raises:
        ValueError: a table lacks something, or a row has another length than its header; the table is named.
    """
    tables = tuple(_table(entry, data["seeds"], data["papers"]) for entry in data["tables"])
    if len({table.id for table in tables}) != len(tables):
        raise ValueError("published figures: two tables have the same id")
    return tables


def _table(entry: Mapping[str, Any], seeds: Mapping[str, str], papers: Mapping[str, str]) -> PublishedTable:
    name = entry.get("id", "a table without id")
    if not _KEYS <= entry.keys() <= _KEYS | _OPTIONAL or ("seed" in entry) == ("source" in entry):
        raise ValueError(f"published figures: {name} has keys {sorted(entry)}, expected {sorted(_KEYS)} and a source")
    if entry["unit"] not in UNITS:
        raise ValueError(f"published figures: {name} is in {entry['unit']!r}, expected one of {UNITS}")
    files = tuple(seeds[seed] for seed in entry.get("seed", ()))
    return PublishedTable(
        id=name,
        title=entry["title"],
        benchmark=entry["benchmark"],
        dataset=entry["dataset"],
        split=entry["split"],
        unit=entry["unit"],
        measures=tuple(entry["measures"]),
        rows=tuple(_row(name, tuple(entry["measures"]), *row) for row in entry["rows"]),
        source=entry.get("source") or "; ".join(papers[seed] for seed in entry["seed"]),
        note=entry.get("note", ""),
        seeds=files,
    )


def _row(
    table: str,
    measures: tuple[str, ...],
    method: str,
    values: list[float | None],
    data: str | None,
    supervised: bool = False,
) -> Row:
    numbers = [value for value in values if value is not None]
    if len(values) != len(measures) or not numbers or not all(isinstance(value, int | float) for value in numbers):
        raise ValueError(f"published figures: {table}, {method}: {values} do not fit the columns {measures}")
    return Row(method, dict(zip(measures, values, strict=True)), data, supervised, table)
