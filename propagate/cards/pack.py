"""A training run's weights in half the size, with the record of how they were made."""

from __future__ import annotations

import json
import shlex
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
import yaml

from propagate.cards.training_data import data_table, footage_record, seconds_of, used_footage
from propagate.config import resolve
from propagate.encoders.library import SUFFIX
from propagate.encoders.weights import open_encoder, save_weights
from propagate.encoders.weights_file import read_header
from propagate.errors import ConfigError, ConflictError, InputError
from propagate.training import OBJECTIVES
from propagate.training.checkpoint import latest_checkpoint
from propagate.training.config import TrainConfig, resolve_training
from propagate.training.data.prepared import SETTINGS
from propagate.training.log import learning_curve, log_lines
from propagate.training.loop import ShareDone

CONFIG = "settings.yaml"  # what the command calls a file of settings that have no option


def chosen_settings(config: TrainConfig) -> dict[str, Any]:
    """Return the settings that someone chose: those that differ from the defaults and the objective's preset."""
    usual = asdict(resolve_training(OBJECTIVES[config.objective].preset))
    return {name: value for name, value in asdict(config).items() if value != usual[name]}


def train_command(
    chosen: Mapping[str, Any], *, videos: Sequence[str], options: Collection[str], others: Mapping[str, Any], out: str
) -> tuple[str, dict[str, Any]]:
    """Return the command, and what its file `settings.yaml` holds.

    Args:
        chosen: settings of the run, from `chosen_settings`.
        videos: the words that named the videos; empty ones are written VIDEOS.
        options: the settings that have an option of their own name.
        others: further options and their values; those that are None are left out.
        out: the folder of the run.

    Returns:
        The command for a shell, and the settings without an option; the command names the file only if there are any.
    """
    rest = {name: value for name, value in chosen.items() if name not in options or value is None}
    given = {**chosen, **others, **({"config": CONFIG} if rest else {}), "out": out}
    named = [(name, value) for name, value in given.items() if name not in rest and value is not None]
    words = [word for name, value in named for word in _option(name, value)]
    return shlex.join(["propagate", "train", *([plain_word(word) for word in videos] or ["VIDEOS"]), *words]), rest


def plain_word(word: str) -> str:
    """Return the name of a folder of videos; of a file or a pattern also that of its folder."""
    path = Path(word).expanduser().absolute()
    return path.name if path.is_dir() else "/".join(path.parts[-2:])


def _option(name: str, value: object) -> tuple[str, ...]:
    word = name.replace("_", "-")
    if isinstance(value, bool):
        return (f"--{word}" if value else f"--no-{word}",)
    return (f"--{word}", f"{value:.12g}" if isinstance(value, float) else str(value))


HINT = "give a folder that `propagate train -o` wrote"


@dataclass(frozen=True)
class TrainedRun:
    """What a run left.

    Attributes:
        folder: where.
        config: its settings; those of the machine are the defaults.
        inputs: what it was learnt from, as in run.yaml.
        lines: of log.jsonl, up to `step`.
        step: how many steps are done.
        seconds: of training that are spent.
        record: of its newest checkpoint: date, hardware.
    """

    folder: Path
    config: TrainConfig
    inputs: Mapping[str, Any]
    lines: Sequence[Mapping[str, Any]]
    step: int
    seconds: float
    record: Mapping[str, Any]

    @property
    def share(self) -> float:
        """The share of the run that is done, 1 when it is finished."""
        return ShareDone(self.config, spent=self.seconds)(self.step)

    def weights(self, *, best: bool) -> Path:
        """Return the file of the last weights, or of the best.

        Raises:
            InputError: it is not there: nothing was validated yet.
        """
        path = self.folder / f"{'best' if best else 'last'}.safetensors"
        if not path.is_file():
            raise InputError(f"{path}: there is no such file", hint="weights are written at the first validation")
        return path

    def date(self, weights: Path) -> str:
        """Return the day on which the run was made; of an older run, whose record lacks it, that of the weights."""
        written = datetime.fromtimestamp(weights.stat().st_mtime, tz=UTC)
        return str(self.record.get("date") or written.date().isoformat())


def read_run(folder: Path) -> TrainedRun:
    """Return what a training run left in a folder.

    Raises:
        InputError: a part is missing, or cannot be understood.
        ConfigError: it was made with settings that this propagate does not know.
        WeightsError: its checkpoints are damaged.
    """
    content = _read_record(folder / "run.yaml")
    found = latest_checkpoint(folder / "checkpoints")
    if found is None:
        raise InputError(f"{folder / 'checkpoints'}: holds no checkpoint", hint=HINT)
    lines = [line for line in log_lines(folder / "log.jsonl") if line["step"] <= found.step]
    if not lines:
        raise InputError(f"{folder / 'log.jsonl'}: missing or empty", hint=HINT)
    config = resolve_training(content["settings"])
    return TrainedRun(folder, config, content["inputs"], lines, found.step, found.seconds, found.record)


def _read_record(path: Path) -> dict[str, Any]:
    """Return the content of the run.yaml of a training run."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not YAML"
        raise InputError(f"{path}: cannot be read: {reason}", hint=HINT) from error
    if isinstance(content, dict) and isinstance(content.get("fingerprint"), dict):  # of propagate 0.1.0
        content["inputs"] = content["fingerprint"]
    parts = [content.get(name) for name in ("inputs", "settings")] if isinstance(content, dict) else [None]
    if not all(isinstance(part, dict) for part in parts) or content.get("command") != "train":
        raise InputError(f"{path}: is not the record of a training run", hint=HINT)
    return dict(content)


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
        raise ConflictError(f"{request.target}: already exists", hint="give another name, or --force to replace it")
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
        "init_sha256": run.inputs.get("init"),
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
    footage = used_footage(request.prepared, request.videos, digest=run.inputs["footage"])
    record = {"footage": footage_record(footage, held_out=run.config.held_out, seed=run.config.seed)}
    if not request.videos:
        return record
    return {"data": data_table(request.videos, used=seconds_of(footage)), **record}


def _other_options(request: PackRequest, run: TrainedRun) -> dict[str, Any]:
    """Return the options of the command that are no settings: prepared footage, and what was validated on."""
    labelled = run.inputs.get("validation")
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
        notes.append(f"these are the weights after step {training['step']} of {run.step}")
    if "data" not in training:
        notes.append("the file does not say what it was trained on: give the videos of the run too")
    if "license" not in training:
        notes.append("the file names no licence: give --license")
    return tuple(notes)
