"""The objective `pretext`: its recipe, its terms together, and that it teaches."""

from __future__ import annotations

import dataclasses
import re

import pytest
import torch

from propagate.encoders.build import as_module, build_encoder
from propagate.errors import ConfigError
from propagate.training import OBJECTIVES
from propagate.training.config import TrainConfig, resolve_training
from propagate.training.objectives.pretext import RECIPE, TERMS, PretextTasks, parse_recipe

ALL = "warp:1,walk:0.5,lab:4"


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def config(recipe: str = ALL, **changes: object) -> TrainConfig:
    return dataclasses.replace(TrainConfig(recipe=recipe, temperature=0.07, size=32), **changes)


def clips(batch: int = 2, frames: int = 2, size: int = 32) -> torch.Tensor:
    return torch.rand(batch, frames, 3, size, size, generator=seeded(5))


def test_runs_and_weights_of_its_former_name_are_its_own() -> None:
    assert resolve_training({"objective": "propagate"}).objective == "pretext"
    assert "propagate" not in list(OBJECTIVES)


def test_recipes_are_read() -> None:
    assert parse_recipe("warp:1, lab : 0.5,walk:2e-1") == {"warp": 1.0, "lab": 0.5, "walk": 0.2}
    assert parse_recipe("lab") == {"lab": 1.0}
    assert parse_recipe("") == parse_recipe(RECIPE)


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ("warp:1,colour:2", "no term 'colour'"),
        ("warp:1,", "no term ''"),
        ("warp:1,warp:2", "'warp' is there twice"),
        ("warp:much", "a number above 0, not 'much'"),
        ("warp:", "a number above 0, not ''"),
        ("warp:0", "a number above 0, not '0'"),
        ("lab:-1", "a number above 0, not '-1'"),
        ("lab:nan", "a number above 0, not 'nan'"),
        ("lab:inf", "a number above 0, not 'inf'"),
    ],
)
def test_recipes_that_are_wrong_are_refused(recipe: str, message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        parse_recipe(recipe)


def test_short_clips_are_refused() -> None:
    with pytest.raises(ConfigError, match="'walk' needs clips of 2 frames or more, not 1"):
        PretextTasks(config("warp,walk", frames=1))


def test_the_preset_is_made_of_settings_and_builds() -> None:
    settings = dataclasses.replace(TrainConfig(), **PretextTasks.preset)
    objective = PretextTasks(settings)
    assert OBJECTIVES["pretext"] is OBJECTIVES["propagate"] is PretextTasks
    assert objective.encoder.name == "resnet18"
    assert objective.form.size == settings.size
    assert objective.record() == {"recipe": RECIPE}


@pytest.mark.parametrize("recipe", [*TERMS, ALL])
def test_every_weight_of_the_encoder_is_taught(recipe: str) -> None:
    objective = PretextTasks(config(recipe)).train()
    losses = objective(clips(), progress=0.0, random=seeded())
    assert set(losses) == {"loss", *parse_recipe(recipe)}
    losses["loss"].backward()
    for name, parameter in as_module(objective.encoder).named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().sum() > 0, name


def test_the_loss_is_the_weighted_sum_of_its_terms() -> None:
    losses = PretextTasks(config(ALL))(clips(), progress=0.0, random=seeded())
    expected = losses["warp"] + 0.5 * losses["walk"] + 4 * losses["lab"]
    torch.testing.assert_close(losses["loss"], expected)


def test_a_step_repeats_and_another_seed_is_another_step() -> None:
    objective = PretextTasks(config()).eval()
    first, again, other = (objective(clips(), progress=0.0, random=seeded(seed))["loss"].item() for seed in (0, 0, 1))
    assert first == again != other


def test_the_given_encoder_is_the_one_that_learns() -> None:
    encoder = build_encoder("resnet18", seed=3)
    objective = PretextTasks(config(), encoder)
    assert objective.encoder is encoder
    assert {id(p) for p in as_module(encoder).parameters()} == {id(p) for p in objective.parameters()}


def test_autocast_is_for_the_encoder_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    objective = PretextTasks(config(ALL))
    shown, encode = [], objective.encoder.encode

    def kept(pictures: torch.Tensor) -> torch.Tensor:
        shown.append(pictures)
        return encode(pictures)

    monkeypatch.setattr(objective.encoder, "encode", kept)
    for fast in (False, True):
        with torch.autocast("cpu", torch.bfloat16, enabled=fast):
            losses = objective(clips(), progress=0.0, random=seeded())
        assert {loss.dtype for loss in losses.values()} == {torch.float32}
    assert torch.equal(shown[0], shown[1])


def test_a_few_steps_teach_pointing() -> None:
    """Batch of one texture, the same step again and again: the encoder overfits it."""
    torch.manual_seed(0)
    objective = PretextTasks(config("warp:1")).train()
    optimizer = torch.optim.Adam(objective.parameters(), lr=1e-3)
    costs = []
    for _ in range(12):
        loss = objective(clips(), progress=0.0, random=seeded(2))["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        costs.append(loss.item())
    assert costs[-1] < 0.5 * costs[0]
