"""What a training run is asked for, its settings, and its claim on a folder."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

import propagate
from propagate.config import read_settings, read_yaml
from propagate.encoders.library import find_weights
from propagate.encoders.protocol import Encoder
from propagate.encoders.weights import open_encoder
from propagate.encoders.weights_file import file_digest
from propagate.errors import ConfigError, ConflictError, OutputError
from propagate.formats.atomic import write_text
from propagate.runs.folder import unwritable
from propagate.runs.legacy import LOCK, is_same_run
from propagate.runs.run import never
from propagate.settings import current_names
from propagate.training import OBJECTIVES
from propagate.training.checkpoint import NAMES
from propagate.training.config import TrainConfig, check_objective, resolve_training
from propagate.training.data.footage import Footage
from propagate.training.log import EVENTS, PICTURE, log_lines

_MACHINE = ("device", "threads", "save_every", "log_every")  # they do not make it another run
_FILES = ("best.safetensors", "last.safetensors", "curve.svg", *(f"checkpoints/{name}" for name in NAMES), "log.jsonl")


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
            "videos": [_relative(word, base) for word in self.videos],
            "prepare": self.prepare and _relative(self.prepare, base),
            "side": self.side,
            "validate": self.validate and _relative(self.validate, base),
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
        prepare, validate = found.get("prepare"), found.get("validate")
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


def _relative(word: str | Path, base: Path) -> str:
    """Return a path or pattern as seen from a folder; the whole path where they have no root in common."""
    whole = Path(word).expanduser().absolute()
    try:
        return Path(os.path.relpath(whole, base.absolute())).as_posix()
    except ValueError:  # on another drive
        return str(whole)


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
        "inputs": request.inputs.record(request.out),  # not compared: the fingerprint is
        "settings": settings,
        "machine": {name: getattr(config, name) for name in _MACHINE},  # not compared
    }
    path = request.out / "run.yaml"
    same = is_same_run(path, record, force=request.force)
    if same is None:
        _refuse_foreign(request.out, force=request.force)
    if same is False:
        remove_run(request.out)
    try:
        (request.out / "checkpoints").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(request.out, error) from error
    write_text(path, yaml.safe_dump(record, sort_keys=False, allow_unicode=True))


def _refuse_foreign(out: Path, *, force: bool) -> None:
    """Refuse a folder without a run of ours that holds files; with `force` only where they are in the way."""
    try:
        there = [entry for entry in out.iterdir() if entry.name != LOCK] if out.exists() else []
    except OSError as error:
        raise unwritable(out, error) from error
    if there and not force:
        raise ConflictError(f"{out}: holds other files", hint="give another -o, or --force to write beside them")
    for path in (out / name for name in ("run.yaml", *_FILES)):
        if path.exists():
            raise ConflictError(f"{path}: was not written by a training run", hint="give another -o, or move it away")


def remove_run(out: Path) -> None:
    """Remove the files that a training run wrote into a folder, and no others.

    Raises:
        OutputError: one cannot be removed.
    """
    steps = [line["step"] for line in log_lines(out / "log.jsonl") if line.get("validation")]
    pictures = [out / PICTURE.format(step) for step in steps]
    for path in (*pictures, *out.glob(f"tensorboard/*{EVENTS}"), *(out / name for name in _FILES)):
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise OutputError(f"{path}: cannot be removed: {error.strerror or error}") from error
    for name in ("checkpoints", "pictures", "tensorboard"):
        with suppress(OSError):  # there is none, or files of others are in it
            (out / name).rmdir()


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
