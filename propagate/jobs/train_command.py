"""The command that repeats a training run, rebuilt from its settings: without a path of the machine that made it."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from propagate.training import OBJECTIVES
from propagate.training.config import TrainConfig, resolve_training

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
