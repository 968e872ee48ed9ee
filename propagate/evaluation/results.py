"""What methods got, as the analysis, the tables and the report take it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from propagate.baselines import PROPAGATORS
from propagate.evaluation.protocol import Benchmark, Scores

BASELINES = tuple(PROPAGATORS)  # methods of the papers that need no encoder


@dataclass(frozen=True)
class MethodResult:
    """All that one method got.

    Attributes:
        name: as `--method` names it.
        scores: sequence name -> scores, in the order of the benchmark's sequences.
        summary: measure name -> value over all its sequences, as `Benchmark.summary` gives it.
        detail: settings in words, such as "threshold 0.3, the best of 5 on this data".
        settings: what a repetition needs, plain data.
    """

    name: str
    scores: Mapping[str, Scores]
    summary: Mapping[str, float]
    detail: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class SweepPoint:
    """One value of a setting that was swept, and what it cost.

    Attributes:
        setting: the setting's name.
        value: what it was set to; "full" or None is full attention.
        score: the benchmark's headline.
        seconds: wall time a frame, NaN when unknown.
        memory: peak bytes, NaN when unknown.
    """

    setting: str
    value: float | str | None
    score: float
    seconds: float = float("nan")
    memory: float = float("nan")

    @property
    def label(self) -> str:
        """The value in words."""
        if self.value is None:
            return "full"
        return f"{self.value:g}" if isinstance(self.value, int | float) else self.value


@dataclass(frozen=True)
class Strip:
    """A picture for the report, with the words under it.

    Attributes:
        title: what it shows; also read aloud in place of the picture.
        picture: (H, W, 3) uint8.
    """

    title: str
    picture: NDArray[np.uint8]


def featured(results: Sequence[MethodResult], *, headline: str, better: str) -> MethodResult:
    """Return the method that the report is about: the best that is no baseline, or the best of all.

    Raises:
        ValueError: there are no results.
    """
    if not results:
        raise ValueError("a report needs at least one method")
    sign = 1.0 if better == "higher" else -1.0
    own = [result for result in results if base_name(result) not in BASELINES] or list(results)
    return max(own, key=lambda result: np.nan_to_num(sign * result.summary.get(headline, np.nan), nan=-np.inf))


def flow_of(results: Sequence[MethodResult]) -> MethodResult | None:
    """Return the optical flow that others are compared with (Vondrick figures 5 and 6): recursive if it was run."""
    ranked = [result for name in ("flow", "flow-first") for result in results if base_name(result) == name]
    return ranked[0] if ranked else None


def base_name(result: MethodResult) -> str:
    """Return what is named before a method's weights, preset and settings: "flow" of "flow@raft,threshold=0.3"."""
    return re.split("[:@,]", result.name, maxsplit=1)[0]


def shared_scores(ours: MethodResult, other: MethodResult) -> tuple[list[Scores], list[Scores]]:
    """Return both methods' scores on the sequences that both have, in one order."""
    names = [name for name in ours.scores if name in other.scores]
    return [ours.scores[name] for name in names], [other.scores[name] for name in names]


def ranked_sequences(result: MethodResult, benchmark: Benchmark) -> list[tuple[str, float]]:
    """Return the sequences with their headline, the best first; those without a value are left out."""
    headline = benchmark.measures[0]
    values = {name: benchmark.summary([scores]).get(headline.name, np.nan) for name, scores in result.scores.items()}
    known = [(name, value) for name, value in values.items() if np.isfinite(value)]
    return sorted(known, key=lambda pair: pair[1], reverse=headline.better == "higher")
