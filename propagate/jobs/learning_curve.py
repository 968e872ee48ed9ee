"""The log of a training run in a few points: what its loss and its validation did."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from propagate.evaluation.report.plots import can_plot, plot_training
from propagate.formats.atomic import write_bytes

log = logging.getLogger(__name__)
POINTS = 20
Line = Mapping[str, Any]


def learning_curve(lines: Sequence[Line], *, minutes: float | None = None) -> list[dict[str, Any]]:
    """Return at most `POINTS` points evenly over the log, at a validation where there is one near.

    Args:
        lines: of log.jsonl, in order.
        minutes: how long the run was to take, where its share that is done is one of them.

    Returns:
        A point each: `step`; `minutes` where they are known; `loss`, the mean over the lines since the point before;
        `validation`, figures by name, where there was one.
    """
    spans = np.array_split(np.arange(len(lines)), min(POINTS, len(lines)))
    marks = [_mark(span.tolist(), lines) for span in spans]
    starts = [0, *(mark + 1 for mark in marks)]
    return [_point(lines[start : mark + 1], minutes) for start, mark in zip(starts, marks, strict=False)]


def draw_curve(lines: Sequence[Line], path: Path) -> None:
    """Draw the loss and what followed it, at every validation, as SVG; nothing without one, or without matplotlib.

    Args:
        lines: of log.jsonl, in order.
        path: replaced as a whole.

    Raises:
        OSError: it cannot be written.
    """
    ends = [place for place, line in enumerate(lines) if line.get("validation")]
    if not ends or not can_plot():
        return
    points = [_point(lines[a:b], None) for a, b in itertools.pairwise([0, *(end + 1 for end in ends)])]
    names = set.intersection(*(set(point["validation"]) for point in points))
    scores = {n: [point["validation"][n] for point in points] for n in points[0]["validation"] if n in names}
    try:
        drawn = plot_training([p["step"] for p in points], [p["loss"] for p in points], scores)
    except ImportError as error:  # of what matplotlib itself needs: a picture is no reason to end a run
        log.warning("no %s: matplotlib cannot be used: %s", path.name, error)
        return
    write_bytes(path, drawn)


def _mark(span: Sequence[int], lines: Sequence[Line]) -> int:
    """Return the last place of a span that has a validation, its last place where none has."""
    return max((place for place in span if "validation" in lines[place]), default=span[-1])


def _point(lines: Sequence[Line], minutes: float | None) -> dict[str, Any]:
    """Return the point that some lines come to; it lies at the last of them."""
    last = lines[-1]
    point: dict[str, Any] = {"step": last["step"]}
    if minutes is not None:
        point["minutes"] = round(last["done"] * minutes, 2)
    point["loss"] = round(float(np.mean([line["loss"] for line in lines])), 6)
    if "validation" in last:
        point["validation"] = {name: round(value, 6) for name, value in last["validation"].items()}
    return point
