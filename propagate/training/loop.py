"""The training loop: one optimiser step after another."""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from propagate.encoders.protocol import Encoder
from propagate.errors import PropagateError
from propagate.training.config import TrainConfig
from propagate.training.distributed import Processes, any_of, from_first, wrapped
from propagate.training.protocol import Objective, as_module

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


COMPUTED = ("encode", "embed_clips", "forward")  # the methods of encoders that hold their convolutions


def run_encoder_in(encoder: Encoder, dtype: torch.dtype, *, device: torch.device) -> None:
    """Let an encoder's convolutions run in `dtype` by autocast; its weights and what it returns stay float32.

    Only the encoder: inner products, softmax and losses lose too much in bfloat16.
    """
    if dtype == torch.float32:
        return
    for name in COMPUTED:
        method = getattr(encoder, name, None)
        if method is not None:
            setattr(encoder, name, _cast(method, dtype, device.type))


def _cast(method: Callable[..., Tensor], dtype: torch.dtype, kind: str) -> Callable[..., Tensor]:
    @functools.wraps(method)
    def cast(*given: Any, **named: Any) -> Tensor:
        with torch.autocast(kind, dtype=dtype):
            return method(*given, **named).float()

    return cast


class DivergedError(PropagateError):
    """A loss that is no longer a finite number."""


@dataclass(frozen=True)
class Step:
    """What one step did.

    Attributes:
        number: from 1, how many steps are done.
        losses: by name, this process's own.
        rate: the learning rate.
        norm: of the gradient before it was clipped.
        done: share of the run after it.
    """

    number: int
    losses: Mapping[str, float]
    rate: float
    norm: float
    done: float


@dataclass(frozen=True)
class Event:
    """What happened: a step was done, and what else was due after it.

    Attributes:
        step: the last step.
        validation: figures by name, when the encoder was validated.
        improved: whether these are the best so far.
        waiting: share of the time since the start that was spent waiting for clips.
        rate: clips a second since the start.
    """

    step: Step
    validation: Mapping[str, float] | None = None
    improved: bool = False
    waiting: float = 0.0
    rate: float = 0.0


def make_optimizer(objective: Objective, config: TrainConfig) -> torch.optim.Optimizer:
    """Return the optimiser of everything in an objective that is learnt."""
    parameters = [p for p in as_module(objective).parameters() if p.requires_grad]
    kind = torch.optim.AdamW if config.optimizer == "adamw" else torch.optim.Adam
    return kind(parameters, lr=config.learning_rate, betas=(config.beta1, 0.999), weight_decay=config.weight_decay)


def train(
    objective: Objective,
    optimizer: torch.optim.Optimizer,
    batches: Iterable[tuple[int, Tensor, Sequence[str]]],
    *,
    config: TrainConfig,
    device: torch.device,
    dist: Processes,
    share: ShareDone,
) -> Iterator[Step]:
    """Yield after every step; the consumer stops by leaving.

    Args:
        objective: in training mode, on the device.
        optimizer: of its parameters.
        batches: (number of the step from 0, clips (B, T, 3, S, S) uint8, names of the clips).
        config: learning rate, schedule, clipping, seed.
        device: where the objective is.
        dist: this process among those of the run.
        share: how much of the run is done.

    Raises:
        DivergedError: a loss or a gradient is not finite; the step and the clips that did it are named. The weights
            are those of the step before; running means of batch norm may have taken the bad clip in.
    """
    module = as_module(objective).train()
    called = wrapped(module, dist, device)
    for number, clips, names in batches:
        progress = from_first(share(number), dist, device)
        rate = learning_rate(config, progress)
        for group in optimizer.param_groups:
            group["lr"] = rate
        clips = clips.to(device, non_blocking=True).float() / 255  # (B, T, 3, S, S)
        losses = called(clips, progress=progress, random=step_random(config.seed, number, dist.rank))
        values = {name: float(loss.detach()) for name, loss in losses.items()}
        broken = not all(map(math.isfinite, values.values()))
        if any_of(broken, dist, device):  # all leave together: none waits for gradients that never come
            what = f"the loss is {values}" if broken else "a loss in another process is not finite"
            random = step_random(config.seed, number, dist.rank)
            raise _diverged(number, what, _guilty(module, clips, names, progress=progress, random=random))
        optimizer.zero_grad(set_to_none=True)
        losses["loss"].backward()
        norm = nn.utils.clip_grad_norm_(module.parameters(), config.clip_gradient or math.inf)
        if not math.isfinite(float(norm)):
            raise _diverged(number, f"the gradient is {float(norm)}", names)
        optimizer.step()
        yield Step(number + 1, values, rate, float(norm), from_first(share(number + 1), dist, device))


def _diverged(number: int, what: str, names: Sequence[str]) -> DivergedError:
    hint = "lower --learning-rate, or look at these clips"
    return DivergedError(f"step {number + 1}: {what}, with the clips {', '.join(names)}", hint=hint)


@torch.no_grad()
def _guilty(
    module: nn.Module, clips: Tensor, names: Sequence[str], *, progress: float, random: torch.Generator
) -> Sequence[str]:
    """Return the names of the clips whose loss is not finite when they are alone; all, if none or every one is."""
    module.eval()
    found = []
    for clip, name in zip(clips, names, strict=True):
        alone = module(clip[None], progress=progress, random=random)["loss"]
        if not math.isfinite(float(alone)):
            found.append(name)
    return found or names


class ShareDone:
    """The share of a run that is done: of its steps or of its minutes, whichever ends it first.

    Args:
        config: `steps` or `minutes`.
        spent: seconds of training in earlier parts of the run.
    """

    def __init__(self, config: TrainConfig, *, spent: float = 0.0) -> None:
        self.steps, self.seconds = config.steps, None if config.minutes is None else 60 * config.minutes
        self.spent, self._started = spent, time.monotonic()

    @property
    def elapsed(self) -> float:
        """Seconds of training, earlier parts of the run included."""
        return self.spent + time.monotonic() - self._started

    def __call__(self, step: int) -> float:
        """Return the share that is done before a step, counted from 0: in [0, 1]; with both ends the nearer counts."""
        by_steps = step / self.steps if self.steps is not None else 0.0
        by_time = self.elapsed / self.seconds if self.seconds is not None else 0.0
        return min(max(by_steps, by_time), 1.0)


def step_random(seed: int, step: int, rank: int) -> torch.Generator:
    """Return the chance of one step in one process: the same whenever that step is done."""
    return torch.Generator().manual_seed(((seed * 1_000_003 + step) * 1_009 + rank) % 2**63)
