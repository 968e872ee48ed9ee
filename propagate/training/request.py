"""What a training run is asked for, its settings, and its claim on a folder."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

import propagate
from propagate.config import read_settings
from propagate.encoders.library import find_weights
from propagate.encoders.protocol import Encoder
from propagate.encoders.weights import open_encoder
from propagate.encoders.weights_file import file_digest
from propagate.errors import ConfigError, ConflictError
from propagate.formats.atomic import write_text
from propagate.runs.folder import unwritable
from propagate.runs.legacy import LOCK, is_same_run, remove
from propagate.runs.run import never
from propagate.settings import current_names
from propagate.training import OBJECTIVES
from propagate.training.config import TrainConfig, check_objective, resolve_training
from propagate.training.data.footage import Footage

_MACHINE = ("device", "threads", "save_every", "log_every")  # they do not make it another run
_WRITTEN = ("checkpoints", "log.jsonl", "best.safetensors", "last.safetensors", "curve.svg", "pictures", "tensorboard")


@dataclass(frozen=True)
class TrainRequest:
    """What is asked of a training run.

    Attributes:
        footage: the videos, opened.
        out: the folder of weights, log, checkpoints and pictures.
        flags: fields of `TrainConfig` that were given.
        settings_file: a YAML file of them, such as the run.yaml of another run.
        labelled: a folder in DAVIS's layout, for J as validation; None takes held-out footage.
        workers: threads that assemble batches.
        force: begin again where another run is.
        stop: asked after every step; a signal's number saves and stops.
    """

    footage: Footage
    out: Path
    flags: Mapping[str, Any] = field(default_factory=dict)
    settings_file: Path | None = None
    labelled: Path | None = None
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


def claim_run(request: TrainRequest, config: TrainConfig) -> None:
    """Make sure that the run's folder is new or of the same run, and write its run.yaml.

    Raises:
        ConflictError: another run, or other files, are there.
        OutputError: the folder cannot be written.
    """
    settings = {name: value for name, value in dataclasses.asdict(config).items() if name not in _MACHINE}
    record = {
        "command": "train",
        "version": propagate.__version__,
        "fingerprint": {
            "footage": request.footage.digest,
            "init": None if config.start is None else file_digest(find_weights(config.start)),
            "validation": None if request.labelled is None else str(request.labelled),
        },
        "settings": settings,
        "machine": {name: getattr(config, name) for name in _MACHINE},  # not compared
    }
    path = request.out / "run.yaml"
    same = is_same_run(path, record, force=request.force)
    try:
        request.out.mkdir(parents=True, exist_ok=True)
        others = [entry for entry in request.out.iterdir() if entry.name != LOCK]
        if same is None and others and not request.force:
            raise ConflictError(f"{request.out}: holds other files", hint="give another -o, or --force to write there")
    except OSError as error:
        raise unwritable(request.out, error) from error
    if same is False:
        for name in _WRITTEN:
            remove(request.out / name)
    write_text(path, yaml.safe_dump(record, sort_keys=False, allow_unicode=True))
    try:
        (request.out / "checkpoints").mkdir(exist_ok=True)
    except OSError as error:
        raise unwritable(request.out, error) from error


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
