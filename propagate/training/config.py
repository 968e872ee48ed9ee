"""Every setting of a training run, its default, unit and source: written once, here."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from propagate.config import merge
from propagate.errors import ConfigError


@dataclass(frozen=True)
class TrainConfig:
    """How an encoder is trained. Each objective's own preset stands above these defaults."""

    # What is learnt.
    objective: str = "propagate"  # an entry of OBJECTIVES
    encoder: str | None = None  # an entry of ENCODERS; None: the objective's own
    init: str | None = None  # weights to go on from; None: random ones
    padding: Literal["zeros", "reflect"] | None = None  # of an encoder with random weights; None: its own
    stride: int | None = None  # of one, likewise
    layers: int | None = None  # of one, likewise: the last layer of the trunk

    # Clips.
    size: int = 256  # pixels, side of the square that the encoder sees
    frames: int | None = None  # of a clip; None: the objective's own number
    rate: float | None = None  # frames a second; None: neighbouring frames of the footage
    framing: Literal["squash", "crop"] = "crop"
    crop_from: float = 0.5  # share of the short side that the smallest crop shows, of the objective `propagate`
    crop_to: float = 1.0  # and the largest
    flip: bool = True
    jitter_crops: int = 0  # pixels of `size` by which frames of a clip are cut apart, of `colorization`; no paper's
    copy_paste: int = 0  # pieces of other clips that move across each, of `colorization`; no paper's
    stretch_chroma: float = 0.0  # Lab units to which the chroma of a clip is spread, of `colorization`; no paper's

    # How long and how fast.
    steps: int | None = None  # None: until `minutes` are over
    minutes: float | None = None  # wall time, validations included
    batch: int = 8  # clips a step, over all processes
    optimizer: Literal["adam", "adamw"] = "adam"
    learning_rate: float = 1e-4
    schedule: Literal["constant", "vondrick", "corrflow", "cosine"] = "cosine"  # by share of the run, see `schedule`
    warmup: float = 0.0  # share of the run over which the rate rises from 0
    beta1: float = 0.9
    weight_decay: float = 0.0
    clip_gradient: float | None = None  # greatest norm

    # Of the objectives.
    clusters: int = 16  # quantised colours (Vondrick 3.2, CorrFlow 3.5)
    temperature: float = 1.0  # divides similarity
    radius: int | None = None  # cells; None looks everywhere (CorrFlow 3.3: 6; off: None)
    color_dropout: bool = True  # CorrFlow 3.2; off: grey input
    scheduled_sampling: bool = True  # CorrFlow 3.4.1; off: true frames always
    cycle: bool = True  # CorrFlow 3.4.2
    inliers: bool = False  # TimeCycle's published code in place of L_sim (3.1): the share of affinity that agrees
    queries: int = 1  # TimeCycle's patches of a clip
    recipe: str = ""  # of the objective `propagate`: its terms and weights, see there

    # The machine.
    device: str = "auto"
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"  # of the forward pass
    threads: int | None = None
    seed: int = 0
    log_every: int = 10  # steps between lines of the log
    save_every: float = 5.0  # minutes between checkpoints
    validations: int = 10  # over the whole run, evenly by the share of it that is done
    held_out: float = 0.02  # share of the shots that are kept for validation

    @property
    def start(self) -> str | None:
        """The weights to go on from; None where they are random."""
        return None if self.init == "random" else self.init

    def __post_init__(self) -> None:
        for name, low in _LEAST.items():
            if (value := getattr(self, name)) is not None or name not in _OPTIONAL:
                _at_least(name, value, low)
        for name in _POSITIVE:
            if (value := getattr(self, name)) is not None or name not in _OPTIONAL:
                _above_zero(name, value)
        for name in _FROM_ZERO:
            _from_zero(name, getattr(self, name))
        for name in _SHARES:
            _below_one(name, getattr(self, name))
        for name, allowed in _CHOICES.items():
            if getattr(self, name) not in allowed:
                listed = ", ".join(map(str, allowed))
                raise ConfigError(f"{name} is {getattr(self, name)!r}, expected one of {listed}")
        if not self.crop_from <= self.crop_to <= 1:
            raise ConfigError(f"crops from {self.crop_from} to {self.crop_to}, expected a range within 0 to 1")
        if not isinstance(self.recipe, str):
            raise ConfigError(f"recipe is {self.recipe!r}, expected text such as 'warp:1,lab:0.5'")


OWN: Mapping[str, tuple[str, ...]] = {  # settings that only these objectives have
    **dict.fromkeys(("crop_from", "crop_to", "recipe"), ("propagate",)),
    **dict.fromkeys(("jitter_crops", "copy_paste", "stretch_chroma"), ("colorization",)),
    **dict.fromkeys(("radius", "color_dropout", "scheduled_sampling", "cycle"), ("corrflow",)),
    **dict.fromkeys(("inliers", "queries"), ("timecycle",)),
    "clusters": ("colorization", "corrflow"),
}
_LEAST = {
    **{"size": 16, "batch": 1, "queries": 1, "clusters": 2, "log_every": 1, "validations": 1, "seed": 0},
    **{"frames": 1, "steps": 1, "radius": 1, "threads": 1, "jitter_crops": 0, "copy_paste": 0},
}
_POSITIVE = (
    *("learning_rate", "temperature", "save_every", "crop_from", "crop_to"),
    *("minutes", "rate", "clip_gradient"),
)
_FROM_ZERO = ("stretch_chroma",)
_SHARES = ("warmup", "held_out", "beta1", "weight_decay")
_OPTIONAL = ("frames", "steps", "radius", "threads", "minutes", "rate", "clip_gradient")  # None means something
_CHOICES: dict[str, tuple[object, ...]] = {
    "framing": ("squash", "crop"),
    "optimizer": ("adam", "adamw"),
    "schedule": ("constant", "vondrick", "corrflow", "cosine"),
    "padding": (None, "zeros", "reflect"),
    "stride": (None, 4, 8),
    "layers": (None, 2, 3, 4),
    "dtype": ("auto", "float32", "bfloat16"),
    "flip": (True, False),
    "color_dropout": (True, False),
    "scheduled_sampling": (True, False),
    "cycle": (True, False),
    "inliers": (True, False),
}


def _at_least(name: str, value: object, low: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < low:
        raise ConfigError(f"{name} is {value!r}, expected a whole number of at least {low}")


def _above_zero(name: str, value: object) -> None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not 0 < float(str(value)) < math.inf:
        raise ConfigError(f"{name} is {value!r}, expected a number above 0")


def _from_zero(name: str, value: object) -> None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not 0 <= float(str(value)) < math.inf:
        raise ConfigError(f"{name} is {value!r}, expected 0 or more")


def _below_one(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1:
        raise ConfigError(f"{name} is {value!r}, expected a number from 0 to below 1")


def resolve_training(*layers: Mapping[str, Any]) -> TrainConfig:
    """Return the settings of several layers, the later ones winning over the earlier and over the defaults.

    Raises:
        ConfigError: an unknown setting, with the nearest name, or a value that it cannot take.
    """
    return TrainConfig(**merge(TrainConfig, layers))
