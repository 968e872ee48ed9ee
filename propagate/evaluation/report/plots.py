"""Plots as SVG: score against time, by attribute and size, differences, and what a setting costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from propagate.evaluation.analysis.bootstrap import Interval
from propagate.evaluation.analysis.by_group import AttributeGain, GroupScore, TimeCurve
from propagate.evaluation.analysis.effort import EffortCurve
from propagate.evaluation.protocol import Measure
from propagate.evaluation.results import SweepPoint
from propagate.render.plots import (
    COLORS,
    DASHES,
    MARKS,
    as_svg,
    empty_figure,
    figure_and_axes,
    put_legend_above,
    short_name,
)


def plot_time(curves: Mapping[str, TimeCurve]) -> bytes:
    """Return score against frame number, a line a method, as SVG (Vondrick figure 5)."""
    figure, axes = figure_and_axes(4.2)
    for number, (name, curve) in enumerate(curves.items()):
        color, dash = COLORS[number % len(COLORS)], DASHES[number % len(DASHES)]
        mark = MARKS[number % len(MARKS)]
        every = max(1, len(curve.frames) // 8)
        axes.plot(curve.frames, curve.values, dash, color=color, label=short_name(name), marker=mark, markevery=every)
    measure = next(iter(curves.values())).measure
    axes.set_xlabel("frame, up to the median length")
    axes.set_ylabel(_axis(measure))
    put_legend_above(figure, axes)
    return as_svg(figure)


def plot_attributes(rows: Sequence[AttributeGain], *, measure: Measure, ours: str, other: str) -> bytes:
    """Return bars of both methods by attribute, sorted by relative gain, as SVG (Vondrick figure 6)."""
    figure, axes = figure_and_axes(4.2)
    place = np.arange(len(rows))
    axes.bar(place - 0.2, [row.ours for row in rows], 0.38, color=COLORS[0], label=short_name(ours))
    axes.bar(place + 0.2, [row.other for row in rows], 0.38, color=COLORS[1], hatch="//", label=short_name(other))
    gains = ["" if np.isnan(row.gain) else f"\n{100 * row.gain:+.0f} %" for row in rows]
    axes.set_xticks(
        place, [f"{short_name(row.attribute)}\n({row.count}){g}" for row, g in zip(rows, gains, strict=True)]
    )
    axes.tick_params(axis="x", labelsize=8 if len(rows) > 8 else 10)
    axes.set_xlabel("attribute (sequences), relative gain")
    axes.set_ylabel(_axis(measure))
    put_legend_above(figure, axes)
    return as_svg(figure)


def plot_groups(groups: Mapping[str, Sequence[GroupScore]], *, measure: Measure) -> bytes:
    """Return bars by group, a colour a method, as SVG.

    Args:
        groups: method name -> its scores; a group that a method lacks is left empty.
        measure: what is drawn.
    """
    figure, axes = figure_and_axes(3.8)
    names = list(dict.fromkeys(row.group for rows in groups.values() for row in rows))
    counts = {row.group: row.count for rows in groups.values() for row in rows}
    width = 0.8 / len(groups)
    for number, (method, rows) in enumerate(groups.items()):
        known = {row.group: row.value for row in rows}
        left = np.arange(len(names)) - 0.4 + width * (number + 0.5)
        values = [known.get(name, np.nan) for name in names]
        axes.bar(left, values, 0.92 * width, color=COLORS[number % len(COLORS)], label=short_name(method))
    axes.set_xticks(np.arange(len(names)), [f"{name}\n(n = {counts[name]})" for name in names])
    axes.set_ylabel(_axis(measure))
    put_legend_above(figure, axes)
    return as_svg(figure)


def plot_intervals(spans: Mapping[str, Interval], *, label: str) -> bytes:
    """Return a dot with its interval per row, and a line at 0, as SVG.

    Args:
        spans: row name -> difference.
        label: what the horizontal axis is.
    """
    figure, axes = figure_and_axes(1.2 + 0.42 * len(spans))
    rows = np.arange(len(spans))[::-1]
    for row, span in zip(rows, spans.values(), strict=True):
        if np.isfinite(span.low):
            axes.plot([span.low, span.high], [row, row], "-", color=COLORS[0], linewidth=2)
        axes.plot([span.value], [row], "o", color=COLORS[0])
    axes.axvline(0, color="black", linewidth=1, linestyle="--")
    axes.set_yticks(rows, [short_name(name, 40) for name in spans])
    axes.set_ylim(-0.6, len(spans) - 0.4)
    axes.set_xlabel(label)
    return as_svg(figure)


def plot_sweep(points: Sequence[SweepPoint], *, measure: Measure) -> bytes:
    """Return score, seconds and memory against a setting's value in one figure of three panels, as SVG.

    Values are evenly spaced in the order given, so that "full" stands beside numbers.
    """
    panels = [(_axis(measure), [point.score for point in points])]
    panels.append(("seconds a frame", [point.seconds for point in points]))
    panels.append(("peak memory, GiB", [point.memory / 2**30 for point in points]))
    panels = [panel for panel in panels if np.isfinite(panel[1]).any()]
    figure = empty_figure(2.1 * len(panels) + 0.5)
    grid = figure.subplots(max(len(panels), 1), 1, sharex=True, squeeze=False)[:, 0]
    names = [point.label for point in points]
    for number, (axes, (label, values)) in enumerate(zip(grid, panels, strict=False)):
        mark = MARKS[number % len(MARKS)]
        axes.plot(np.arange(len(points)), values, "-", marker=mark, color=COLORS[number % len(COLORS)])
        axes.set_ylabel(label)
        axes.grid(alpha=0.3)
    grid[-1].set_xticks(np.arange(len(points)), [short_name(name, 12) for name in names])
    grid[-1].set_xlabel(points[0].setting)
    figure.align_ylabels()
    return as_svg(figure)


def plot_effort(curves: Mapping[str, EffortCurve], *, measure: Measure) -> bytes:
    """Return score against annotated frames and against seconds of work, a line a choice of frames, as SVG.

    Full lines are over all frames, dashed ones over those that nobody annotated.
    """
    figure = empty_figure(4.2)
    left, right = figure.subplots(1, 2, sharey=True)
    for number, (choice, curve) in enumerate(curves.items()):
        color, mark = COLORS[number % len(COLORS)], MARKS[number % len(MARKS)]
        frames = [point.corrections + 1 for point in curve.points]
        seconds = [point.seconds for point in curve.points]
        for axes, along in ((left, frames), (right, seconds)):
            every = [point.all[measure.name] for point in curve.points]
            alone = [point.untouched[measure.name] for point in curve.points]
            axes.plot(along, every, "-", color=color, marker=mark, label=f"{choice}, all frames")
            axes.plot(along, alone, "--", color=color, marker=mark, label=f"{choice}, untouched", fillstyle="none")
    for axes, label in ((left, "annotated frames"), (right, "seconds of a person's work")):
        axes.set_xlabel(label)
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    left.set_ylabel(_axis(measure))
    put_legend_above(figure, left)
    return as_svg(figure)


def _axis(measure: Measure) -> str:
    return measure.name if measure.better == "higher" else f"{measure.name} (lower is better)"
