"""Tables of measured figures: rows for the terminal, JSON, and CSV as the official evaluator writes it."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from propagate.evaluation.analysis.bootstrap import Interval, RunIntervals
from propagate.evaluation.analysis.effort import LEVELS, EffortCurve, EffortPoint, effort_curves
from propagate.evaluation.analysis.failures import odds_of_failure
from propagate.evaluation.protocol import Benchmark
from propagate.evaluation.results import MethodResult, SweepPoint
from propagate.formats.atomic import make_folder, write_text
from propagate.metrics.masks import mean

_UNSAFE = re.compile(r"[^A-Za-z0-9._@+-]+")


def table_rows(
    benchmark: Benchmark,
    results: Sequence[MethodResult],
    *,
    intervals: Mapping[str, Mapping[str, Interval]] | None = None,
    brief: bool = False,
) -> list[list[str]]:
    """Return the rows of a table, its header first: method, every measure, sequences, seconds a frame, settings.

    Args:
        benchmark: whose measures are the columns.
        results: a row each.
        intervals: method name -> measure name -> its interval, shown in brackets.
        brief: leave out the measures that are not `brief`.
    """
    measures = [measure for measure in benchmark.measures if measure.brief or not brief]
    header = ["method", *(measure.name for measure in measures), "sequences", "s/frame", "settings"]
    rows = [header]
    for result in results:
        known = (intervals or {}).get(result.name, {})
        cells = []
        for measure in measures:
            text = format_number(result.summary.get(measure.name, np.nan), measure.digits)
            interval = known.get(measure.name)
            cells.append(f"{text} {format_interval(interval, measure.digits)}".strip() if interval else text)
        seconds = format_number(mean_seconds(result), 3)
        rows.append([result.name, *cells, str(len(result.scores)), seconds, result.detail])
    return rows


def effort_rows(curves: Mapping[str, EffortCurve]) -> list[list[str]]:
    """Return the rows of a table, its header first: what a choice of frames is worth after each correction."""
    shown = list(next(iter(curves.values())).points[0].all)[:2] if curves else []
    header = ["frames chosen", "annotated", "work, s", *(f"{m}{w}" for m in shown for w in ("", " untouched"))]
    rows = [[*header, "tube IoU", "absent, yet drawn"]]
    for curve in curves.values():
        for point in curve.points:
            values = [format_number(part[name], 3) for name in shown for part in (point.all, point.untouched)]
            work = [str(point.corrections + 1), format_number(point.seconds, 0)]
            rows.append([curve.choice, *work, *values, format_number(point.tube, 3), format_number(point.drawn, 3)])
    return rows


def area_rows(curves: Mapping[str, EffortCurve]) -> list[list[str]]:
    """Return the rows of a table, its header first: areas under the curves, and how much work levels need."""
    rows = [["frames chosen", "area of frames", "area of seconds", *(f"{level:.2f} needs" for level in LEVELS)]]
    for curve in curves.values():
        areas = [format_number(value, 3) for value in (curve.area, curve.area_of_seconds)]
        rows.append([curve.choice, *areas, *(_need(curve, curve.needed[level]) for level in LEVELS)])
    return rows


def _need(curve: EffortCurve, point: EffortPoint | None) -> str:
    if point is None:
        return f"over {curve.points[-1].corrections + 1} frames"
    frames = point.corrections + 1
    return f"{frames} frame{'s' * (frames > 1)}, {point.seconds:.0f} s"


def _corrections(benchmark: Benchmark, result: MethodResult) -> dict[str, Any]:
    """Return what corrections of a method are worth, nothing where none were made."""
    curves = effort_curves(list(result.scores.values()), headline=benchmark.measures[0].name)
    return {"corrections": [curve.to_json() for curve in curves.values()]} if curves else {}


def format_number(value: float, digits: int) -> str:
    """Return a number for people, an en dash for one that is not known."""
    return f"{value:.{digits}f}" if np.isfinite(value) else "–"


def format_interval(interval: Interval, digits: int) -> str:
    """Return an interval as [low, high], nothing when there is none."""
    return f"[{interval.low:.{digits}f}, {interval.high:.{digits}f}]" if np.isfinite(interval.low) else ""


def mean_seconds(result: MethodResult) -> float:
    """Return wall seconds a frame, the mean over the sequences that were timed."""
    known = [scores.seconds for scores in result.scores.values() if np.isfinite(scores.seconds)]
    return float(np.mean(known)) if known else float("nan")


def write_tables(
    folder: Path,
    benchmark: Benchmark,
    results: Sequence[MethodResult],
    *,
    list_name: str = "val",
    intervals: RunIntervals | None = None,
    sweep: Sequence[SweepPoint] = (),
    data: Mapping[str, Any] | None = None,
    write: Callable[[Path, str], None] = write_text,
) -> list[Path]:
    """Write results.json and the CSV files, each whole or not at all, and return their paths.

    For DAVIS these are the official evaluator's `global_results-LIST.csv` and `per-sequence_results-LIST.csv`, in a
    folder per method; for others `summary.csv` and `per-sequence.csv` over all methods.

    Args:
        folder: made when absent.
        benchmark: what was measured.
        results: by which methods.
        list_name: the list of sequences that was scored ("2017/val"); its last part names DAVIS's files.
        intervals: the run's intervals, for results.json; None to leave them out.
        sweep: a setting's values and what each cost, for results.json.
        data: what `as_data` returns, where it is at hand already.
        write: writes a file whole or not at all.

    Raises:
        OutputError: the folder cannot be written to.
    """
    data = data or as_data(benchmark, results, intervals=intervals, sweep=sweep)
    files = {"results.json": json.dumps(data, ensure_ascii=False, allow_nan=False, indent=1)}
    if benchmark.official_columns:
        names = file_names([result.name for result in results])
        for result, name in zip(results, names, strict=True):
            short = _UNSAFE.sub("-", list_name.rpartition("/")[2]) or "list"
            files[f"{name}/global_results-{short}.csv"] = official_global(result, benchmark.official_columns)
            files[f"{name}/per-sequence_results-{short}.csv"] = official_sequences(result)
    else:
        files["summary.csv"] = _summary_csv(benchmark, results)
        files["per-sequence.csv"] = _sequences_csv(benchmark, results)
    for name, text in files.items():
        make_folder((folder / name).parent)
        write(folder / name, text)
    return [folder / name for name in files]


def file_names(methods: Sequence[str]) -> list[str]:
    """Return a safe and unique file name for every method ("resnet18:a/b" and "resnet18:a-b" get two)."""
    taken: dict[str, int] = {}
    names = []
    for method in methods:
        name = _UNSAFE.sub("-", method).strip(".-") or "method"
        taken[name.lower()] = taken.get(name.lower(), 0) + 1
        names.append(name if taken[name.lower()] == 1 else f"{name}-{taken[name.lower()]}")
    return names


def official_global(result: MethodResult, columns: Mapping[str, str]) -> str:
    """Return the text of global_results-LIST.csv: one row under the official names, from the method's summary."""
    values = [result.summary.get(name, np.nan) for name in columns.values()]
    return csv_text([columns, map(_three_digits, values)])


def official_sequences(result: MethodResult) -> str:
    """Return the text of per-sequence_results-LIST.csv: a row an object, called SEQUENCE_OBJECT."""
    rows = [["Sequence", "J-Mean", "F-Mean"]]
    rows += [[name, *(_three_digits(mean(curves[one])) for one in ("J", "F"))] for name, curves in _objects(result)]
    return csv_text(rows)


def csv_text(rows: Iterable[Iterable[str]]) -> str:
    """Return rows as the text of a CSV file."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(list(row) for row in rows)
    return text.getvalue()


def _objects(result: MethodResult) -> list[tuple[str, Mapping[str, Any]]]:
    return [(f"{name}_{unit}", c) for name, scores in result.scores.items() for unit, c in scores.units.items()]


def _three_digits(value: float) -> str:
    return f"{value:.3f}" if np.isfinite(value) else ""  # pandas leaves NaN empty


def as_data(
    benchmark: Benchmark,
    results: Sequence[MethodResult],
    *,
    intervals: RunIntervals | None = None,
    sweep: Sequence[SweepPoint] = (),
) -> dict[str, Any]:
    """Return everything at full precision as strict JSON data: NaN is None, infinity "inf"."""
    methods = []
    for result in results:
        odds = odds_of_failure(list(result.scores.values())) if intervals else None
        ends = {name: (one.low, one.high) for name, one in intervals.of(result).items()} if intervals else {}
        methods.append(
            {
                "name": result.name,
                "detail": result.detail,
                "settings": result.settings,
                "summary": result.summary,
                "intervals": ends,
                "odds": asdict(odds) if odds else None,
                **_corrections(benchmark, result),
                "sequences": [scores.to_json() for scores in result.scores.values()],
            }
        )
    data = {
        "benchmark": benchmark.name,
        "root": benchmark.root,
        "measures": [{"name": measure.name, "better": measure.better} for measure in benchmark.measures],
        "methods": methods,
        "sweep": [asdict(point) for point in sweep],
    }
    return dict(plain_data(data))


def plain_data(value: Any) -> Any:
    """Return a value as strict JSON data; what JSON has no word for becomes text."""
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(key): plain_data(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain_data(item) for item in value]
    if isinstance(value, float) and not np.isfinite(value):
        return None if np.isnan(value) else str(value)
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def _summary_csv(benchmark: Benchmark, results: Sequence[MethodResult]) -> str:
    names = [measure.name for measure in benchmark.measures]
    return csv_text([["method", *names], *([result.name, *_full(result.summary, names)] for result in results)])


def _sequences_csv(benchmark: Benchmark, results: Sequence[MethodResult]) -> str:
    names = [measure.name for measure in benchmark.measures]
    rows = [["method", "sequence", *names]]
    for result in results:
        for name, scores in result.scores.items():
            rows.append([result.name, name, *_full(benchmark.summary([scores]), names)])
    return csv_text(rows)


def _full(values: Mapping[str, float], names: Sequence[str]) -> list[str]:
    found = [values.get(name, np.nan) for name in names]
    return ["" if np.isnan(value) else repr(float(value)) for value in found]
