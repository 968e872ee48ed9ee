"""What `--method` names: a baseline, or an encoder with its weights and settings. One function parses it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from propagate.baselines import PROPAGATORS
from propagate.encoders import ENCODERS
from propagate.errors import ConfigError

PRESETS = ("paper", "tool")
BASELINE_FORMS: Mapping[str, Mapping[str, Mapping[str, Any]]] = {  # baseline -> what may follow its "@" -> options
    "flow": {"tvl1": {"estimator": "tvl1"}, "raft": {"estimator": "raft"}},
    "flow-first": {"tvl1": {"estimator": "tvl1"}, "raft": {"estimator": "raft"}},
    "siftflow": {"first": {"first": True}},
}
THRESHOLDS = (0.1, 0.3, 0.5, 0.7, 0.9)  # Vondrick 4.1: "several thresholds, and use the one that performs the best"


@dataclass(frozen=True)
class Method:
    """One tracker to be scored.

    Attributes:
        name: as it was given: "flow", "resnet18:random", "corrflow@paper".
        kind: a baseline of `PROPAGATORS`, or an encoder of `ENCODERS` under the engine.
        base: the entry's name.
        weights: as `load_encoder` takes them.
        preset: "paper", "tool" or None; of a baseline, its form.
        options: the baseline's own options, or settings of the engine that stand above all others (a sweep's).
        detail: what sets it apart from the method as given, in words: "radius=4".
    """

    name: str
    kind: Literal["baseline", "encoder"]
    base: str
    weights: str | None = None
    preset: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    detail: str = ""

    @property
    def folder(self) -> str:
        """The name of the folder that holds its scores and results."""
        text = ",".join(filter(None, (self.name, self.detail)))
        return re.sub(r"[^A-Za-z0-9._,=@+-]+", "-", text).strip(".-")

    def varied(self, options: Mapping[str, Any], *, detail: str) -> Method:
        """Return the method with other options."""
        return replace(self, options={**self.options, **options}, detail=detail)


def parse_method(text: str) -> Method:
    """Return the method that a word names: identity, flow, flow-first, siftflow, or ENCODER[:WEIGHTS][@PRESET].

    A baseline may name its form after an @: flow@raft, siftflow@first.

    Raises:
        ConfigError: no such baseline, encoder, form or preset.
    """
    head, at, tail = text.rpartition("@")
    base, _, weights = (head if at else text).partition(":")
    if base in PROPAGATORS:
        forms = BASELINE_FORMS.get(base, {})
        if weights:
            raise ConfigError(f"method {text!r}: {base} has no weights")
        if at and tail not in forms:
            raise ConfigError(f"method {text!r}: {base} has no form {tail!r}", hint=_one_of(forms))
        return Method(text, "baseline", base, preset=tail if at else None, options=dict(forms[tail]) if at else {})
    if at and tail not in PRESETS:
        if "/" not in tail and "." not in tail:
            raise ConfigError(f"method {text!r}: no preset is called {tail!r}", hint=_one_of(PRESETS))
        (base, _, weights), at = text.partition(":"), ""  # the @ belongs to a file's name
    if base not in ENCODERS:
        known = [*PROPAGATORS, *ENCODERS]
        raise ConfigError(f"no method is called {base!r}", hint=f"one of {', '.join(known)}")
    return Method(text, "encoder", base, weights=weights or None, preset=tail if at else None)


def variants(method: Method, *, labels: str) -> list[Method]:
    """Return what is run for a method: flow of masks once a threshold, the best of which counts (Vondrick 4.1)."""
    if method.base not in BASELINE_FORMS or labels != "masks":
        return [method]
    return [method.varied({"threshold": value}, detail=f"threshold={value}") for value in THRESHOLDS]


def _one_of(names: Sequence[str] | Mapping[str, object]) -> str:
    return f"one of {', '.join(names)}" if names else "it has none"
