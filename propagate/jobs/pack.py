"""The job of `propagate weights pack`: a training run in, a file of weights out that ships and says how it was made."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from propagate.config import resolve
from propagate.encoders.library import SUFFIX
from propagate.encoders.weights import open_encoder, save_weights
from propagate.encoders.weights_file import read_header
from propagate.errors import ConfigError, ConflictError
from propagate.jobs.learning_curve import learning_curve
from propagate.jobs.train_command import chosen_settings, train_command
from propagate.jobs.trained_run import TrainedRun, read_run
from propagate.jobs.training_data import data_table, footage_record, seconds_of, used_footage
from propagate.training.footage_cache import SETTINGS

NEVER = ("encoder", "weights", "device", "dtype", "threads", "seed", "checkpoint")  # not for a file to say
DTYPE = torch.float16


@dataclass(frozen=True)
class PackRequest:
    """What is asked of a pack.

    Attributes:
        run: the folder of a training run.
        target: the file to write, *.safetensors.
        videos: the words that named the run's videos, for the table of its data.
        prepared: the run's prepared footage, for what was really used.
        best: take the weights that were validated best, not the last.
        license: what the weights may be used for.
        hardware: what they were made on, in place of what the run says.
        preset: settings of a run, laid over the encoder's preset.
        options: settings of training that have an option of `propagate train`.
        force: replace a file that is there.
    """

    run: Path
    target: Path
    videos: Sequence[str] = ()
    prepared: Path | None = None
    best: bool = False
    license: str | None = None
    hardware: str | None = None
    preset: Mapping[str, Any] = field(default_factory=dict)
    options: Collection[str] = ()
    force: bool = False


def pack(request: PackRequest) -> tuple[str, ...]:
    """Write the weights of a run in float16 with the record of how they came to be; return lines for the user.

    Raises:
        ConflictError: the file is there.
        ConfigError: a setting that cannot be, or footage of another run.
        InputError: the run lacks a part, or a word means no video.
        WeightsError: the weights are damaged, or beyond float16.
        OutputError: the file cannot be written.
    """
    if request.target.suffix != SUFFIX:
        raise ConfigError(f"{request.target}: weights are called NAME{SUFFIX}")
    if request.target.exists() and not request.force:
        raise ConflictError(f"{request.target}: is there already", hint="give another name, or --force")
    _check_preset(request.preset)
    run = read_run(request.run)
    weights = run.weights(best=request.best)
    encoder = open_encoder(None, weights)
    encoder.preset = {**encoder.preset, **request.preset}
    resolve(encoder.preset)
    training = _training(request, run, weights)
    save_weights(request.target, encoder, training=training, dtype=DTYPE)
    return _notes(run, training)


def _check_preset(preset: Mapping[str, Any]) -> None:
    for name in NEVER:
        if name in preset:
            raise ConfigError(f"{name} is not for a file of weights to say", hint="leave it to whoever uses them")
    resolve(preset)


def _training(request: PackRequest, run: TrainedRun, weights: Path) -> dict[str, Any]:
    """Return the training record: that of the run's own weights, and what only the whole run can tell."""
    own = dict(read_header(weights).training)
    command, config = train_command(
        _without_path(chosen_settings(run.config)),
        videos=request.videos,
        options=request.options,
        others=_other_options(request, run),
        out=run.folder.resolve().name,
    )
    found = {
        **own,
        "settings": _without_path(own.get("settings", {})),
        "init_sha256": run.fingerprint.get("init"),
        "command": command,
        "command_settings": config,
        "steps": run.step,
        "minutes": round(run.seconds / 60, 2),
        "hardware": request.hardware or run.record.get("hardware"),
        "date": run.date(weights),
        "curve": learning_curve(run.lines, minutes=run.config.minutes if run.config.steps is None else None),
        **_data(request, run),
        "license": request.license,
    }
    return {name: value for name, value in found.items() if value not in (None, {}, [])}


def _data(request: PackRequest, run: TrainedRun) -> dict[str, Any]:
    """Return the table of the videos, and what of prepared footage was used, as far as they were given."""
    if request.prepared is None:
        return {"data": data_table(request.videos)} if request.videos else {}
    footage = used_footage(request.prepared, request.videos, digest=run.fingerprint["footage"])
    record = {"footage": footage_record(footage, held_out=run.config.held_out, seed=run.config.seed)}
    if not request.videos:
        return record
    return {"data": data_table(request.videos, used=seconds_of(footage)), **record}


def _other_options(request: PackRequest, run: TrainedRun) -> dict[str, Any]:
    """Return the options of the command that are no settings: prepared footage, and what was validated on."""
    labelled = run.fingerprint.get("validation")
    return {
        "prepare": request.prepared and request.prepared.resolve().name,
        "side": request.prepared and _side(request.prepared),
        "validate": labelled and Path(labelled).name,
    }


def _side(prepared: Path) -> int:
    """Return the short side of prepared frames, in pixels."""
    return int(json.loads((prepared / SETTINGS).read_text(encoding="utf-8"))["side"])


def _without_path(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings of training in which the weights that it went on from are a name."""
    named = {"init": Path(settings["init"]).name} if settings.get("init") else {}
    return {**settings, **named}


def _notes(run: TrainedRun, training: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what the user should know of what was packed."""
    notes = []
    if run.share < 1:
        notes.append(f"{run.folder}: this run is not finished, {run.share:.0%} of it is done")
    if training.get("step", run.step) != run.step:
        notes.append(f"these are the weights of step {training['step']}, of the {run.step} that are done")
    if "data" not in training:
        notes.append("the file does not say what it was learnt from: give the videos too")
    if "license" not in training:
        notes.append("the file says nothing of its licence: give --license")
    return tuple(notes)
