"""The job of `propagate weights card`: files of weights and their scores in, a model card in Markdown out."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from propagate.encoders import ENCODERS
from propagate.encoders.build import as_module, build_on_meta
from propagate.encoders.library import WeightsInfo
from propagate.evaluation.analysis.run_intervals import RunIntervals
from propagate.jobs.card_scores import (
    ScoredFolder,
    check_scores,
    difference_rows,
    method_rows,
    sequence_rows,
    unlike_preset,
)
from propagate.jobs.weights_facts import (
    Rows,
    curve_rows,
    data_rows,
    licence,
    settings_words,
    tier_rows,
    weights_facts,
    wordy_columns,
)
from propagate.training import OBJECTIVES

UNSAID = "The file does not say what it may be used for: take it for research only."
_LAYERS = (nn.Conv2d, nn.Conv3d, nn.Linear)
_APART = ("licence", "command", "settings.yaml")  # facts that do not stand in the table
HEAD = """# Weights

This page is what `propagate weights card` writes. All figures come from the files of weights and from the scores that
`propagate evaluate` made with them; none is typed by hand."""


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
    parts = [HEAD]
    for info in infos:
        parts += _about(info)
        for one in scored:
            parts += _scores(one, info, resamples=resamples)
    return "\n\n".join(parts) + "\n"


def markdown_table(rows: Rows) -> str:
    """Return a table, its header first; columns of words to the left, columns of numbers to the right."""
    lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    rule = "|" + "|".join(" --- " if wordy else " ---: " for wordy in wordy_columns(rows)) + "|"
    return "\n".join([lines[0], rule, *lines[1:]])


def _about(info: WeightsInfo) -> list[str]:
    """Return the parts of a section that need the file alone."""
    training, facts = info.header.training, weights_facts(info)
    parts = [
        f"## {info.path.stem}",
        f"**Licence: {licence(info) or UNSAID}**",
        _purpose(info),
        _facts_table({label: words for label, words in facts.items() if label not in _APART}),
    ]
    if command := facts.get("command"):
        parts.append(f"Made by\n\n```sh\n{command}\n```")
    if extra := training.get("command_settings"):
        parts.append(f"with `settings.yaml` holding `{_yaml(extra)}`")
    return [*parts, *_data(training), *_curve(training)]


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


def _facts_table(facts: Mapping[str, str]) -> str:
    rows = [f"| {label} | {words.replace('|', chr(92) + '|')} |" for label, words in facts.items()]
    return "\n".join(["| | |", "| --- | --- |", *rows])


def _yaml(settings: Mapping[str, Any]) -> str:
    """Return settings as YAML in one line."""
    import yaml

    return str(yaml.safe_dump(dict(settings), default_flow_style=True, width=10_000)).strip()


def _data(training: Mapping[str, Any]) -> list[str]:
    """Return what was learnt from, by folder and by licence, and the names of the sources."""
    if not training.get("data"):
        return ["The file does not say what it was learnt from."]
    names: dict[str, set[str]] = {}
    for row in training["data"]:
        names.setdefault(row["license_tier"], set()).update(row["sources"])
    lists = [f"- {tier}: {', '.join(sorted(found)) or 'not named'}" for tier, found in names.items()]
    return [
        "### Data",
        "Video without labels. Nothing of it is in this repository; who uses the weights answers for the licences.",
        markdown_table(data_rows(training)),
        markdown_table(tier_rows(training)),
        "Sources by licence tier:\n\n" + "\n".join(lists),
    ]


def _curve(training: Mapping[str, Any]) -> list[str]:
    rows = curve_rows(training)
    words = "The loss is the mean over the logged steps since the row above."
    return ["### Curve", words, markdown_table(rows)] if rows else []


def _scores(scored: ScoredFolder, info: WeightsInfo, *, resamples: int | None) -> list[str]:
    """Return the parts on one evaluation; none where the weights have no part in it."""
    ours = scored.of(info)
    if ours is None:
        return []
    spans = RunIntervals(scored.benchmark, scored.results, resamples=resamples)
    unlike = unlike_preset(ours, info)
    own = f"with {settings_words(unlike)} in place of the preset's" if unlike else "with its own preset"
    differences = difference_rows(scored, ours, spans)
    parts = [
        f"### Scores on {scored.data}: {scored.benchmark.name}",
        f"This file is `{ours.name}`, {own}. In brackets: 95 % intervals over sequences.",
        markdown_table(method_rows(scored, spans)),
        f"`{ours.name}` on every sequence:",
        markdown_table(sequence_rows(scored, ours)),
    ]
    if len(differences) > 1:
        words = (
            f"of {spans.resamples} paired bootstrap draws: of blocks of frames within each sequence, and of sequences"
        )
        parts += [f"`{ours.name}` minus each other method, with 95 % intervals {words}:", markdown_table(differences)]
    return parts
