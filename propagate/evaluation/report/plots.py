"""Plots as SVG: score against time, by attribute and size, differences, what a setting costs, a training run.

Matplotlib is the extra `[report]`; it is imported inside the functions, and nothing of it is global: no pyplot.
"""

from __future__ import annotations

import importlib.util
import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from propagate.evaluation.analysis.bootstrap import Interval, SweepPoint
from propagate.evaluation.analysis.by_group import AttributeGain, GroupScore, TimeCurve
from propagate.evaluation.protocol import Measure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's colours, told apart by the colour-blind; dashes and marks tell them apart without any colour.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
DASHES = ("-", "--", "-.", ":")
MARKS = ("o", "s", "^", "D", "v", "P", "X")
TRACKING = ("J", "F")  # larger is better
WIDTH = 8.0  # inches; text of 10 points is then as large as the page's own


def can_plot() -> bool:
    """Return whether matplotlib is installed."""
    return importlib.util.find_spec("matplotlib") is not None


def plot_time(curves: Mapping[str, TimeCurve]) -> bytes:
    """Return score against frame number, a line a method, as SVG (Vondrick figure 5)."""
    figure, axes = _figure(4.2)
    for number, (name, curve) in enumerate(curves.items()):
        color, dash = COLORS[number % len(COLORS)], DASHES[number % len(DASHES)]
        mark = MARKS[number % len(MARKS)]
        every = max(1, len(curve.frames) // 8)
        axes.plot(curve.frames, curve.values, dash, color=color, label=_short(name), marker=mark, markevery=every)
    measure = next(iter(curves.values())).measure
    axes.set_xlabel("frame, up to the median length")
    axes.set_ylabel(_axis(measure))
    _legend(figure, axes)
    return _svg(figure)


def plot_attributes(rows: Sequence[AttributeGain], *, measure: Measure, ours: str, other: str) -> bytes:
    """Return bars of both methods by attribute, sorted by relative gain, as SVG (Vondrick figure 6)."""
    figure, axes = _figure(4.2)
    place = np.arange(len(rows))
    axes.bar(place - 0.2, [row.ours for row in rows], 0.38, color=COLORS[0], label=_short(ours))
    axes.bar(place + 0.2, [row.other for row in rows], 0.38, color=COLORS[1], hatch="//", label=_short(other))
    gains = ["" if np.isnan(row.gain) else f"\n{100 * row.gain:+.0f} %" for row in rows]
    axes.set_xticks(place, [f"{_short(row.attribute)}\n({row.count}){g}" for row, g in zip(rows, gains, strict=True)])
    axes.tick_params(axis="x", labelsize=8 if len(rows) > 8 else 10)
    axes.set_xlabel("attribute (sequences), relative gain")
    axes.set_ylabel(_axis(measure))
    _legend(figure, axes)
    return _svg(figure)


def plot_groups(groups: Mapping[str, Sequence[GroupScore]], *, measure: Measure) -> bytes:
    """Return bars by group, a colour a method, as SVG.

    Args:
        groups: method name -> its scores; a group that a method lacks is left empty.
        measure: what is drawn.
    """
    figure, axes = _figure(3.8)
    names = list(dict.fromkeys(row.group for rows in groups.values() for row in rows))
    counts = {row.group: row.count for rows in groups.values() for row in rows}
    width = 0.8 / len(groups)
    for number, (method, rows) in enumerate(groups.items()):
        known = {row.group: row.value for row in rows}
        left = np.arange(len(names)) - 0.4 + width * (number + 0.5)
        values = [known.get(name, np.nan) for name in names]
        axes.bar(left, values, 0.92 * width, color=COLORS[number % len(COLORS)], label=_short(method))
    axes.set_xticks(np.arange(len(names)), [f"{name}\n(n = {counts[name]})" for name in names])
    axes.set_ylabel(_axis(measure))
    _legend(figure, axes)
    return _svg(figure)


def plot_intervals(spans: Mapping[str, Interval], *, label: str) -> bytes:
    """Return a dot with its interval per row, and a line at 0, as SVG.

    Args:
        spans: row name -> difference.
        label: what the horizontal axis is.
    """
    figure, axes = _figure(1.2 + 0.42 * len(spans))
    rows = np.arange(len(spans))[::-1]
    for row, span in zip(rows, spans.values(), strict=True):
        if np.isfinite(span.low):
            axes.plot([span.low, span.high], [row, row], "-", color=COLORS[0], linewidth=2)
        axes.plot([span.value], [row], "o", color=COLORS[0])
    axes.axvline(0, color="black", linewidth=1, linestyle="--")
    axes.set_yticks(rows, [_short(name, 40) for name in spans])
    axes.set_ylim(-0.6, len(spans) - 0.4)
    axes.set_xlabel(label)
    return _svg(figure)


def plot_sweep(points: Sequence[SweepPoint], *, measure: Measure) -> bytes:
    """Return score, seconds and memory against a setting's value in one figure of three panels, as SVG.

    Values are evenly spaced in the order given, so that "full" stands beside numbers.
    """
    panels = [(_axis(measure), [point.score for point in points])]
    panels.append(("seconds a frame", [point.seconds for point in points]))
    panels.append(("peak memory, GiB", [point.memory / 2**30 for point in points]))
    panels = [panel for panel in panels if np.isfinite(panel[1]).any()]
    figure = _empty(2.1 * len(panels) + 0.5)
    grid = figure.subplots(max(len(panels), 1), 1, sharex=True, squeeze=False)[:, 0]
    names = [point.label for point in points]
    for number, (axes, (label, values)) in enumerate(zip(grid, panels, strict=False)):
        mark = MARKS[number % len(MARKS)]
        axes.plot(np.arange(len(points)), values, "-", marker=mark, color=COLORS[number % len(COLORS)])
        axes.set_ylabel(label)
        axes.grid(alpha=0.3)
    grid[-1].set_xticks(np.arange(len(points)), [_short(name, 12) for name in names])
    grid[-1].set_xlabel(points[0].setting)
    figure.align_ylabels()
    return _svg(figure)


def plot_training(steps: Sequence[int], losses: Sequence[float], scores: Mapping[str, Sequence[float]]) -> bytes:
    """Return a training run as SVG: its loss above, what was scored along it below, a row for each kind of score.

    Args:
        steps: at which scores were taken.
        losses: mean of those logged since the step before.
        scores: name -> a value a step; those of one kind (J and F) share a row, an error has one of its own.
    """
    errors = [{name: values} for name, values in scores.items() if name not in TRACKING]
    tracking = {name: values for name, values in scores.items() if name in TRACKING}
    rows: list[Mapping[str, Sequence[float]]] = [{"loss": losses}, *errors, *([tracking] if tracking else [])]
    figure = _empty(1.2 + 1.5 * len(rows))
    lines = iter(range(1 + len(scores)))
    grid: list[Axes] = list(figure.subplots(len(rows), 1, sharex=True, squeeze=False)[:, 0])
    for axes, row in zip(grid, rows, strict=True):
        for (name, values), line in zip(row.items(), lines, strict=False):
            color, mark = COLORS[line % len(COLORS)], MARKS[line % len(MARKS)]
            axes.plot(steps, values, DASHES[line % len(DASHES)], color=color, marker=mark, label=_short(name))
        axes.grid(alpha=0.3)
        axes.set_ylabel(", ".join(map(_short, row)) + ("" if row is tracking else " (lower is better)"))
        axes.spines[["top", "right"]].set_visible(False)
    grid[-1].set_xlabel("step")
    grid[-1].legend(frameon=False)
    figure.align_ylabels()
    return _svg(figure)


def _axis(measure: Measure) -> str:
    return measure.name if measure.better == "higher" else f"{measure.name} (lower is better)"


def _short(name: str, longest: int = 28) -> str:
    text = name if len(name) <= longest else name[: longest - 1] + "…"
    text = "".join(letter if letter.isprintable() else "?" for letter in text)
    return text.replace("$", r"\$").lstrip("_") or "?"  # matplotlib reads $ as mathematics and hides leading _


def _empty(height: float) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(WIDTH, height), layout="constrained")


def _figure(height: float) -> tuple[Figure, Axes]:
    figure = _empty(height)
    axes = figure.subplots()
    axes.grid(alpha=0.3)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _legend(figure: Figure, axes: Axes) -> None:
    """Put the legend above the axes, where it covers nothing."""
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=min(3, len(labels)), frameon=False)


def _svg(figure: Figure) -> bytes:
    """Return the figure as SVG, the same bytes for the same figure, its letters as outlines: no font is needed."""
    import warnings

    import matplotlib as mpl

    target = io.BytesIO()
    with mpl.rc_context({"svg.hashsalt": "propagate", "svg.fonttype": "path"}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")  # a name in a script that no font here has
        figure.savefig(target, format="svg", metadata={"Date": None})
    return target.getvalue()
