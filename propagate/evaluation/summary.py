"""What an evaluation comes to: the best of each method's runs, tables, JSON, CSV and the report."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from propagate.evaluation.analysis.bootstrap import RunIntervals
from propagate.evaluation.analysis.effort import effort_curves
from propagate.evaluation.plan import MethodRun
from propagate.evaluation.protocol import Benchmark, Measure
from propagate.evaluation.report.report import write_report
from propagate.evaluation.report.sections import area_lines, verdict
from propagate.evaluation.report.tables import (
    area_rows,
    as_data,
    effort_rows,
    format_interval,
    mean_seconds,
    table_rows,
    write_tables,
)
from propagate.evaluation.results import MethodResult, Strip, SweepPoint, featured, ranked_sequences, shared_scores
from propagate.evaluation.runner import Evaluation

STRIPS = 3  # filmstrips of figure 10
STRIP_FRAMES, STRIP_HEIGHT = 6, 110


@dataclass(frozen=True)
class EvaluationSummary:
    """What an evaluation came to.

    Attributes:
        benchmark: what was measured.
        results: a method each.
        table: rows of cells for a terminal, the heading first.
        notes: lines that say how sure the differences are.
        report: the HTML page.
        tables: further ones, of what corrections are worth.
        data: everything at full precision, as results.json holds it.
    """

    benchmark: Benchmark
    results: Sequence[MethodResult]
    table: Sequence[Sequence[str]]
    notes: tuple[str, ...]
    report: Path
    data: Mapping[str, Any]
    tables: Sequence[Sequence[Sequence[str]]] = ()

    def beyond(self, bar: float) -> list[str]:
        """Return the methods whose headline is on the wrong side of a bar."""
        measure = self.benchmark.measures[0]
        values = {result.name: result.summary.get(measure.name, np.nan) for result in self.results}
        return [
            name for name, value in values.items() if not (value >= bar if measure.better == "higher" else value <= bar)
        ]


def summarize(evaluation: Evaluation, *, command: str = "", resamples: int | None = None) -> EvaluationSummary:
    """Write tables and report of an evaluation that was iterated to its end.

    Args:
        evaluation: what was done.
        command: the words that asked for it, for the report.
        resamples: draws of each bootstrap, None to choose by the size of the data.

    Raises:
        OutputError: a file cannot be written.
    """
    benchmark, out = evaluation.request.benchmark, evaluation.request.out
    groups: dict[str, list[MethodRun]] = {}
    for run in evaluation.method_runs:
        groups.setdefault(run.group, []).append(run)
    best = {name: _best(evaluation, runs) for name, runs in groups.items()}
    results = [_result(evaluation, name, run, tried=groups[name]) for name, run in best.items()]
    intervals = RunIntervals(benchmark, results, resamples=resamples)
    sweep = _sweep(benchmark.measures[0], best, results)
    list_name = benchmark.list_title
    if evaluation.request.limit is not None:
        list_name += f"-first-{evaluation.request.limit}"
    data = as_data(benchmark, results, intervals=intervals, sweep=sweep)
    write = evaluation.folder.write
    write_tables(out, benchmark, results, list_name=list_name, data=data, write=write)
    report = write_report(
        out,
        benchmark,
        results,
        strips={name: run.results for name, run in best.items()},
        sweep=sweep,
        color_strips=_color_strips(evaluation, best, results),
        command=command,
        intervals=intervals,
        write=write,
    )
    areas = [line for result in results for line in area_lines(intervals, result)]
    notes = (*_differences(intervals, results), *areas, *_left_out(evaluation))
    tables = _effort_tables(benchmark, results)
    return EvaluationSummary(benchmark, results, _table(intervals, results), notes, report, data, tables)


def _effort_tables(benchmark: Benchmark, results: Sequence[MethodResult]) -> list[list[list[str]]]:
    """Return two tables on what corrections of each method are worth, their first column the method."""
    tables: list[list[list[str]]] = []
    for rows_of in (effort_rows, area_rows):
        table: list[list[str]] = []
        for result in results:
            curves = effort_curves(list(result.scores.values()), headline=benchmark.measures[0].name)
            if curves:
                head, *rows = rows_of(curves)
                table = [*(table or [["method", *head]]), *([result.name, *row] for row in rows)]
        tables += [table] if table else []
    return tables


def _left_out(evaluation: Evaluation) -> tuple[str, ...]:
    """Return a line on methods that were scored in this folder before and are not asked for now."""
    here = {run.scores.parent.name for run in evaluation.method_runs}
    others = sorted(
        path.parent.name for path in evaluation.request.out.glob("*/scores") if path.parent.name not in here
    )
    if not others:
        return ()
    return (f"scored here before and not in these tables, since not asked for: {', '.join(others)}",)


def _best(evaluation: Evaluation, runs: Sequence[MethodRun]) -> MethodRun:
    """Return the run with the best headline, the first of equals."""
    measure = evaluation.request.benchmark.measures[0]
    sign = 1.0 if measure.better == "higher" else -1.0

    def value(run: MethodRun) -> float:
        scores = list(evaluation.found(run).values())
        got = sign * evaluation.request.benchmark.summary(scores)[measure.name]
        return -np.inf if np.isnan(got) else got

    return max(runs, key=value) if len(runs) > 1 else runs[0]


def _result(evaluation: Evaluation, name: str, run: MethodRun, *, tried: Sequence[MethodRun]) -> MethodResult:
    """Return what a method got with the best of its runs; its time is the slowest one's, which filled the cache."""
    scores, all_runs = evaluation.found(run), [evaluation.found(one) for one in tried]
    for sequence, own in scores.items():
        scores[sequence] = replace(own, seconds=_slowest(run[sequence].seconds for run in all_runs if sequence in run))
    detail = f"{run.detail}, the best of {len(tried)} on this data" if len(tried) > 1 else run.detail
    summary = evaluation.request.benchmark.summary(list(scores.values()))
    return MethodResult(name, scores, summary, detail=detail, settings=run.settings)


def _slowest(seconds: Iterable[float]) -> float:
    known = [value for value in seconds if not np.isnan(value)]
    return max(known, default=float("nan"))


def _sweep(measure: Measure, best: Mapping[str, MethodRun], results: Sequence[MethodResult]) -> list[SweepPoint]:
    """Return what every value of a setting is worth and costs, a curve for each setting of each encoder."""
    several = len({run.maker.method.name for run in best.values() if run.swept and run.maker}) > 1
    points = []
    for result in results:
        swept, maker = best[result.name].swept, best[result.name].maker
        if swept is not None:
            memory = _slowest(scores.memory for scores in result.scores.values())
            score = result.summary.get(measure.name, float("nan"))
            setting = f"{swept[0]} of {maker.method.name}" if several and maker else swept[0]
            points.append(SweepPoint(setting, _number(swept[1]), score, mean_seconds(result), memory))
    return points


def _number(word: str) -> float | str:
    try:
        return float(word)
    except ValueError:
        return word


def _color_strips(
    evaluation: Evaluation, best: Mapping[str, MethodRun], results: Sequence[MethodResult]
) -> list[Strip]:
    """Return the filmstrips of figure 10 where colours were carried too: the sequences that are tracked worst."""
    benchmark = evaluation.request.benchmark
    measure = benchmark.measures[0]
    ours = featured(results, headline=measure.name, better=measure.better)
    sequences = {sequence.name: sequence for sequence in evaluation.sequences}
    worst = [name for name, _ in reversed(ranked_sequences(ours, benchmark))]
    strips = []
    for sequence in (sequences[name] for name in worst[:STRIPS]):
        picture = benchmark.color_filmstrip(sequence, best[ours.name].results, count=STRIP_FRAMES, height=STRIP_HEIGHT)
        if picture is not None:
            title = (
                f"{sequence.name}, {ours.name}: predicted mask, predicted colours, true colours (Vondrick figure 10)"
            )
            strips.append(Strip(title, picture))
    return strips


def _table(intervals: RunIntervals, results: Sequence[MethodResult]) -> list[list[str]]:
    """Return the rows of the terminal's table: intervals for the headline alone, so that a line is a line."""
    headline = intervals.benchmark.measures[0].name
    shown = {
        r.name: {name: interval for name, interval in intervals.of(r).items() if name == headline} for r in results
    }
    return table_rows(intervals.benchmark, results, intervals=shown, brief=True)


def _differences(intervals: RunIntervals, results: Sequence[MethodResult]) -> tuple[str, ...]:
    """Return a line for every other method: how far the featured one is ahead, and whether that is more than noise."""
    measure = intervals.benchmark.measures[0]
    ours = featured(results, headline=measure.name, better=measure.better)
    lines = []
    for other in results:
        interval = None if other is ours else intervals.difference(ours, other, level="sequences")
        if interval is not None:
            value = f"{interval.value:+.{measure.digits}f} {format_interval(interval, measure.digits)}".strip()
            sure = verdict(interval, measure, sequences=len(shared_scores(ours, other)[0]))
            lines.append(f"{measure.name} of {ours.name} against {other.name}: {value}, {sure}")
    return tuple(lines)
