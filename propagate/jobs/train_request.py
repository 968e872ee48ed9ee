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
from propagate.errors import ConfigError, ConflictError
from propagate.formats.atomic import write_text
from propagate.jobs.claim import is_same_run
from propagate.jobs.place import remove, unwritable
from propagate.jobs.run import never
from propagate.training import OBJECTIVES
from propagate.training.config import TrainConfig, resolve_training
from propagate.training.footage import Footage

_MACHINE = ("device", "threads", "save_every", "log_every")  # they do not make it another run


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
        ConfigError: an unknown setting, value or objective, or nothing that ends the run.
    """
    layers = [read_settings(request.settings_file) if request.settings_file else {}, dict(request.flags)]
    name = resolve_training(*layers).objective
    config = resolve_training(OBJECTIVES[name].preset, *layers)
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
        "fingerprint": {"footage": request.footage.digest},
        "settings": settings,
    }
    path = request.out / "run.yaml"
    same = is_same_run(path, record, force=request.force)
    try:
        request.out.mkdir(parents=True, exist_ok=True)
        if same is None and any(request.out.iterdir()) and not request.force:
            raise ConflictError(f"{request.out}: holds other files", hint="give another -o, or --force to write there")
    except OSError as error:
        raise unwritable(request.out, error) from error
    if same is False:
        for name in ("checkpoints", "log.jsonl", "best.safetensors", "last.safetensors", "pictures"):
            remove(request.out / name)
    (request.out / "checkpoints").mkdir(exist_ok=True)
    write_text(path, yaml.safe_dump(record, sort_keys=False, allow_unicode=True))
