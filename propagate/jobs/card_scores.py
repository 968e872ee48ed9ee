"""What `propagate evaluate` wrote, read back for the card of a file of weights: whose scores they are, and tables."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path, PurePath
from typing import Any

from propagate.config import resolve
from propagate.encoders.library import WeightsInfo
from propagate.encoders.weights import whole_preset
from propagate.errors import ConfigError, InputError
from propagate.evaluation import BENCHMARKS
from propagate.evaluation.analysis.bootstrap import Interval
from propagate.evaluation.analysis.run_intervals import RunIntervals
from propagate.evaluation.analysis.run_values import MethodResult, shared_scores
from propagate.evaluation.protocol import Benchmark, Scores
from propagate.evaluation.report.sections import verdict
from propagate.evaluation.report.tables import between, figure, table_rows
from propagate.jobs.pack import NEVER
from propagate.jobs.weights_facts import Rows

DIGEST = "weights_sha256"  # in the settings of a method that has weights
_FOLDERS = re.compile(r"[^\s:]*[/\\](?=[^/\\\s])")  # of a path within the name of a method


@dataclass(frozen=True)
class ScoredFolder:
    """The scores of one evaluation.

    Attributes:
        folder: where they lie.
        benchmark: what was measured.
        data: the name of the data's folder.
        results: a method each, without a path of this machine in its name.
    """

    folder: Path
    benchmark: Benchmark
    data: str
    results: tuple[MethodResult, ...]

    def of(self, info: WeightsInfo) -> MethodResult | None:
        """Return what a file of weights got: with its own preset if that was scored, else the first; None without."""
        own = [result for result in self.results if result.settings.get(DIGEST) == info.digest]
        return next((result for result in own if not unlike_preset(result, info)), own[0] if own else None)


def read_scores(folder: Path) -> ScoredFolder:
    """Return the scores that `propagate evaluate -o` wrote into a folder.

    Raises:
        InputError: there are none, or they are damaged.
        ConfigError: they are of an unknown benchmark.
    """
    path = folder / "results.json"
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        benchmark: Benchmark = BENCHMARKS[data["benchmark"]](Path(data["root"]))
        results = tuple(_result(method, benchmark) for method in data["methods"])
    except OSError as error:
        hint = "give a folder that `propagate evaluate -o` wrote"
        raise InputError(f"{path}: cannot be read: {error.strerror or error}", hint=hint) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: cannot be understood: {error}", hint="evaluate again") from error
    return ScoredFolder(folder, benchmark, PurePath(data["root"]).name, results)


def check_scores(scored: Sequence[ScoredFolder], infos: Sequence[WeightsInfo]) -> None:
    """Refuse scores in which none of the weights has a part.

    Raises:
        ConfigError: a folder's methods were run with other weights, or none.
    """
    for one in scored:
        if all(one.of(info) is None for info in infos):
            asked = ", ".join(f"{info.path.name} ({info.digest[:8]})" for info in infos)
            there = ", ".join(f"{r.name} ({str(r.settings.get(DIGEST) or 'no weights')[:10]})" for r in one.results)
            hint = "evaluate these weights again"
            raise ConfigError(f"{one.folder}: are not the scores of {asked}, but of {there}", hint=hint)


def unlike_preset(result: MethodResult, info: WeightsInfo) -> dict[str, Any]:
    """Return the settings in which a scored run differed from what the weights bring and the defaults."""
    used: Mapping[str, Any] = result.settings.get("settings", {})
    own = asdict(resolve(whole_preset(info.header)))
    return {name: used[name] for name in own if name in used and name not in NEVER and used[name] != own[name]}


def method_rows(scored: ScoredFolder, spans: RunIntervals) -> Rows:
    """Return every method with its figures, the headline with its 95 % interval."""
    headline = scored.benchmark.measures[0].name
    shown = {r.name: {name: span for name, span in spans.of(r).items() if name == headline} for r in scored.results}
    return table_rows(scored.benchmark, scored.results, intervals=shown)


def sequence_rows(scored: ScoredFolder, ours: MethodResult) -> Rows:
    """Return the figures of one method on every sequence."""
    rows = [["sequence", *(measure.name for measure in scored.benchmark.measures)]]
    for name, scores in ours.scores.items():
        summary = scored.benchmark.summary([scores])
        rows.append([name, *(figure(summary[m.name], m.digits) for m in scored.benchmark.measures)])
    return rows


def difference_rows(scored: ScoredFolder, ours: MethodResult, spans: RunIntervals) -> Rows:
    """Return how far one method is ahead of every other, with paired intervals; the header alone without another."""
    measure = scored.benchmark.measures[0]
    rows = [[f"{measure.name}, against", "difference", "these sequences", "others like these", "so on others"]]
    for other in scored.results:
        over = None if other is ours else spans.difference(ours, other, level="sequences")
        if over is not None:
            near = spans.difference(ours, other, level="frames")
            said = verdict(over, measure, sequences=len(shared_scores(ours, other)[0]))
            cells = [_between(near, measure.digits), _between(over, measure.digits), said]
            rows.append([other.name, f"{over.value:+.{measure.digits}f}", *cells])
    return rows


def _between(span: Interval | None, digits: int) -> str:
    return (between(span, digits) if span else "") or "–"


def _result(method: Mapping[str, Any], benchmark: Benchmark) -> MethodResult:
    """Return a method of results.json; its summary is made anew of its sequences."""
    scores = {one["case"]: Scores.from_json(one) for one in method["sequences"]}
    settings = dict(method["settings"])
    name = _plain_name(method["name"], settings.get(DIGEST))
    return MethodResult(
        name, scores, benchmark.summary(list(scores.values())), detail=method["detail"], settings=settings
    )


def _plain_name(name: str, digest: str | None) -> str:
    """Return a method's name without the folders of its weights; the start of their digest tells it from others."""
    short = _FOLDERS.sub("", name)
    return f"{short} ({digest[:8]})" if digest and short != name else short
