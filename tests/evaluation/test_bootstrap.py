from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from evaluation.synthetic_benchmark import Synthetic, method, scores_of

from propagate.evaluation.analysis.bootstrap import (
    Interval,
    Level,
    RunIntervals,
    block_positions,
    can_pair,
    draw,
    draws_for,
    percentiles,
)
from propagate.evaluation.protocol import Scores
from propagate.evaluation.results import MethodResult

BENCHMARK = Synthetic()
LEVELS: tuple[Level, ...] = ("sequences", "frames")


def mean_j(scores: Sequence[Scores]) -> float:
    return float(np.mean([curves["J"].mean() for one in scores for curves in one.units.values()]))


def drawn(scores: Sequence[Scores], level: Level, resamples: int, seed: int = 0) -> np.ndarray:
    return draw(scores, lambda some: {"J": mean_j(some)}, level=level, resamples=resamples, seed=seed)["J"]


def interval(scores: Sequence[Scores], *, level: Level, resamples: int = 1000, seed: int = 0) -> Interval:
    return percentiles(mean_j(scores), drawn(scores, level, resamples, seed))


def paired_interval(
    ours: Sequence[Scores], other: Sequence[Scores], *, level: Level, resamples: int, seed: int = 0
) -> Interval:
    apart = drawn(ours, level, resamples, seed) - drawn(other, level, resamples, seed)
    return percentiles(mean_j(ours) - mean_j(other), apart)


def random_scores(seed: int, *, sequences: int = 8, frames: int = 40) -> list[Scores]:
    random = np.random.default_rng(seed)
    return [scores_of(f"s{n}", random.uniform(0, 1, frames)) for n in range(sequences)]


def shifted(scores: Sequence[Scores], by: float) -> list[Scores]:
    return [replace(one, units={unit: {"J": c["J"] + by} for unit, c in one.units.items()}) for one in scores]


@pytest.mark.parametrize("level", LEVELS)
def test_equal_scores_differ_by_exactly_nothing(level: Level) -> None:
    scores = random_scores(0)
    found = paired_interval(scores, scores, level=level, resamples=100)
    assert (found.value, found.low, found.high) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize("level", LEVELS)
def test_a_constant_shift_is_certain(level: Level) -> None:
    scores = random_scores(1)
    found = paired_interval(shifted(scores, 0.125), scores, level=level, resamples=100)
    np.testing.assert_allclose([found.value, found.low, found.high], 0.125, atol=1e-12)


@pytest.mark.parametrize("level", LEVELS)
def test_it_is_the_same_every_time(level: Level) -> None:
    scores = random_scores(2)
    first, again = (interval(scores, level=level, resamples=50, seed=3) for _ in range(2))
    assert first == again
    assert first != interval(scores, level=level, resamples=50, seed=4)
    assert first.low < first.value == mean_j(scores) < first.high


@pytest.mark.parametrize("level", LEVELS)
def test_the_interval_holds_the_truth_about_as_often_as_it_says(level: Level) -> None:
    hits = []
    for seed in range(60):  # uniform noise, so the true mean is 1/2
        sequences, frames = (20, 4) if level == "sequences" else (1, 240)
        found = interval(random_scores(seed, sequences=sequences, frames=frames), level=level, resamples=150)
        hits.append(found.low <= 0.5 <= found.high)
    assert 0.85 <= np.mean(hits) < 1


def test_what_is_hard_for_both_cancels_out() -> None:
    scores = random_scores(5, frames=4)
    noise = np.random.default_rng(6).normal(0, 0.01, (8, 4))
    ours = [replace(s, units={"1": {"J": s.units["1"]["J"] + n}}) for s, n in zip(scores, noise, strict=True)]
    apart = interval(scores, level="sequences", resamples=200)
    together = paired_interval(ours, scores, level="sequences", resamples=200)
    assert together.high - together.low < 0.2 * (apart.high - apart.low)


@pytest.mark.parametrize(("length", "blocks"), [(40, 4), (45, 5), (8, 4), (3, 3), (1, 1), (0, 0)])
def test_neighbouring_frames_stay_together(length: int, blocks: int) -> None:
    random = np.random.default_rng(0)
    for _ in range(20):
        places = block_positions(length, random)
        assert places.shape == (length,)
        assert set(places.tolist()) <= set(range(length))
        assert (np.diff(places) >= 0).all()
        ends = [place for place in set(places.tolist()) if place + 1 not in places]
        assert len(ends) <= blocks


def test_slow_change_widens_the_interval_of_blocks() -> None:
    wave = 0.5 + 0.4 * np.sin(np.arange(80) / 80 * 2 * np.pi * 2)
    mixed = np.random.default_rng(0).permutation(wave)
    slow, quick = (interval([scores_of("a", curve)], level="frames") for curve in (wave, mixed))
    assert slow.high - slow.low > 1.5 * (quick.high - quick.low)


def test_one_sequence_says_nothing_of_others() -> None:
    found = interval(random_scores(0, sequences=1), level="sequences")
    assert np.isnan([found.low, found.high]).all()
    assert np.isfinite(found.value)


def test_undefined_resamples_are_left_out() -> None:
    scores = [scores_of("a", [np.nan]), scores_of("b", [0.5])]
    found = interval(scores, level="sequences", resamples=50)
    assert (found.low, found.high) == (0.5, 0.5)


def test_other_sequences_or_frames_cannot_be_paired() -> None:
    ours = [scores_of("a", [0.1, 0.2])]
    assert can_pair(ours, ours)
    for other in ([scores_of("b", [0.1, 0.2])], [scores_of("a", [0.1])], []):
        assert not can_pair(ours, other)


def test_large_sets_get_fewer_draws() -> None:
    small, large = random_scores(0), [scores_of("a", *np.zeros((200, 500)))] * 2
    assert draws_for(small) == draws_for([]) == 1000
    assert draws_for(large) == 200


def results() -> tuple[MethodResult, MethodResult]:
    ours, other = random_scores(1), random_scores(2)
    return method("ours", ours, BENCHMARK), method("other", other[1:], BENCHMARK)


@pytest.mark.parametrize("level", LEVELS)
def test_a_run_gives_the_intervals_of_draws_made_by_hand(level: Level) -> None:
    ours, other = results()
    run = RunIntervals(BENCHMARK, [ours, other], resamples=50, seed=3)
    mine, theirs = list(ours.scores.values()), list(other.scores.values())
    plain = paired_interval(mine[1:], theirs, level=level, resamples=50, seed=3)
    found = run.difference(ours, other, level=level)
    assert found is not None
    np.testing.assert_allclose([found.value, found.low, found.high], [plain.value, plain.low, plain.high], atol=1e-12)
    alone = interval(mine, level="sequences", resamples=50, seed=3)
    np.testing.assert_allclose(run.of(ours)["J-Mean"].low, alone.low)
    assert run.of(ours)["J-Mean"].value == ours.summary["J-Mean"]


def test_a_run_draws_frames_where_there_is_one_sequence_but_never_totals() -> None:
    (one,) = random_scores(0, sequences=1)
    frames = method("a", [one], BENCHMARK)
    totals = method("b", [replace(one, totals={"confusion": [[1]]})], BENCHMARK)
    run = RunIntervals(BENCHMARK, [frames, totals], resamples=20)
    assert run.of(frames)["J-Mean"].low < run.of(frames)["J-Mean"].high
    assert np.isnan(run.of(totals)["J-Mean"].low)
    assert run.difference(totals, totals, level="frames") is None
    assert run.of(MethodResult("none", {}, {})) == {}


def test_a_run_compares_nothing_without_sequences_of_both() -> None:
    ours, other = (method(name, [scores_of(name, [0.1, 0.2])], BENCHMARK) for name in "ab")
    longer = method("c", [scores_of("a", [0.1, 0.2, 0.3])], BENCHMARK)
    run = RunIntervals(BENCHMARK, [ours, other, longer], resamples=20)
    assert run.difference(ours, other, level="sequences") is None
    assert run.difference(ours, longer, level="sequences") is None
