"""What a file of weights says of itself, in words and tables, for the terminal and for its card."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from propagate.encoders.library import WeightsInfo
from propagate.settings import current_names
from propagate.training import OBJECTIVES
from propagate.training.config import TrainConfig

Rows = list[list[str]]  # of a table, its header first
TIERS = {  # of licences, as manifests name them
    "permissive": "under a permissive licence",
    "noncommercial": "for non-commercial use only",
    "3rdparty": "footage of third parties, which the licence of its repository need not cover",
    "none": "without a licence that is stated",
    "unknown": "of which no manifest names a licence",
}
_TOLD = (  # parts of a training record that have words or a table of their own
    *(
        "license",
        "objective",
        "settings",
        "command",
        "command_settings",
        "step",
        "steps",
        "minutes",
        "hardware",
        "date",
    ),
    *("validation", "curve", "data", "footage", "clusters"),
)
_NUMBER = re.compile(r"[+-]?\d[\d.,]*( |$)")  # an interval may follow
_SHORT = 60  # characters of a value that is shown as it is
_SWATCH_LIGHTNESS = 65.0  # L of Lab at which clusters of a and b are shown
_BRIEF = 40  # characters of a licence in a list


def licence(info: WeightsInfo) -> str | None:
    """Return what the weights may be used for, None when the file does not say."""
    found = info.header.training.get("license")
    return str(found) if found else None


def brief_licence(info: WeightsInfo) -> str:
    """Return the licence for a list: what stands before its first colon, nothing when the file does not say."""
    text = (licence(info) or "").partition(":")[0]
    return text if len(text) <= _BRIEF else f"{text[: _BRIEF - 3]}..."


def weights_facts(info: WeightsInfo) -> dict[str, str]:
    """Return label -> words, in the order in which a person wants them; what the file does not say is left out."""
    from propagate.encoders.weights import whole_preset  # torch, which a list of weights does without

    header, training = info.header, info.header.training
    facts = {
        "licence": licence(info),
        "encoder": ": ".join(filter(None, [header.encoder, settings_words(header.settings)])),
        "parameters": f"{info.parameters:,}",
        "size": f"{info.size / 1e6:.1f} MB, {info.dtype}",
        "preset": settings_words(whole_preset(header)),
        "objective": OBJECTIVES.present_name(training["objective"]) if "objective" in training else None,
        **{name: _words(value) for name, value in training.items() if name not in _TOLD and value is not None},
        "settings": settings_words(unusual_settings(training)),
        "command": training.get("command"),
        "settings.yaml": settings_words(training.get("command_settings", {})),
        "steps": _steps(training),
        "minutes": _words(training.get("minutes", "")),
        "hardware": training.get("hardware"),
        "date": training.get("date"),
        "validation": settings_words(training.get("validation", {})),
        "footage": _footage(training),
        "clusters": " ".join(swatches(training)),
        "SHA-256": info.digest,
    }
    return {label: str(words) for label, words in facts.items() if words}


def unusual_settings(training: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a training that differ from the defaults of `TrainConfig`, whoever chose them."""
    usual = asdict(TrainConfig())
    settings = current_names(TrainConfig, training.get("settings", {}))
    return {name: value for name, value in settings.items() if usual.get(name) != value}


def data_rows(training: Mapping[str, Any]) -> Rows:
    """Return the table of what was learnt from, with the sums below; nothing when the file does not say."""
    data = training.get("data", [])
    if not data:
        return []
    rows = [["folder", "licence tier", "clips", "minutes", "sources"]]
    rows += [_data_row(d["folder"], d["license_tier"], [d]) for d in data]
    return [*rows, _data_row("all", "", data)]


def tier_rows(training: Mapping[str, Any]) -> Rows:
    """Return the same data by licence tier, with what the tier means; nothing when the file does not say."""
    tiers: dict[str, list[Mapping[str, Any]]] = {}
    for row in training.get("data", []):
        tiers.setdefault(row["license_tier"], []).append(row)
    rows = [[tier, TIERS.get(tier, ""), *_data_row("", "", parts)[2:]] for tier, parts in tiers.items()]
    return [["licence tier", "meaning", "clips", "minutes", "sources"], *rows] if rows else []


def curve_rows(training: Mapping[str, Any]) -> Rows:
    """Return the learning curve as a table; nothing when the file does not say."""
    curve = training.get("curve", [])
    names = list(dict.fromkeys(name for point in curve for name in point.get("validation", {})))
    timed = ["minutes"] if any("minutes" in point for point in curve) else []
    rows = [["step", *timed, "loss", *(f"validation {name}" for name in names)]]
    for point in curve:
        found = point.get("validation", {})
        times = [f"{point.get('minutes', float('nan')):.1f}" for _ in timed]
        figures = [f"{found[name]:.4f}" if name in found else "" for name in names]
        rows.append([str(point["step"]), *times, f"{point['loss']:.4f}", *figures])
    return rows if curve else []


def swatches(training: Mapping[str, Any]) -> list[str]:
    """Return the clusters of colours that were fitted on the data, as sRGB "#rrggbb" at one lightness; often none.

    Colours outside sRGB are brought to its border.
    """
    clusters = training.get("clusters")
    if not clusters:
        return []
    from skimage.color import lab2rgb

    lab = np.array([[_SWATCH_LIGHTNESS, a, b] for a, b in clusters])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of colours outside sRGB
        rgb = (lab2rgb(lab).clip(0, 1) * 255).round().astype(int)
    return [f"#{red:02x}{green:02x}{blue:02x}" for red, green, blue in rgb]


def settings_words(settings: Mapping[str, Any]) -> str:
    """Return settings in one line: "size 480, radius 12"."""
    return ", ".join(f"{name} {_words(value)}" for name, value in settings.items())


def weights_lines(info: WeightsInfo) -> list[str]:
    """Return what the file says of itself as lines for a terminal, the licence first."""
    training = info.header.training
    lines = [f"{label:<14} {words}" for label, words in weights_facts(info).items()]
    for rows in (data_rows(training), curve_rows(training)):
        lines += ["", *aligned(rows)] if rows else []
    return lines


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return a table as lines of text: columns of words to the left, columns of numbers to the right."""
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    return [
        "  ".join(
            cell.ljust(width) if left else cell.rjust(width)
            for cell, width, left in zip(row, widths, wordy_columns(rows), strict=True)
        ).rstrip()
        for row in rows
    ]


def wordy_columns(rows: Sequence[Sequence[str]]) -> list[bool]:
    """Return for each column of a table whether it holds words, not numbers."""
    return [not any(_NUMBER.match(row[place]) for row in rows[1:]) for place in range(len(rows[0]))]


def _data_row(folder: str, tier: str, parts: Sequence[Mapping[str, Any]]) -> list[str]:
    sources = {name for part in parts for name in part["sources"]}
    clips, minutes = (sum(part[name] for part in parts) for name in ("clips", "minutes"))
    return [folder, tier, str(clips), f"{minutes:.1f}", str(len(sources))]


def _steps(training: Mapping[str, Any]) -> str:
    """Return how many steps were done, and whose weights these are if they are not the last."""
    steps, step = training.get("steps"), training.get("step")
    if steps is None or step is None or steps == step:
        return _words(next((known for known in (steps, step) if known is not None), ""))
    return f"{steps}, of which these are the weights after {step}"


def _footage(training: Mapping[str, Any]) -> str:
    used = training.get("footage")
    if not used:
        return ""
    held = f"{used['held_out_shots']} shots, {used['held_out_minutes']:.1f} minutes held out"
    return f"{used['shots']} shots, {used['minutes']:.1f} minutes; {held}"


def _words(value: object) -> str:
    """Return a value in words, a long list by its length."""
    if isinstance(value, bool) or value is None:
        return "none" if value is None else "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    text = str(value)
    return text if len(text) <= _SHORT or isinstance(value, str) else f"{len(text)} characters of values"
