"""CorrFlow's objective: the bottleneck, the walk forward with scheduled sampling, the cycle, and their switches."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from propagate.encoders.build import as_module, build_encoder
from propagate.encoders.weights import open_encoder, save_weights
from propagate.errors import ConfigError
from propagate.ops.color import grey
from propagate.training.config import TrainConfig, resolve_training
from propagate.training.loop import learning_rate
from propagate.training.objectives import corrflow
from propagate.training.objectives.calibrate_logits import SPREAD, calibrate_logits
from propagate.training.objectives.colors import cross_entropy
from propagate.training.objectives.corrflow import (
    CorrespondenceFlow,
    bottleneck,
    drop_channels,
    jitter,
    true_probability,
)

ALWAYS = torch.ones(1, 3, dtype=torch.bool)


def random_state(seed=0):
    return torch.Generator().manual_seed(seed)


def clips(batch=1, frames=3, size=32):
    """Return blocks of colours that move by a cell a frame."""
    blocks = torch.rand(batch, 3, size // 4, size // 4 + frames, generator=random_state())
    wide = F.interpolate(blocks, scale_factor=4.0, mode="nearest")
    return torch.stack([wide[..., 4 * t : 4 * t + size] for t in range(frames)], 1)


def fitted(**settings):
    config = TrainConfig(**{"size": 32, "radius": 2, **settings})
    objective = CorrespondenceFlow(config)
    objective.fit(clips(4).flatten(0, 1))
    return objective


def tracked(frames=3, shape=(6, 6)):
    """Return unique features of a scene that moves a cell a frame (1, T, 36, 6, 6) and its colours (1, T, 16, 6, 6)."""
    count = shape[0] * shape[1]
    codes = 30 * torch.eye(count).view(1, count, *shape)
    colors = F.one_hot(torch.randint(16, (1, *shape), generator=random_state()), 16).permute(0, 3, 1, 2).float()
    return (torch.stack([scene.roll(t, 3) for t in range(frames)], 1) for scene in (codes, colors))


def test_a_perfect_tracker_loses_nothing():
    features, colors = tracked()
    for true in (ALWAYS, ~ALWAYS):
        losses = fitted(radius=6).rebuilding_losses(features, colors, true=true)
        assert all(loss < 1e-5 for loss in losses.values())


def test_the_radius_is_what_is_seen():
    features, colors = tracked()
    assert fitted(radius=1).rebuilding_losses(features, colors, true=ALWAYS)["loss"] > 0.1  # the rolled-over column
    near, everywhere = fitted(radius=6), fitted(radius=None)
    random = [torch.randn(1, 3, 4, 6, 6, generator=random_state()), colors]
    one, two = (objective.rebuilding_losses(*random, true=~ALWAYS) for objective in (near, everywhere))
    torch.testing.assert_close(one, two)


def test_losses_are_equation_5_worked_out():
    """Forward from truth or prediction, backward from the model's last frame, 1.0 and 0.1, by plain softmax."""
    features = torch.randn(2, 3, 4, 3, 3, generator=random_state())
    colors = torch.randn(2, 3, 5, 3, 3, generator=random_state()).softmax(2)
    true = torch.tensor([[True, True, True], [True, False, True]])

    def copy(target, source, labels):
        query, keys = features[:, target].flatten(2), features[:, source].flatten(2)
        weights = (keys.mT @ query).softmax(1)  # (B, M, Q)
        return (labels.flatten(2) @ weights).view_as(labels)

    second = copy(1, 0, colors[:, 0])
    third = copy(2, 1, torch.stack([colors[0, 1], second[1]]))
    back = copy(1, 2, third)
    first = copy(0, 1, back)
    forward = cross_entropy(second, colors[:, 1]) + cross_entropy(third, colors[:, 2])
    backward = cross_entropy(back, colors[:, 1]) + cross_entropy(first, colors[:, 0])
    losses = fitted(radius=None).rebuilding_losses(features, colors, true=true)
    expected = {"loss": forward + 0.1 * backward, "forward": forward, "backward": backward}
    torch.testing.assert_close(losses, expected)


def test_gradients_through_the_walk_are_those_of_double_precision():
    """Of pointers as sharp as untrained features make them: where probabilities are tiny, nothing overflows."""
    gradients = []
    for dtype in (torch.float64, torch.float32):
        features = (3 * torch.randn(1, 3, 8, 6, 6, generator=random_state(), dtype=torch.float64)).to(dtype)
        _, colors = tracked()
        losses = fitted().rebuilding_losses(features.requires_grad_(), colors.to(dtype), true=~ALWAYS)
        losses["loss"].backward()
        gradients.append(features.grad)
    torch.testing.assert_close(gradients[1].double(), gradients[0], atol=1e-4, rtol=1e-3)
    assert gradients[0].abs().max() > 0.01


def test_scheduled_sampling_at_probability_1_is_teacher_forcing(monkeypatch):
    sampled, forced = fitted(scheduled_sampling=True), fitted(scheduled_sampling=False)
    as_module(sampled.encoder).eval()
    as_module(forced.encoder).eval()
    batch = clips(4)
    usual = [o(batch, progress=1.0, random=random_state(2))["loss"].item() for o in (sampled, forced)]
    assert usual[0] != usual[1]
    monkeypatch.setattr(corrflow, "TRUE_AT_LAST", 1.0)
    always = [o(batch, progress=1.0, random=random_state(2))["loss"].item() for o in (sampled, forced)]
    assert always[0] == always[1] == usual[1]


def test_truth_falls_evenly_from_nine_to_six_of_ten():
    assert [round(true_probability(share), 9) for share in (0.0, 0.5, 1.0)] == [0.9, 0.75, 0.6]


def test_without_the_cycle_there_is_the_way_forward_alone():
    losses = fitted(cycle=False)(clips(), progress=0.0, random=random_state())
    assert set(losses) == {"loss", "forward"}
    assert losses["loss"] == losses["forward"]


def test_the_cycle_reaches_the_features_through_the_model_s_own_colours():
    features, colors = tracked()
    random = torch.randn(features.shape, generator=random_state()).requires_grad_()
    fitted().rebuilding_losses(random, colors, true=ALWAYS)["backward"].backward()
    assert random.grad is not None
    assert (random.grad.abs().sum((2, 3, 4)) > 0).all()


def test_grey_input_hides_colour():
    batch, targets = clips(2), clips(2)
    shown = [bottleneck(c, color=False, random=random_state()) for c in (batch, grey(batch))]
    torch.testing.assert_close(shown[0], shown[1])
    torch.testing.assert_close(shown[0][:, :, 0], shown[0][:, :, 2])
    objective = fitted(color_dropout=False)
    as_module(objective.encoder).eval()
    colors = objective.colors(targets)
    objective.colors.forward = lambda _: colors
    losses = [objective(c, progress=0.5, random=random_state())["loss"] for c in (batch, grey(batch))]
    torch.testing.assert_close(losses[0], losses[1])


def test_channels_are_dropped_and_the_rest_scaled():
    dropped = drop_channels(torch.ones(4000, 3, 1, 1), random=random_state())[..., 0, 0]
    zeros = (dropped == 0).sum(1)
    shares = torch.bincount(zeros, minlength=4) / 4000
    torch.testing.assert_close(shares, torch.tensor([0.3, 0.35, 0.35, 0.0]), atol=0.03, rtol=0)
    torch.testing.assert_close(dropped.sum(1), torch.full((4000,), 3.0))
    torch.testing.assert_close(dropped.mean(0), torch.ones(3), atol=0.06, rtol=0)
    torch.testing.assert_close(dropped[zeros == 1].max(1).values.unique(), torch.tensor([1.5]))


def test_every_frame_of_a_clip_draws_for_itself():
    seen = bottleneck(torch.full((8, 3, 3, 2, 2), 0.5), color=True, random=random_state())
    assert any((clip == 0).flatten(1).sum(1).unique().numel() > 1 for clip in seen)


def test_jitter_stays_within_a_tenth_and_in_range():
    frames = torch.rand(64, 3, 4, 4, generator=random_state())
    changed = jitter(frames, random=random_state())
    assert 0 <= changed.min() <= changed.max() <= 1
    flat = torch.full((64, 3, 2, 2), 0.5)
    bright = jitter(flat, random=random_state()) / flat
    assert 0.9 <= bright.min() < 0.93
    assert 1.07 < bright.max() <= 1.1
    torch.testing.assert_close(jitter(frames, random=random_state(), most=0.0), frames)


def test_the_same_chance_gives_the_same_loss():
    objective = fitted()
    as_module(objective.encoder).eval()
    losses = [objective(clips(2), progress=0.3, random=random_state(seed))["loss"].item() for seed in (5, 5, 6)]
    assert losses[0] == losses[1] != losses[2]


def test_adam_lowers_the_loss_on_a_clip():
    objective = fitted()
    optimizer = torch.optim.Adam(objective.parameters(), lr=1e-5)
    losses = []
    for _ in range(3):
        loss = objective(clips(2), progress=0.0, random=random_state())["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[2] < losses[0]


def test_encoders_of_several_frames_and_single_frames_are_refused():
    with pytest.raises(ConfigError, match="corrflow embeds frames alone; 'colorization' embeds several together"):
        CorrespondenceFlow(TrainConfig(), build_encoder("colorization"))
    with pytest.raises(ConfigError, match="corrflow needs clips of 2 frames or more, not 1"):
        CorrespondenceFlow(TrainConfig(frames=1))


def test_the_preset_is_the_paper_s():
    config = resolve_training(CorrespondenceFlow.preset)
    objective = CorrespondenceFlow(config)
    assert (objective.form.frames, objective.form.size, objective.form.framing) == (3, 256, "squash")
    assert (objective.radius, config.clusters, config.temperature, objective.encoder.stride) == (6, 16, 1.0, 4)
    assert objective.color_dropout is objective.scheduled is objective.cycle is True
    rates = [learning_rate(config, share) for share in (0.0, 0.39, 0.4, 0.6, 0.8, 1.0)]
    torch.testing.assert_close(rates, [2e-4, 2e-4, 1e-4, 5e-5, 2.5e-5, 2.5e-5])


def products(objective):
    seen = as_module(objective.encoder).train().encode(clips(4).flatten(0, 1))
    cells = seen.flatten(2)
    return seen.mean((0, 2, 3)), (cells.transpose(1, 2) @ cells).std(2).mean()


def test_a_new_network_s_products_are_moderate_before_the_first_step():
    plain = CorrespondenceFlow(TrainConfig(size=32, radius=2))
    assert products(plain)[1] > 10 * SPREAD
    mean, spread = products(fitted())
    assert mean.abs().max() < 1e-4
    assert spread.item() == pytest.approx(SPREAD, rel=1e-3)
    assert products(fitted(temperature=2.0))[1].item() == pytest.approx(2 * SPREAD, rel=1e-3)


def test_weights_to_go_on_from_are_left_as_they_are(tmp_path):
    path = tmp_path / "w.safetensors"
    save_weights(path, build_encoder("corrflow", seed=3), training={})
    objective = CorrespondenceFlow(TrainConfig(size=32, radius=2, init=str(path)), open_encoder(None, str(path)))
    objective.fit(clips(4).flatten(0, 1))
    before = build_encoder("corrflow", seed=3)
    assert torch.equal(objective.encoder.project.weight, before.project.weight)


def test_a_network_without_a_bias_is_left_as_it_is():
    encoder = build_encoder("resnet18", seed=0)
    before = {name: value.clone() for name, value in as_module(encoder).named_parameters()}
    calibrate_logits(encoder, clips(4).flatten(0, 1), temperature=1.0)
    assert all(torch.equal(before[name], value) for name, value in as_module(encoder).named_parameters())


def test_frames_without_structure_change_nothing():
    """Of products that do not spread there is no scale: black frames would make the weights infinite."""
    encoder = build_encoder("corrflow", seed=0)
    before = {name: value.clone() for name, value in as_module(encoder).named_parameters()}
    calibrate_logits(encoder, torch.zeros(2, 3, 32, 32), temperature=1.0)
    assert all(torch.equal(before[name], value) for name, value in as_module(encoder).named_parameters())
