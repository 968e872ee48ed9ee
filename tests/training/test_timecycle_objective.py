"""TimeCycle's losses: nothing for a perfect tracker, worked by hand for a known error, equal to plain loops."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import Tensor, nn

from propagate.encoders.build import build_on_meta
from propagate.errors import ConfigError
from propagate.registry import Registry
from propagate.training import OBJECTIVES
from propagate.training.config import TrainConfig, resolve_training
from propagate.training.objectives import timecycle
from propagate.training.objectives.timecycle import PAST, WEIGHT, TimeCycling
from propagate.training.objectives.tracker import unit

CONFIG = TrainConfig(objective="timecycle", size=96, temperature=0.05)
QUERIES = 2
CELLS, PATCH, CELL = 12, 4, 1 / 6  # at 96 pixels; a cell is 8 pixels of the 48 in half a side


class Blocks(nn.Module):
    """An encoder of one convolution of 8x8 pixels; every picture that it sees is noted."""

    name, stride, offset, channels, temporal, exact = "blocks", 8, 3.5, 24, 0, False

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.settings: dict[str, object] = {}
        self.preset: dict[str, object] = {}
        self.conv = nn.Conv2d(3, self.channels, kernel_size=8, stride=8)
        self.seen: list[tuple[int, ...]] = []

    def encode(self, rgb: Tensor) -> Tensor:
        self.seen.append(tuple(rgb.shape))
        features: Tensor = self.conv(rgb - 0.5)
        return features

    def embed(self, stack: Tensor) -> Tensor:
        return stack


class Oracle(nn.Module):
    """A localiser that reads the true place off a sharp affinity, and then errs by `error` to the right."""

    def __init__(self, objective: TimeCycling, *, error: float = 0.0) -> None:
        super().__init__()
        self.points, self.shift, self.error = objective.tracker.cell_points, objective.tracker.shift, error

    def forward(self, matches: Tensor) -> Tensor:
        best = matches.argmax(1)  # (B, p, p)
        cells = torch.stack([best % CELLS, best // CELLS], -1)  # x, y
        places = (2 * cells + 1) / CELLS - 1 - self.shift - self.points
        place = places.mean((1, 2))  # (B, 2)
        error = torch.tensor([self.error, 0.0])
        return torch.cat([place + error, torch.zeros(len(place), 1)], 1).to(matches.dtype)


def objective(**changes: object) -> TimeCycling:
    return TimeCycling(dataclasses.replace(CONFIG, **changes), Blocks())


def gone_through(module: TimeCycling, clips: Tensor, *, seed: int = 0) -> dict[str, Tensor]:
    return module(clips, progress=0.0, random=torch.Generator().manual_seed(seed))


def noise(*shape: int) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(sum(shape)))


def drifting(frames: int, *, right: int, down: int) -> Tensor:
    """Return a clip (1, T, 3, 96, 96) of noise that moves by whole cells a frame."""
    first = noise(1, 3, 96, 96)
    return torch.stack([first.roll((8 * down * t, 8 * right * t), (2, 3)) for t in range(frames)], 1)


def cut_at(monkeypatch: pytest.MonkeyPatch, row: int, column: int) -> None:
    """Let the query be the patch that begins at this cell, not turned."""
    theta = torch.tensor([[(8 * column - 32) / 48, (8 * row - 32) / 48, 0.0]])
    monkeypatch.setattr(timecycle, "draw_places", lambda count, random, *, turn: theta.repeat(count, 1))


@pytest.mark.parametrize("inliers", [False, True])
def test_a_perfect_tracker_has_no_cycle_loss(monkeypatch: pytest.MonkeyPatch, inliers: bool) -> None:
    module = objective(temperature=0.002, inliers=inliers)
    module.tracker.localiser = Oracle(module)
    cut_at(monkeypatch, 3, 6)
    losses = gone_through(module, drifting(5, right=1, down=-1))
    assert losses["skip"].item() == pytest.approx(0, abs=1e-10)
    assert losses["long"].item() == pytest.approx(0, abs=1e-10)
    assert losses["similarity"].item() == pytest.approx(-PAST, abs=1e-4)
    assert losses["loss"].item() == pytest.approx(-PAST, abs=1e-4)


def test_an_error_of_a_cell_a_step_is_worked_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    module = objective(temperature=0.002)
    module.tracker.localiser = Oracle(module, error=CELL)
    cut_at(monkeypatch, 4, 0)  # eight steps to the right just reach the other side
    losses = gone_through(module, drifting(5, right=0, down=0))
    skip = sum((2 * CELL) ** 2 for _ in range(4))  # two steps each
    long = sum((2 * i * CELL) ** 2 for i in range(1, 5))  # i back and i forward
    assert losses["skip"].item() == pytest.approx(skip, rel=1e-4)
    assert losses["long"].item() == pytest.approx(long, rel=1e-4)
    assert losses["loss"].item() == pytest.approx(losses["similarity"].item() + 0.1 * (skip + long), rel=1e-4)


def test_a_tracker_that_loses_the_patch_is_punished(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same oracle on a clip whose frames have nothing in common."""
    module = objective(temperature=0.002)
    module.tracker.localiser = Oracle(module)
    cut_at(monkeypatch, 4, 4)
    losses = gone_through(module, noise(1, 5, 3, 96, 96))
    assert losses["similarity"] > -0.9 * PAST


def lively(module: TimeCycling) -> TimeCycling:
    """Give the localiser weights that move the patch about."""
    torch.manual_seed(1)
    nn.init.normal_(module.tracker.localiser.linear.weight, std=0.8)
    nn.init.normal_(module.tracker.localiser.linear.bias, std=0.2)
    return module.double()


def features() -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(5)
    pictures = torch.randn(2, 5, 6, CELLS, CELLS, generator=generator, dtype=torch.float64)
    query = torch.randn(2, QUERIES, 6, PATCH, PATCH, generator=generator, dtype=torch.float64)
    truth = torch.tensor([[[0.1, -0.2, 0.3], [0.2, 0.1, 0.0]], [[-0.4, 0.3, -0.1], [0.0, 0.5, 0.2]]]).double()
    return unit(pictures, dim=2), unit(query, dim=2), truth


def test_losses_are_the_papers_sums_written_as_plain_loops() -> None:
    module = lively(objective())
    pictures, query, truth = features()
    losses = module.losses(pictures, query, truth)
    frames = dict(enumerate(pictures.unbind(1)))  # t is 4
    similarity, skip, long = [], [], []

    def follow(frame: int, patch: Tensor) -> tuple[Tensor, Tensor]:
        found = module.tracker(frames[frame], patch)
        return found.theta, found.patch

    for i in range(1, PAST + 1):
        _, patch = follow(4 - i, query)
        similarity.append(-(patch * query).sum((2, 3, 4)) / PATCH**2)
        skip.append(module.tracker.misalignment(follow(4, patch)[0], truth))
        patch = query
        for step in range(1, i + 1):
            theta, patch = follow(4 - step, patch)
        for frame in range(4 - i + 1, 5):
            theta, patch = follow(frame, patch)
        long.append(module.tracker.misalignment(theta, truth))
    plain = {
        name: torch.stack(parts).sum(0).mean()
        for name, parts in zip(("similarity", "skip", "long"), (similarity, skip, long), strict=True)
    }
    plain["loss"] = plain["similarity"] + WEIGHT * plain["skip"] + WEIGHT * plain["long"]
    assert set(losses) == set(plain)
    torch.testing.assert_close(losses, plain)
    thetas = module.cycles(pictures, query)
    assert thetas.long.std(1).min() > 1e-3  # the cycles do end in different places


def test_the_shortest_long_cycle_is_the_shortest_skip_cycle() -> None:
    module = lively(objective())
    pictures, query, _ = features()
    cycles = module.cycles(pictures, query)
    torch.testing.assert_close(cycles.long[:, 0], cycles.skip[:, 0])
    assert not torch.allclose(cycles.long[:, 1:], cycles.skip[:, 1:])


def test_similarity_is_at_most_one_a_frame_and_reached_by_the_query_itself() -> None:
    module = objective()
    pictures, query, truth = features()
    same = module.tracker.double().crop(pictures[:, -1], truth)
    found = module.cycles(pictures, query).back
    exact = dataclasses.replace(found, patch=same[:, None].expand(-1, PAST, -1, -1, -1, -1))
    torch.testing.assert_close(module._likeness(exact, same), torch.ones(2, PAST, QUERIES, dtype=torch.float64))
    assert module._likeness(found, query).abs().max() < 1


@pytest.mark.parametrize("part", ["similarity", "skip", "long", "loss"])
@pytest.mark.parametrize("inliers", [False, True])
def test_every_loss_teaches_encoder_and_localiser(part: str, inliers: bool) -> None:
    module = objective(inliers=inliers)
    gone_through(module, noise(2, 5, 3, 96, 96))[part].backward()
    still = [name for name, p in module.named_parameters() if p.grad is None or not p.grad.abs().max() > 0]
    assert still == []


def test_the_gradient_of_the_losses_is_that_of_finite_differences() -> None:
    torch.manual_seed(2)
    module = TimeCycling(dataclasses.replace(CONFIG, size=48, frames=3, temperature=0.3), Blocks()).double()
    nn.init.normal_(module.tracker.localiser.linear.weight, std=0.2)
    nn.init.constant_(module.tracker.localiser.linear.bias, 0.13)
    pictures = torch.randn(1, 3, 2, 6, 6, dtype=torch.float64, requires_grad=True)
    query = torch.randn(1, 1, 2, 2, 2, dtype=torch.float64, requires_grad=True)
    truth = torch.tensor([[[0.1, 0.2, 0.3]]], dtype=torch.float64)
    assert torch.autograd.gradcheck(
        lambda p, q: module.losses(unit(p, dim=2), unit(q, dim=2), truth)["loss"], (pictures, query), fast_mode=True
    )


def test_a_step_is_the_same_from_the_same_generator() -> None:
    module, clips = objective(), noise(2, 5, 3, 96, 96)
    first, again, other = (gone_through(module, clips, seed=seed)["loss"] for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_the_tracker_begins_from_the_seed_alone() -> None:
    torch.manual_seed(11)
    first = objective().tracker.state_dict()
    torch.manual_seed(12)
    torch.testing.assert_close(objective().tracker.state_dict(), first, rtol=0, atol=0)
    assert not torch.equal(objective(seed=1).tracker.localiser.conv1.weight, first["localiser.conv1.weight"])


def test_steps_of_adam_lower_the_loss() -> None:
    module, clips = objective(), drifting(5, right=1, down=0)
    optimizer = torch.optim.Adam(module.parameters(), lr=1e-3, betas=(0.5, 0.999))
    losses = []
    for _ in range(3):
        loss = gone_through(module, clips)["loss"]
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses[0] > losses[1] > losses[2]


def test_frames_are_encoded_once_and_the_patch_as_a_picture_of_its_own() -> None:
    module = objective()
    gone_through(module, noise(2, 5, 3, 96, 96))
    assert module.encoder.seen == [(10, 3, 96, 96), (2, 3, 32, 32)]


def test_more_queries_share_the_frames_and_each_counts_the_same() -> None:
    module, clips = objective(queries=3), noise(2, 5, 3, 96, 96)
    together = gone_through(module, clips)
    assert module.encoder.seen == [(10, 3, 96, 96), (6, 3, 32, 32)]
    pictures = unit(module.encoder.encode(clips.flatten(0, 1))).unflatten(0, (2, 5))
    truth = timecycle.draw_places(6, torch.Generator().manual_seed(0), turn=module.turn).view(2, 3, 3)
    cut = module.tracker.crop_pixels(clips[:, -1], truth)
    query = unit(module.encoder.encode(cut.flatten(0, 1))).unflatten(0, (2, 3))
    alone = [module.losses(pictures, query[:, i : i + 1], truth[:, i : i + 1]) for i in range(3)]
    for name, value in together.items():
        torch.testing.assert_close(value, torch.stack([losses[name] for losses in alone]).mean())


def test_the_papers_grids_are_those_of_its_encoder() -> None:
    encoder = build_on_meta("timecycle", {})
    picture, patch = (encoder.encode(torch.empty(1, 3, side, side, device="meta")) for side in (240, 80))
    assert (picture.shape, patch.shape) == ((1, 512, 30, 30), (1, 512, 10, 10))


def test_the_papers_network_makes_a_step() -> None:
    module = OBJECTIVES["timecycle"](dataclasses.replace(CONFIG, encoder="timecycle-r18", frames=3))
    losses = gone_through(module, noise(1, 3, 3, 96, 96))
    losses["loss"].backward()
    assert module.encoder.name == "timecycle-r18"
    assert all(loss.isfinite() for loss in losses.values())
    assert all(p.grad is not None and p.grad.isfinite().all() for p in module.parameters())


def test_the_preset_is_the_papers_run() -> None:
    assert isinstance(OBJECTIVES, Registry)
    config = resolve_training(TimeCycling.preset)
    assert (config.learning_rate, config.beta1, config.batch, config.clip_gradient) == (2e-4, 0.5, 36, 10.0)
    form = TimeCycling(config, Blocks()).form
    assert (form.frames, form.rate, form.size, form.framing) == (5, 6.0, 240, "crop")


def test_a_single_frame_is_refused() -> None:
    with pytest.raises(ConfigError, match="frames is 1, expected at least 2"):
        objective(frames=1)
