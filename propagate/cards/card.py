"""The model card of weights in Markdown: licence, network, data, training, and the scores of evaluations."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.resources import files
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from torch import nn

from propagate.cards.facts import (
    Rows,
    curve_rows,
    data_rows,
    licence,
    settings_words,
    tier_rows,
    weights_facts,
    wordy_columns,
)
from propagate.cards.pack import NEVER
from propagate.config import resolve
from propagate.encoders import ENCODERS
from propagate.encoders.build import as_module, build_on_meta
from propagate.encoders.library import WeightsInfo
from propagate.encoders.weights import whole_preset
from propagate.errors import ConfigError, InputError
from propagate.evaluation import BENCHMARKS
from propagate.evaluation.analysis.bootstrap import Interval, RunIntervals
from propagate.evaluation.protocol import Benchmark, Scores
from propagate.evaluation.report.sections import verdict
from propagate.evaluation.report.tables import format_interval, format_number, table_rows
from propagate.evaluation.results import MethodResult, shared_scores
from propagate.training import OBJECTIVES

if TYPE_CHECKING:
    from jinja2 import Template

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


def method_rows(scored: ScoredFolder, intervals: RunIntervals) -> Rows:
    """Return every method with its figures, the headline with its 95 % interval."""
    headline = scored.benchmark.measures[0].name
    shown = {
        r.name: {name: interval for name, interval in intervals.of(r).items() if name == headline}
        for r in scored.results
    }
    return table_rows(scored.benchmark, scored.results, intervals=shown)


def sequence_rows(scored: ScoredFolder, ours: MethodResult) -> Rows:
    """Return the figures of one method on every sequence."""
    rows = [["sequence", *(measure.name for measure in scored.benchmark.measures)]]
    for name, scores in ours.scores.items():
        summary = scored.benchmark.summary([scores])
        rows.append([name, *(format_number(summary[m.name], m.digits) for m in scored.benchmark.measures)])
    return rows


def difference_rows(scored: ScoredFolder, ours: MethodResult, intervals: RunIntervals) -> Rows:
    """Return how far one method is ahead of every other, with paired intervals; the header alone without another."""
    measure = scored.benchmark.measures[0]
    rows = [[f"{measure.name}, against", "difference", "these sequences", "others like these", "so on others"]]
    for other in scored.results:
        over = None if other is ours else intervals.difference(ours, other, level="sequences")
        if over is not None:
            near = intervals.difference(ours, other, level="frames")
            said = verdict(over, measure, sequences=len(shared_scores(ours, other)[0]))
            cells = [_between(near, measure.digits), _between(over, measure.digits), said]
            rows.append([other.name, f"{over.value:+.{measure.digits}f}", *cells])
    return rows


def _between(interval: Interval | None, digits: int) -> str:
    return (format_interval(interval, digits) if interval else "") or "–"


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


_LAYERS = (nn.Conv2d, nn.Conv3d, nn.Linear)
_APART = ("licence", "command", "settings.yaml")  # facts that do not stand in the table


def card(infos: Sequence[WeightsInfo], scored: Sequence[ScoredFolder], *, resamples: int | None = None) -> str:
    """Return the card of some files of weights, a section each.

    Args:
        infos: what is known of the files.
        scored: evaluations, each shown with the weights that have a part in it.
        resamples: draws of each bootstrap, None to choose by the size of the data.

    Raises:
        ConfigError: scores of other weights.
    """
    check_scores(scored, infos)
    sections = []
    for info in infos:
        with_part = [(one, ours) for one in scored if (ours := one.of(info)) is not None]
        scores = [_scores(one, ours, info, resamples=resamples) for one, ours in with_part]
        sections.append({**_about(info), "scores": scores})
    return _template().render(files=sections)


def _template() -> Template:
    """Return the page, which lies beside this file."""
    from jinja2 import Environment, StrictUndefined

    page = Environment(  # of Markdown: nothing is escaped
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True, undefined=StrictUndefined, autoescape=False
    )
    page.filters |= {"table": markdown_table, "cell": _cell}
    return page.from_string((files("propagate.cards") / "card.md.j2").read_text(encoding="utf-8"))


def markdown_table(rows: Rows) -> str:
    """Return a table, its header first; columns of words to the left, columns of numbers to the right."""
    lines = ["| " + " | ".join(map(_cell, row)) + " |" for row in rows]
    rule = "|" + "|".join(" --- " if wordy else " ---: " for wordy in wordy_columns(rows)) + "|"
    return "\n".join([lines[0], rule, *lines[1:]])


def _cell(text: str) -> str:
    """Return the text of a table's cell, in which a bar is no border."""
    return text.replace("|", "\\|")


def _about(info: WeightsInfo) -> dict[str, Any]:
    """Return what the page says of a file by itself, by the names of the template."""
    training, facts = info.header.training, weights_facts(info)
    names: dict[str, set[str]] = {}
    for row in training.get("data", []):
        names.setdefault(row["license_tier"], set()).update(row["sources"])
    extra = training.get("command_settings")
    return {
        "name": info.path.stem,
        "licence": licence(info),
        "purpose": _purpose(info),
        "facts": {label: words for label, words in facts.items() if label not in _APART},
        "command": facts.get("command"),
        "command_settings": _yaml(extra) if extra else None,
        "data": data_rows(training),
        "tiers": tier_rows(training),
        "sources": {tier: ", ".join(sorted(found)) or "not named" for tier, found in names.items()},
        "curve": curve_rows(training),
    }


def _purpose(info: WeightsInfo) -> str:
    """Return what the network is, and what it was taught."""
    encoder = build_on_meta(info.header.encoder, info.header.settings)
    layers = sum(isinstance(module, _LAYERS) for module in as_module(encoder).modules())
    said = f"Network. {_about_module(ENCODERS[encoder.name])}"
    shape = f"{layers} layers of weights, {encoder.channels} channels, a cell every {encoder.stride} pixels."
    objective = str(info.header.training.get("objective"))
    taught = f" Objective. {_about_module(OBJECTIVES[objective])}" if objective in OBJECTIVES else ""
    return f"{said} {shape}{taught}"


def _about_module(kind: type) -> str:
    """Return the line that says what the file of a class is about; its name where docstrings are stripped."""
    text = inspect.getdoc(inspect.getmodule(kind)) or f"`{kind.__name__}`."
    return text.partition("\n")[0]


def _yaml(settings: Mapping[str, Any]) -> str:
    """Return settings as YAML in one line."""
    import yaml

    return str(yaml.safe_dump(dict(settings), default_flow_style=True, width=10_000)).strip()


def _scores(scored: ScoredFolder, ours: MethodResult, info: WeightsInfo, *, resamples: int | None) -> dict[str, Any]:
    """Return what the page says of one evaluation of a file, by the names of the template."""
    intervals = RunIntervals(scored.benchmark, scored.results, resamples=resamples)
    return {
        "data": scored.data,
        "benchmark": scored.benchmark.name,
        "name": ours.name,
        "unlike": settings_words(unlike_preset(ours, info)),
        "methods": method_rows(scored, intervals),
        "sequences": sequence_rows(scored, ours),
        "differences": difference_rows(scored, ours, intervals),
        "draws": intervals.resamples,
    }
