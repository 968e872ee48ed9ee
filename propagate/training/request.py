"""What a training run is asked for, its settings, and the record that it is known by."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import propagate
from propagate.config import read_settings, read_yaml
from propagate.encoders.library import find_weights
from propagate.encoders.protocol import Encoder
from propagate.encoders.weights import open_encoder
from propagate.encoders.weights_file import file_digest
from propagate.errors import ConfigError
from propagate.runs.record import Record, relative_to
from propagate.runs.request import never
from propagate.settings import current_names
from propagate.training import OBJECTIVES
from propagate.training.config import TrainConfig, check_objective, resolve_training
from propagate.training.data.footage import Footage

_MACHINE = ("device", "threads", "save_every", "log_every")  # they do not make it another run


@dataclass(frozen=True)
class TrainInputs:
    """What the user named the data of a run by, for run.yaml, from which the run can be repeated.

    Attributes:
        videos: words that name videos.
        prepare: the folder of prepared footage, None without one.
        side: pixels of the short side of the small frames; None: the default.
        validate: labelled sequences, None without them.
    """

    videos: tuple[str, ...] = ()
    prepare: Path | None = None
    side: int | None = None
    validate: Path | None = None

    def record(self, base: Path) -> dict[str, Any]:
        """Return them as plain data, paths as seen from a folder, so that both may be moved together."""
        return {
            "videos": [relative_to(base, Path(word).expanduser()) for word in self.videos],
            "prepare": self.prepare and relative_to(base, self.prepare.expanduser()),
            "side": self.side,
            "validation": self.validate and relative_to(base, self.validate.expanduser()),
        }

    @classmethod
    def read(cls, path: Path) -> TrainInputs:
        """Return the inputs that a run.yaml holds; none where it is a file of settings only.

        Raises:
            ConfigError: it cannot be read or understood.
        """
        content = read_yaml(path)
        found = content.get("inputs") if isinstance(content, dict) else None
        found = found if isinstance(found, dict) else {}
        words, side = found.get("videos") or [], found.get("side")
        prepare, validate = found.get("prepare"), found.get("validation")
        texts = [*(words if isinstance(words, list) else [None]), prepare or "", validate or ""]
        if not all(isinstance(text, str) for text in texts) or type(side) not in (int, type(None)):
            raise ConfigError(f"{path}: its inputs are not those of a training run", hint="give VIDEOS")
        folder = path.parent
        return cls(
            tuple(os.path.normpath(folder / word) for word in words),
            prepare and Path(os.path.normpath(folder / prepare)),
            side,
            validate and Path(os.path.normpath(folder / validate)),
        )


@dataclass(frozen=True)
class TrainRequest:
    """What is asked of a training run.

    Attributes:
        footage: the videos, opened.
        out: the folder of weights, log, checkpoints and pictures.
        flags: fields of `TrainConfig` that were given.
        settings_file: a YAML file of them, such as the run.yaml of another run.
        labelled: a folder in DAVIS's layout, for J as validation; None takes held-out footage.
        inputs: what the user named all this by.
        workers: threads that assemble batches.
        force: begin again where another run is.
        stop: asked after every step; a signal's number saves and stops.
    """

    footage: Footage
    out: Path
    flags: Mapping[str, Any] = field(default_factory=dict)
    settings_file: Path | None = None
    labelled: Path | None = None
    inputs: TrainInputs = field(default_factory=TrainInputs)
    workers: int = 1
    force: bool = False
    stop: Callable[[], int | None] = never


def settle_training(request: TrainRequest) -> TrainConfig:
    """Return the settings: defaults < the objective's preset < the file < the flags.

    Raises:
        ConfigError: an unknown setting, value or objective, a flag of other objectives, or nothing that ends the run.
    """
    layers = [read_settings(request.settings_file) if request.settings_file else {}, dict(request.flags)]
    asked = resolve_training(*layers)
    check_objective(asked.objective, current_names(TrainConfig, request.flags))
    preset = dict(OBJECTIVES[asked.objective].preset)
    if asked.init is not None and asked.encoder is None:
        preset["encoder"] = read_encoder(asked.init)
    config = resolve_training(preset, *layers)
    if config.steps is None and config.minutes is None:
        raise ConfigError("nothing ends this run", hint="give --steps or --minutes")
    return config


def run_record(request: TrainRequest, config: TrainConfig) -> Record:
    """Return the content of run.yaml: what is learnt from, all settings, and apart those that make no other run."""
    inputs = replace(request.inputs, validate=request.labelled).record(request.out)
    return {
        "command": "train",
        "version": propagate.__version__,
        "inputs": {
            **inputs,
            "footage": request.footage.digest,
            "init": None if config.start is None else file_digest(find_weights(config.start)),
        },
        "settings": {name: value for name, value in dataclasses.asdict(config).items() if name not in _MACHINE},
        "machine": {name: getattr(config, name) for name in _MACHINE},
    }


def read_encoder(weights: str) -> str | None:
    """Return the name of the encoder that weights to go on from are for; None for random ones.

    Raises:
        WeightsError: there are none of this name, or they are damaged.
    """
    return None if weights == "random" else open_encoder(None, weights).name


def initial_encoder(config: TrainConfig) -> Encoder | None:
    """Return the encoder of the weights to go on from, or a new one; None lets the objective build its own.

    Raises:
        ConfigError: padding, stride or layers are asked for that the weights do not have.
        WeightsError: `init` names no weights of this encoder.
    """
    chosen = {"padding": config.padding, "stride": config.stride, "layers": config.layers}
    settings = {name: value for name, value in chosen.items() if value is not None}
    if config.start is not None:
        encoder = open_encoder(config.encoder, config.start)
        for name, value in settings.items():
            if encoder.settings.get(name) != value:
                raise ConfigError(f"{name} is {value}, but {config.init} has {encoder.settings.get(name)}")
        return encoder
    if config.encoder is None:
        return None
    return open_encoder(config.encoder, "random", seed=config.seed, settings=settings)
