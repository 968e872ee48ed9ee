"""The loop: clips in, one optimiser step each, what it cost out."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from propagate.errors import PropagateError
from propagate.training.config import TrainConfig
from propagate.training.distributed import Processes, any_of, from_first, wrapped
from propagate.training.protocol import Objective, as_module
from propagate.training.schedule import learning_rate


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
    own: Processes,
    share: ShareDone,
) -> Iterator[Step]:
    """Yield after every step; the consumer stops by leaving.

    Args:
        objective: in training mode, on the device.
        optimizer: of its parameters.
        batches: (number of the step from 0, clips (B, T, 3, S, S) uint8, names of the clips).
        config: learning rate, schedule, clipping, seed.
        device: where the objective is.
        own: this process among those of the run.
        share: how much of the run is done.

    Raises:
        DivergedError: a loss or a gradient is not finite; the step and the clips that did it are named. The weights
            are those of the step before; running means of batch norm may have taken the bad clip in.
    """
    module = as_module(objective).train()
    called = wrapped(module, own, device)
    for number, clips, names in batches:
        progress = from_first(share(number), own, device)
        rate = learning_rate(config, progress)
        for group in optimizer.param_groups:
            group["lr"] = rate
        clips = clips.to(device, non_blocking=True).float() / 255  # (B, T, 3, S, S)
        losses = called(clips, progress=progress, random=step_random(config.seed, number, own.rank))
        values = {name: float(loss.detach()) for name, loss in losses.items()}
        broken = not all(map(math.isfinite, values.values()))
        if any_of(broken, own, device):  # all leave together: none waits for gradients that never come
            what = f"the loss is {values}" if broken else "a loss in another process is not finite"
            random = step_random(config.seed, number, own.rank)
            raise _diverged(number, what, _guilty(module, clips, names, progress=progress, random=random))
        optimizer.zero_grad(set_to_none=True)
        losses["loss"].backward()
        norm = nn.utils.clip_grad_norm_(module.parameters(), config.clip_gradient or math.inf)
        if not math.isfinite(float(norm)):
            raise _diverged(number, f"the gradient is {float(norm)}", names)
        optimizer.step()
        yield Step(number + 1, values, rate, float(norm), from_first(share(number + 1), own, device))


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
