"""The report's sections on what the scores say: differences, time, attributes, sizes, a sweep, and the odds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from markupsafe import Markup

from propagate.evaluation.analysis.bootstrap import Interval, RunIntervals
from propagate.evaluation.analysis.by_group import (
    GroupScore,
    by_object_count,
    by_object_size,
    gain_by_attribute,
    score_over_time,
    timed_measures,
)
from propagate.evaluation.analysis.effort import EffortCurve, effort_curves, effort_differences
from propagate.evaluation.analysis.failures import Odds, odds_of_failure
from propagate.evaluation.protocol import Benchmark, Measure
from propagate.evaluation.report.page import heading, paragraph, plot, section, strip, table
from propagate.evaluation.report.plots import (
    plot_attributes,
    plot_effort,
    plot_groups,
    plot_intervals,
    plot_sweep,
    plot_time,
)
from propagate.evaluation.report.tables import area_rows, effort_rows, format_interval, format_number
from propagate.evaluation.results import MethodResult, Strip, SweepPoint, flow_of, shared_scores
from propagate.render.plots import can_plot

ENOUGH = 5  # sequences; of fewer, all on one side of 0, the bootstrap would always say that the difference is real


def differences(intervals: RunIntervals, results: Sequence[MethodResult], ours: MethodResult) -> Markup:
    """Return how far `ours` is ahead of every other method, with paired intervals at both levels."""
    measure = intervals.benchmark.measures[0]
    rows = [["against", "difference", "other sequences like these", "these sequences", "so on other sequences"]]
    found = {}
    for other in results:
        interval = None if other is ours else intervals.difference(ours, other, level="sequences")
        if interval is None:
            continue
        found[other.name] = interval
        near = intervals.difference(ours, other, level="frames")
        cells = [f"{interval.value:+.{measure.digits}f}", format_interval(interval, measure.digits) or "–"]
        cells.append((format_interval(near, measure.digits) if near else "") or "–")
        rows.append([other.name, *cells, verdict(interval, measure, sequences=len(shared_scores(ours, other)[0]))])
    if not found:
        return Markup("")
    caption = f"{measure.name} of {ours.name} minus that of the other method, on the sequences that both have"
    words = (
        f"95 % intervals of {intervals.resamples} paired bootstrap draws: of whole sequences, and of blocks of frames"
    )
    parts = [table(unbroken(rows), caption=caption, words=[4]), paragraph(f"{words} within each.", soft=True)]
    if can_plot():
        shown = "; ".join(
            f"{name} {interval.value:+.3f} {format_interval(interval, 3)}" for name, interval in found.items()
        )
        label = f"{measure.name} of {ours.name[:28]} minus the other's"
        parts.insert(0, plot(plot_intervals(found, label=label), alt=f"Differences: {shown}"))
    return section("How sure a difference is", parts)


def unbroken(rows: Sequence[Sequence[str]]) -> list[list[str]]:
    """Return the rows of a table with intervals that no line break divides."""
    return [[cell.replace(", ", ",\u00a0") if "[" in cell else cell for cell in row] for row in rows]


def verdict(interval: Interval, measure: Measure, *, sequences: int) -> str:
    """Return what an interval of a difference over so many sequences allows to say."""
    if not np.isfinite(interval.low):
        return "nothing can be said from one sequence"
    if sequences < ENOUGH:
        return f"{sequences} sequences are too few to say"
    if interval.low <= 0 <= interval.high:
        return "not told apart"
    return "better" if (interval.low > 0) == (measure.better == "higher") else "worse"


def over_time(benchmark: Benchmark, results: Sequence[MethodResult]) -> Markup:
    """Return the plots of score against time (Vondrick figure 5), one for every measure that frames have."""
    if not can_plot():
        return Markup("")
    parts = []
    for measure in timed_measures(benchmark, [scores for r in results for scores in r.scores.values()]):
        curves = {r.name: score_over_time(benchmark, list(r.scores.values()), measure=measure) for r in results}
        found = {name: curve for name, curve in curves.items() if curve is not None}
        if found:
            ends = "; ".join(f"{name} from {c.values[0]:.3f} to {c.values[-1]:.3f}" for name, c in found.items())
            caption = f"Mean {measure.name} over the sequences, frame by frame, up to the median length"
            parts.append(plot(plot_time(found), alt=f"Lines: {ends}", caption=f"{caption} (Vondrick figure 5)."))
    return section("Score against time", parts)


def attributes(
    benchmark: Benchmark,
    results: Sequence[MethodResult],
    ours: MethodResult,
    *,
    attributes: Mapping[str, Sequence[str]],
) -> Markup:
    """Return scores by the data set's attributes, sorted by gain over flow (Vondrick figure 6)."""
    flow = flow_of(results)
    if flow is None or flow is ours:
        note = paragraph("There are attributes: with --method flow beside it, the scores by attribute stand here.")
        return section("Score by attribute", [note]) if any(attributes.values()) else Markup("")
    mine, theirs = shared_scores(ours, flow)
    rows = gain_by_attribute(benchmark, mine, other=theirs, attributes=attributes)
    if not rows:
        return Markup("")
    measure = benchmark.measures[0]
    cells = [["attribute", "sequences", ours.name, flow.name, "relative gain"]]
    for row in rows:
        gain = "–" if np.isnan(row.gain) else f"{100 * row.gain:+.0f} %"
        scores = [format_number(value, measure.digits) for value in (row.ours, row.other)]
        cells.append([row.attribute, str(row.count), *scores, gain])
    caption = f"{measure.name} by attribute, sorted by relative gain over {flow.name} (Vondrick figure 6)"
    parts = [table(cells, caption=caption)]
    if can_plot():
        svg = plot_attributes(rows, measure=measure, ours=ours.name, other=flow.name)
        order = ", ".join(row.attribute for row in rows)
        parts.insert(0, plot(svg, alt=f"Bars of {ours.name} and {flow.name}, in the order {order}"))
    return section("Score by attribute", parts)


def sizes(benchmark: Benchmark, results: Sequence[MethodResult]) -> Markup:
    """Return scores by number and by size of objects."""
    parts = []
    for title, grouped in (("Number of objects", by_object_count), ("Size of objects", by_object_size)):
        found = {r.name: rows for r in results if (rows := grouped(benchmark, list(r.scores.values())))}
        if any(len(rows) > 1 for rows in found.values()):
            parts += [heading(title), *_groups(benchmark.measures[0], found, title)]
    return section("Score by number and size of objects", parts)


def _groups(measure: Measure, found: Mapping[str, Sequence[GroupScore]], title: str) -> list[Markup]:
    names = list(dict.fromkeys(row.group for rows in found.values() for row in rows))
    counts = {row.group: row.count for rows in found.values() for row in rows}
    cells = [["method", *(f"{name} (n = {counts[name]})" for name in names)]]
    for method, rows in found.items():
        known = {row.group: row.value for row in rows}
        cells.append([method, *(format_number(known.get(name, np.nan), measure.digits) for name in names)])
    caption = f"{measure.name} by {title.lower()}"
    if title.startswith("Size"):
        caption += " (thirds of all objects by their share of the picture on the first frame)"
    parts = [table(cells, caption=caption)]
    if can_plot():
        parts.insert(0, plot(plot_groups(found, measure=measure), alt=f"Bars: {caption}; figures below"))
    return parts


def sweep(benchmark: Benchmark, points: Sequence[SweepPoint]) -> Markup:
    """Return what every value of a setting is worth and costs."""
    measure = benchmark.measures[0]
    parts = []
    for setting in dict.fromkeys(point.setting for point in points):
        chosen = [point for point in points if point.setting == setting]
        cells = [[setting, measure.name, "s/frame", "peak memory, GiB"]]
        for point in chosen:
            costs = [format_number(point.seconds, 3), format_number(point.memory / 2**30, 2)]
            cells.append([point.label, format_number(point.score, measure.digits), *costs])
        caption = f"{measure.name}, seconds and memory by {setting}"
        if can_plot():
            svg = plot_sweep(chosen, measure=measure)
            parts.append(plot(svg, alt=f"Lines: {caption}; figures below"))
        parts.append(table(cells, caption=caption))
    return section("What a setting is worth", parts)


def corrections(intervals: RunIntervals, results: Sequence[MethodResult]) -> Markup:
    """Return what corrections with the truth are worth: plot and tables by choice of frames, a method each."""
    measure, parts = intervals.benchmark.measures[0], []
    for result in results:
        curves = effort_curves(list(result.scores.values()), headline=measure.name)
        if curves:
            parts += [heading(result.name), *_effort(curves, measure), *map(paragraph, area_lines(intervals, result))]
    if parts:
        words = (
            "Corrected with the truth as a person would: a mask takes 80 s and the word that an object is absent 3 s "
            "(EVA-VOS), a point 2.4 s. All frames with truth count here, also the first, the last and the annotated "
            "ones, and every sequence counts the same: the figures differ from the official ones above."
        )
        parts.append(paragraph(words, soft=True))
    return section("What corrections are worth", parts)


def _effort(curves: Mapping[str, EffortCurve], measure: Measure) -> list[Markup]:
    ends = "; ".join(
        f"{name} {c.points[0].all[measure.name]:.3f} to {c.points[-1].all[measure.name]:.3f}"
        for name, c in curves.items()
    )
    drawn = [plot(plot_effort(curves, measure=measure), alt=f"Lines: {ends}")] if can_plot() else []
    caption = f"{measure.name} by number of annotated frames"
    areas = f"Area under the curve of {measure.name} over all frames, and work until its mean reaches a level"
    return [*drawn, table(effort_rows(curves), caption=caption), table(area_rows(curves), caption=areas)]


def area_lines(intervals: RunIntervals, result: MethodResult) -> list[str]:
    """Return a line on how sure the area of the first choice of frames differs from that of each other."""
    measure, scores = intervals.benchmark.measures[0], list(result.scores.values())
    found = effort_differences(scores, headline=measure.name, resamples=intervals.resamples, seed=intervals.seed)
    count = sum(bool(one.corrections) for one in scores)
    lines = []
    for (ours, other), interval in found.items():
        value = f"{interval.value:+.3f} {format_interval(interval, 3)}".strip()
        sure = verdict(interval, measure, sequences=count)
        lines.append(f"area under {measure.name} of {result.name}, {ours} against {other}: {value}, {sure}")
    return lines


def odds(intervals: RunIntervals, results: Sequence[MethodResult], *, color_strips: Sequence[Strip]) -> Markup:
    """Return the 2x2 table of failures to track and to colourise, a method each, and figure 10's filmstrips."""
    parts = []
    for result in results:
        found = odds_of_failure(list(result.scores.values()), resamples=intervals.resamples, seed=intervals.seed)
        if found is not None:
            parts += [heading(result.name), *_odds(found)]
    for one in color_strips:
        parts.append(strip(one.picture, alt=one.title, caption=one.title))
    return section("Failures to track and failures to colourise", parts)


def _odds(found: Odds) -> list[Markup]:
    (both, tracking), (colors, neither) = found.table
    cells = [["", "colours fail", "colours hold"], ["tracking fails", str(both), str(tracking)]]
    cells.append(["tracking holds", str(colors), str(neither)])
    caption = f"{found.events} events (object, frame) of {found.sequences} sequences"
    words = [f"Odds ratio {found.ratio:.2f}; Woolf's 95 % interval {_ends(found.woolf)} takes frames as independent,"]
    words.append(f"the bootstrap of whole sequences gives {_ends(found.clustered)}.")
    words.append("Independent failures would give 1; Vondrick 4.5 reports 2.3 on DAVIS 2017.")
    words.append(f"Tracking fails below J = 0.5, colours below their median cluster accuracy, {found.median:.3f}.")
    if found.corrected:
        words.append("A cell is empty, so 1/2 was added to each (Haldane).")
    return [table(cells, caption=caption), paragraph(" ".join(words))]


def _ends(ends: tuple[float, float]) -> str:
    return (
        f"{format_number(ends[0], 2)} to {format_number(ends[1], 2)}"
        if np.isfinite(ends[0])
        else "no interval (one sequence)"
    )
