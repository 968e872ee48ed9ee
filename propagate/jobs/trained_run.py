"""The folder of a training run, read back: its settings, its log, and where it stands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from propagate.errors import InputError
from propagate.jobs.train_log import log_lines
from propagate.training.checkpoint import latest_checkpoint
from propagate.training.config import TrainConfig, resolve_training
from propagate.training.loop import ShareDone

HINT = "give the folder that `propagate train -o` wrote"


@dataclass(frozen=True)
class TrainedRun:
    """What a run left.

    Attributes:
        folder: where.
        config: its settings; those of the machine are the defaults.
        fingerprint: what it was learnt from, as in run.yaml.
        lines: of log.jsonl, up to `step`.
        step: how many steps are done.
        seconds: of training that are spent.
        record: of its newest checkpoint: date, hardware.
    """

    folder: Path
    config: TrainConfig
    fingerprint: Mapping[str, Any]
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
    return TrainedRun(folder, config, content["fingerprint"], lines, found.step, found.seconds, found.record)


def _read_record(path: Path) -> dict[str, Any]:
    """Return the content of the run.yaml of a training run."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not YAML"
        raise InputError(f"{path}: cannot be read: {reason}", hint=HINT) from error
    parts = [content.get(name) for name in ("fingerprint", "settings")] if isinstance(content, dict) else [None]
    if not all(isinstance(part, dict) for part in parts) or content.get("command") != "train":
        raise InputError(f"{path}: is not of a training run", hint=HINT)
    return dict(content)
