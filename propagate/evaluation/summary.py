"""What an evaluation comes to: the best of each method's runs, tables, JSON, CSV and the report."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from propagate.evaluation.analysis.bootstrap import (
    MethodResult,
    RunIntervals,
    Strip,
    SweepPoint,
    featured,
    ranked_cases,
    shared_scores,
)
from propagate.evaluation.plan import Entry
from propagate.evaluation.protocol import Benchmark, Measure
from propagate.evaluation.report.report import write_report
from propagate.evaluation.report.sections import verdict
from propagate.evaluation.report.tables import as_data, between, mean_seconds, table_rows, write_tables
from propagate.evaluation.runner import Evaluation

STRIPS = 3  # filmstrips of figure 10
STRIP_FRAMES, STRIP_HEIGHT = 6, 110


@dataclass(frozen=True)
class Conclusion:
    """What an evaluation came to.

    Attributes:
        benchmark: what was measured.
        results: a method each.
        table: rows of cells for a terminal, the heading first.
        notes: lines that say how sure the differences are.
        report: the HTML page.
        data: everything at full precision, as results.json holds it.
    """

    benchmark: Benchmark
    results: Sequence[MethodResult]
    table: Sequence[Sequence[str]]
    notes: tuple[str, ...]
    report: Path
    data: Mapping[str, Any]

    def beyond(self, bar: float) -> list[str]:
        """Return the methods whose headline is on the wrong side of a bar."""
        measure = self.benchmark.measures[0]
        values = {result.name: result.summary.get(measure.name, np.nan) for result in self.results}
        return [
            name for name, value in values.items() if not (value >= bar if measure.better == "higher" else value <= bar)
        ]


def conclude(evaluation: Evaluation, *, command: str = "", resamples: int | None = None) -> Conclusion:
    """Write tables and report of an evaluation that was iterated to its end.

    Args:
        evaluation: what was done.
        command: the words that asked for it, for the report.
        resamples: draws of each bootstrap, None to choose by the size of the data.

    Raises:
        OutputError: a file cannot be written.
    """
    benchmark, out = evaluation.request.benchmark, evaluation.request.out
    groups: dict[str, list[Entry]] = {}
    for entry in evaluation.entries:
        groups.setdefault(entry.group, []).append(entry)
    best = {name: _best(evaluation, entries) for name, entries in groups.items()}
    results = [_result(evaluation, name, entry, tried=groups[name]) for name, entry in best.items()]
    spans = RunIntervals(benchmark, results, resamples=resamples)
    sweep = _sweep(benchmark.measures[0], best, results)
    list_name = str(getattr(benchmark, "list_title", "val"))
    if evaluation.request.limit is not None:
        list_name += f"-first-{evaluation.request.limit}"
    write_tables(out, benchmark, results, list_name=list_name, spans=spans, sweep=sweep)
    report = write_report(
        out,
        benchmark,
        results,
        strips={name: entry.results for name, entry in best.items()},
        sweep=sweep,
        color_strips=_color_strips(evaluation, best, results),
        command=command,
        spans=spans,
    )
    data = as_data(benchmark, results, spans=spans, sweep=sweep)
    notes = (*_differences(spans, results), *_left_out(evaluation))
    return Conclusion(benchmark, results, _table(spans, results), notes, report, data)


def _left_out(evaluation: Evaluation) -> tuple[str, ...]:
    """Return a line on methods that were scored in this folder before and are not asked for now."""
    here = {entry.scores.parent.name for entry in evaluation.entries}
    others = sorted(
        path.parent.name for path in evaluation.request.out.glob("*/scores") if path.parent.name not in here
    )
    if not others:
        return ()
    return (f"scored here before and not in these tables, since not asked for: {', '.join(others)}",)


def _best(evaluation: Evaluation, entries: Sequence[Entry]) -> Entry:
    """Return the run with the best headline, the first of equals."""
    measure = evaluation.request.benchmark.measures[0]
    sign = 1.0 if measure.better == "higher" else -1.0

    def value(entry: Entry) -> float:
        scores = list(evaluation.found(entry).values())
        got = sign * evaluation.request.benchmark.summary(scores)[measure.name]
        return -np.inf if np.isnan(got) else got

    return max(entries, key=value) if len(entries) > 1 else entries[0]


def _result(evaluation: Evaluation, name: str, entry: Entry, *, tried: Sequence[Entry]) -> MethodResult:
    """Return what a method got with the best of its runs; its time is the slowest one's, which filled the cache."""
    scores, all_runs = evaluation.found(entry), [evaluation.found(one) for one in tried]
    for case, own in scores.items():
        scores[case] = replace(own, seconds=_slowest(run[case].seconds for run in all_runs if case in run))
    detail = f"{entry.detail}, the best of {len(tried)} on this data" if len(tried) > 1 else entry.detail
    settings: Mapping[str, Any] = {} if entry.maker is None else entry.maker.record("masks")
    summary = evaluation.request.benchmark.summary(list(scores.values()))
    return MethodResult(name, scores, summary, detail=detail, settings=settings)


def _slowest(seconds: Iterable[float]) -> float:
    known = [value for value in seconds if not np.isnan(value)]
    return max(known, default=float("nan"))


def _sweep(measure: Measure, best: Mapping[str, Entry], results: Sequence[MethodResult]) -> list[SweepPoint]:
    """Return what every value of a setting is worth and costs, a curve for each setting of each encoder."""
    several = len({entry.maker.method.name for entry in best.values() if entry.swept and entry.maker}) > 1
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


def _color_strips(evaluation: Evaluation, best: Mapping[str, Entry], results: Sequence[MethodResult]) -> list[Strip]:
    """Return the filmstrips of figure 10 where colours were carried too: the sequences that are tracked worst."""
    benchmark = evaluation.request.benchmark
    draw = getattr(benchmark, "color_filmstrip", None)
    if draw is None or not getattr(benchmark, "colors", False):
        return []
    measure = benchmark.measures[0]
    ours = featured(results, headline=measure.name, better=measure.better)
    cases = {case.name: case for case in evaluation.cases}
    worst = [name for name, _ in reversed(ranked_cases(ours, benchmark))]
    strips = []
    for case in (cases[name] for name in worst[:STRIPS]):
        picture = draw(case, best[ours.name].results, count=STRIP_FRAMES, height=STRIP_HEIGHT)
        if picture is not None:
            title = f"{case.name}, {ours.name}: predicted mask, predicted colours, true colours (Vondrick figure 10)"
            strips.append(Strip(title, picture))
    return strips


def _table(spans: RunIntervals, results: Sequence[MethodResult]) -> list[list[str]]:
    """Return the rows of the terminal's table: intervals for the headline alone, so that a line is a line."""
    headline = spans.benchmark.measures[0].name
    shown = {r.name: {name: span for name, span in spans.of(r).items() if name == headline} for r in results}
    return table_rows(spans.benchmark, results, intervals=shown, brief=True)


def _differences(spans: RunIntervals, results: Sequence[MethodResult]) -> tuple[str, ...]:
    """Return a line for every other method: how far the featured one is ahead, and whether that is more than noise."""
    measure = spans.benchmark.measures[0]
    ours = featured(results, headline=measure.name, better=measure.better)
    lines = []
    for other in results:
        span = None if other is ours else spans.difference(ours, other, level="sequences")
        if span is not None:
            value = f"{span.value:+.{measure.digits}f} {between(span, measure.digits)}".strip()
            sure = verdict(span, measure, sequences=len(shared_scores(ours, other)[0]))
            lines.append(f"{measure.name} of {ours.name} against {other.name}: {value}, {sure}")
    return tuple(lines)
