"""The learning rate over a run, by the share of it that is done: a shortened run keeps a paper's fractions."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from propagate.training.config import TrainConfig

VONDRICK_DROP = 0.15  # 60 k of 400 k steps at the full rate, then a tenth (Vondrick 3.4)
CORRFLOW_HALVES = (0.4, 0.6, 0.8)  # 0.4, 0.6 and 0.8 of a million samples (CorrFlow 4)


def learning_rate(config: TrainConfig, progress: float) -> float:
    """Return the learning rate of a step.

    Args:
        config: `learning_rate` (the highest), `schedule`, and `warmup`, the share of the run over which the rate
            rises evenly from 0; the schedules of the papers are counted from the start of the run all the same.
        progress: share of the run that is done before the step, in [0, 1].

    Raises:
        ValueError: `progress` is not in [0, 1], or there is no such schedule.
    """
    if not 0.0 <= progress <= 1.0:
        raise ValueError(f"progress must be from 0 to 1, not {progress}")
    rise = min(progress / config.warmup, 1.0) if config.warmup else 1.0
    return config.learning_rate * rise * _share(config.schedule, progress, warmup=config.warmup)


def _share(schedule: str, progress: float, *, warmup: float) -> float:
    """Return what share of the highest rate a schedule has left."""
    if schedule == "constant":
        return 1.0
    if schedule == "vondrick":
        return 1.0 if progress < VONDRICK_DROP else 0.1
    if schedule == "corrflow":
        return 0.5 ** sum(progress >= mark for mark in CORRFLOW_HALVES)
    if schedule == "cosine":  # half a wave, down to 0 over what the warm-up leaves of the run
        return 0.5 * (1.0 + math.cos(math.pi * max(progress - warmup, 0.0) / (1.0 - warmup)))
    raise ValueError(f"there is no schedule {schedule!r}")
