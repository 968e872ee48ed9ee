"""The loop with a tiny objective: whose loss broke, clipping and the rate of a step, how much of a run is done."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from propagate.training.config import TrainConfig
from propagate.training.distributed import Processes
from propagate.training.loop import DivergedError, ShareDone, Step, make_optimizer, step_random, train

CPU = torch.device("cpu")
NAMES = ("first.mp4", "second.mp4", "third.mp4")


class Bright(nn.Module):
    """The loss is a weight times the mean of the clips; a clip that is all white breaks it."""

    name, encoder, form = "bright", None, None

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(2.0))

    def forward(self, clips: Tensor, *, progress: float, random: torch.Generator) -> dict[str, Tensor]:
        each = clips.mean((1, 2, 3, 4))
        return {"loss": (self.weight * torch.where(each == 1, math.nan, 100 * each)).mean()}


def batches(*values: int) -> Iterator[tuple[int, Tensor, Sequence[str]]]:
    clips = torch.stack([torch.full((2, 3, 4, 4), value, dtype=torch.uint8) for value in values])
    return ((number, clips, NAMES[: len(values)]) for number in itertools.count())


def begin(objective: Any, *values: int, **settings: Any) -> Iterator[Step]:
    config = TrainConfig(**{"steps": 4, "schedule": "constant", "learning_rate": 0.5, **settings})
    optimizer = make_optimizer(objective, config)
    dist, share = Processes(), ShareDone(config)
    return train(objective, optimizer, batches(*values), config=config, device=CPU, dist=dist, share=share)


def test_the_clip_that_did_it_is_named_and_the_weights_stay() -> None:
    objective = Bright()
    with pytest.raises(DivergedError, match="step 1: the loss is .* with the clips second.mp4 "):
        next(begin(objective, 10, 255, 20))
    assert objective.weight.item() == 2.0


def test_a_gradient_that_is_too_long_is_cut_to_its_greatest_norm() -> None:
    steps = {limit: next(begin(Bright(), 128, clip_gradient=limit, optimizer="adamw")) for limit in (None, 1.0)}
    assert steps[None].norm == steps[1.0].norm == pytest.approx(100 * 128 / 255)
    moved = {}
    for limit in (1.0, 1e-7):  # Adam's own epsilon of 1e-8 tells the two apart
        objective = Bright()
        next(begin(objective, 128, clip_gradient=limit))
        moved[limit] = 2.0 - objective.weight.item()
    assert moved[1.0] == pytest.approx(0.5, rel=1e-5)
    assert moved[1e-7] == pytest.approx(0.5 / 1.1, rel=1e-2)


def test_the_rate_follows_the_schedule_by_the_share_that_is_done() -> None:
    steps = list(itertools.islice(begin(Bright(), 1, schedule="cosine", steps=4), 4))
    expected = [0.5 * (1 + math.cos(math.pi * share)) / 2 for share in (0, 0.25, 0.5, 0.75)]
    assert [step.rate for step in steps] == pytest.approx(expected)
    assert [step.done for step in steps] == [0.25, 0.5, 0.75, 1.0]


def test_what_ends_a_run_first_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.monotonic", lambda: 100.0)
    assert ShareDone(TrainConfig(steps=10))(5) == 0.5
    assert ShareDone(TrainConfig(minutes=1.0), spent=45)(5) == 0.75
    assert ShareDone(TrainConfig(steps=10, minutes=1.0), spent=45)(5) == 0.75
    assert ShareDone(TrainConfig(steps=10, minutes=1.0), spent=15)(5) == 0.5
    assert ShareDone(TrainConfig(minutes=1.0), spent=90)(5) == 1.0


def test_any_seed_gives_every_step_its_own_chance() -> None:
    drawn = {
        (seed, step, rank): torch.rand((), generator=step_random(seed, step, rank)).item()
        for seed in (0, 1, 10**18)
        for step in (0, 1)
        for rank in (0, 1)
    }
    assert len(set(drawn.values())) == len(drawn)
