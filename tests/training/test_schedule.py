"""The papers' learning rates, at the steps that the papers state."""

from __future__ import annotations

import dataclasses

import pytest

from propagate.training.config import TrainConfig
from propagate.training.loop import learning_rate

PLAIN = TrainConfig(learning_rate=1e-3, schedule="constant")


def config(schedule: str, *, rate: float = 1e-3, warmup: float = 0.0) -> TrainConfig:
    return dataclasses.replace(PLAIN, schedule=schedule, learning_rate=rate, warmup=warmup)


def test_constant_never_changes() -> None:
    assert {learning_rate(config("constant"), step / 10) for step in range(11)} == {1e-3}


def test_vondrick_drops_to_a_tenth_after_60_of_400_thousand_steps() -> None:
    steps = (0, 59_999, 60_000, 399_999)
    rates = [learning_rate(config("vondrick"), step / 400_000) for step in steps]
    assert rates == pytest.approx([1e-3, 1e-3, 1e-4, 1e-4])


def test_corrflow_halves_at_40_60_and_80_percent_of_a_million_samples() -> None:
    samples = (0, 399_999, 400_000, 599_999, 600_000, 799_999, 800_000, 1_000_000)
    rates = [learning_rate(config("corrflow", rate=2e-4), sample / 1_000_000) for sample in samples]
    assert rates == pytest.approx([2e-4, 2e-4, 1e-4, 1e-4, 5e-5, 5e-5, 2.5e-5, 2.5e-5])


def test_cosine_falls_from_all_through_half_to_nothing() -> None:
    rates = [learning_rate(config("cosine"), progress) for progress in (0.0, 0.5, 1.0)]
    assert rates == pytest.approx([1e-3, 5e-4, 0.0], abs=1e-12)


def test_cosine_never_rises() -> None:
    rates = [learning_rate(config("cosine"), step / 100) for step in range(101)]
    assert rates == sorted(rates, reverse=True)


@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_warm_up_rises_evenly_from_nothing_to_the_full_rate(schedule: str) -> None:
    rates = [learning_rate(config(schedule, warmup=0.2), progress) for progress in (0.0, 0.05, 0.1, 0.2)]
    assert rates == pytest.approx([0.0, 2.5e-4, 5e-4, 1e-3])


def test_cosine_after_a_warm_up_is_at_half_in_the_middle_of_the_rest() -> None:
    assert learning_rate(config("cosine", warmup=0.2), 0.6) == pytest.approx(5e-4)


@pytest.mark.parametrize("schedule", ["vondrick", "corrflow"])
def test_warm_up_does_not_move_the_marks_of_a_paper(schedule: str) -> None:
    after = [0.2 + 0.8 * step / 50 for step in range(51)]
    warmed = [learning_rate(config(schedule, warmup=0.2), progress) for progress in after]
    assert warmed == [learning_rate(config(schedule), progress) for progress in after]


@pytest.mark.parametrize("progress", [-0.01, 1.01, float("nan")])
def test_a_share_outside_the_run_is_refused(progress: float) -> None:
    with pytest.raises(ValueError, match="progress must be from 0 to 1"):
        learning_rate(PLAIN, progress)
