"""Vondrick's objective: colours are clustered in Lab of RGB, copied by the pointer, and compared as they should be."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from propagate.encoders.build import as_module, build_encoder
from propagate.errors import ConfigError
from propagate.ops.clip_attention import copy_everywhere
from propagate.ops.color import grey, rgb_to_lab
from propagate.training.config import TrainConfig, resolve_training
from propagate.training.loop import learning_rate
from propagate.training.objectives.calibrate_logits import SPREAD
from propagate.training.objectives.colorization import Colorizing
from propagate.training.objectives.colors import QuantizedColors, cross_entropy

RED, GREEN, BLUE, YELLOW = (0.9, 0.1, 0.1), (0.1, 0.8, 0.2), (0.1, 0.2, 0.9), (0.9, 0.9, 0.1)


def plain(color, *, size=32, frames=1):
    return torch.tensor(color).view(1, 3, 1, 1).expand(frames, 3, size, size).contiguous()


def random_state():
    return torch.Generator().manual_seed(0)


def clips(batch=1, frames=4, size=32):
    """Return blocks of colours that move by a cell a frame."""
    blocks = torch.rand(batch, 3, size // 8, size // 8 + frames, generator=random_state())
    wide = F.interpolate(blocks, scale_factor=8.0, mode="nearest")
    return torch.stack([wide[..., 8 * t : 8 * t + size] for t in range(frames)], 1)


def fitted(config=None, **kind):
    objective = Colorizing(config or TrainConfig(size=32), **kind)
    objective.fit(clips(4).flatten(0, 1))
    return objective


def test_clusters_are_of_lab_of_rgb():
    """Red has a > 0 and b > 0, blue b < 0: swapped channels would exchange them (a published set has them so)."""
    colors = QuantizedColors(2, stride=8, offset=0.0)
    colors.fit(torch.cat([plain(RED), plain(BLUE)]))
    expected = sorted(rgb_to_lab(plain(color))[0, 1:, 0, 0].tolist() for color in (RED, BLUE))
    torch.testing.assert_close(colors.clusters, torch.tensor(expected))
    red = colors.clusters[colors(plain(RED)[None])[0, 0, :, 0, 0].argmax()]
    assert red[0] > 40
    assert red[1] > 20
    assert colors.clusters[colors(plain(BLUE)[None])[0, 0, :, 0, 0].argmax(), 1] < -60


@pytest.mark.parametrize("edge", range(33))
def test_where_two_colours_meet_there_is_no_third(edge):
    """A cell is what most of its pixels are; cluster 1 lies between the two by number and by colour."""
    colors = QuantizedColors(3, stride=8, offset=0.0)
    colors.clusters.copy_(torch.tensor([[60.0, 40.0], [0.0, 50.0], [-60.0, 40.0]]))
    frame = torch.cat([plain(RED)[..., :edge], plain(GREEN)[..., edge:]], 3)
    onehot = colors(frame[None])[0, 0]
    assert torch.equal(onehot.sum(0), torch.ones(4, 4))
    halves = [0, 8, 16, 24]  # a cell's centre; it reaches from 4 pixels before to 4 after
    assert onehot.argmax(0).tolist() == [[0 if edge > centre else 2 for centre in halves]] * 4


def test_cells_lie_where_the_encoder_s_do():
    colors = QuantizedColors(2, stride=8, offset=3.5)
    colors.clusters.copy_(torch.tensor([[60.0, 40.0], [-60.0, 40.0]]))
    frame = torch.cat([plain(RED, size=20)[..., :4], plain(GREEN, size=20)[..., 4:]], 3)
    assert colors(frame[None])[0, 0].argmax(0).tolist() == [[0, 1, 1]] * 3  # a tie goes to the first


def test_clusters_must_be_fitted_and_are_saved():
    config = TrainConfig(size=32)
    with pytest.raises(ValueError, match="fit them on frames first"):
        Colorizing(config)(clips(), progress=0.0, random=random_state())
    objective, other = fitted(config), Colorizing(config)
    other.load_state_dict(objective.state_dict())
    record = other.record()["clusters"]
    assert record == objective.record()["clusters"]
    assert len(record) == 16
    assert record == sorted(record)


def test_the_loss_is_of_probabilities_not_of_logits():
    truth = F.one_hot(torch.tensor([[[0, 2]]]), 3).permute(0, 3, 1, 2).float()
    copied = torch.tensor([[0.5, 0.25, 0.25], [0.1, 0.1, 0.8]]).T.reshape(1, 3, 1, 2)
    torch.testing.assert_close(cross_entropy(copied, truth), torch.tensor(-(math.log(0.5) + math.log(0.8)) / 2))
    assert cross_entropy(truth, truth) == 0.0
    assert cross_entropy(1 - truth, truth).isfinite()


def test_a_pointer_far_from_the_truth_is_still_taught():
    query = torch.tensor([[1.0, 1.0], [0.0, 0.0]]).view(1, 2, 1, 2).requires_grad_()
    keys = torch.tensor([[40.0, 0.0], [0.0, 40.0]]).T.view(1, 1, 2, 1, 2)  # the first is right by 40 nats, but wrong
    colors, truth = torch.eye(2).view(1, 1, 2, 1, 2), torch.tensor([[0.0, 0.0], [1.0, 1.0]]).view(1, 2, 1, 2)
    loss = cross_entropy(copy_everywhere(query, keys, colors), truth)
    loss.backward()
    torch.testing.assert_close(loss, torch.tensor(40.0), atol=0.01, rtol=0)
    torch.testing.assert_close(query.grad.flatten(), torch.tensor([20.0, 20.0, -20.0, -20.0]), atol=0.1, rtol=0)


def test_a_perfect_tracker_loses_nothing():
    objective = fitted()
    codes = 30 * torch.eye(16).view(1, 16, 4, 4)
    features = torch.stack([codes, torch.zeros_like(codes), torch.zeros_like(codes), codes.roll(1, 3)], 1)
    first = F.one_hot(torch.randint(16, (1, 4, 4), generator=random_state()), 16).permute(0, 3, 1, 2).float()
    wrong = first.roll(1, 1)
    colors = torch.stack([first, wrong, wrong, first.roll(1, 3)], 1)
    assert objective.copying_loss(features, colors) < 1e-6
    assert objective.copying_loss(features.roll(1, 1), colors) > 1


def test_the_network_sees_grey():
    """A clip and its grey copy give the same features, and so, with the same targets, the same loss."""
    objective = fitted()
    as_module(objective.encoder).eval()
    colored = clips()
    colors = objective.colors(colored)
    losses = [objective.copying_loss(objective._embed(grey(c)), colors) for c in (colored, grey(colored))]
    torch.testing.assert_close(losses[0], losses[1])
    torch.testing.assert_close(objective(colored, progress=0.0, random=random_state())["loss"], losses[0])


def test_the_first_three_frames_are_the_references():
    objective = fitted()
    features = torch.zeros(1, 4, 8, 4, 4)  # a pointer that looks everywhere alike copies the mean of all references
    colors = objective.colors(clips())
    mean = colors[:, :3].mean((1, 3, 4), keepdim=True)[:, 0].expand(-1, -1, 4, 4)
    torch.testing.assert_close(objective.copying_loss(features, colors), cross_entropy(mean, colors[:, 3]))


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
    assert all(p.grad is not None and p.grad.isfinite().all() for p in objective.parameters())


def test_another_encoder_embeds_frames_alone_and_grey():
    config = TrainConfig(encoder="resnet18", size=32, frames=2)
    objective = Colorizing(config)
    objective.fit(clips()[0])
    assert objective.encoder.name == "resnet18"
    assert objective.form.frames == 2
    as_module(objective.encoder).eval()
    colors = objective.colors(clips(frames=2))
    objective.colors.of_chroma = lambda _: colors  # the same targets for the clip and its grey copy
    shown = clips(frames=2), grey(clips(frames=2))
    losses = [objective(c, progress=0.0, random=random_state())["loss"] for c in shown]
    torch.testing.assert_close(losses[0], losses[1])


@pytest.mark.parametrize(("encoder", "frames"), [("colorization", 3), ("resnet18", 1)])
def test_clips_of_another_length_are_refused(encoder, frames):
    with pytest.raises(ConfigError, match=rf"'{encoder}' needs clips of \d frames, not {frames}"):
        Colorizing(TrainConfig(frames=frames), build_encoder(encoder))


def test_the_preset_is_the_paper_s():
    config = resolve_training(Colorizing.preset)
    form = Colorizing(config).form
    assert (form.frames, form.rate, form.size, form.framing) == (4, 6.0, 256, "squash")
    assert (config.batch, config.clusters, config.temperature, config.optimizer) == (32, 16, 1.0, "adam")
    rates = [learning_rate(config, step / 400_000) for step in (0, 59_999, 60_000, 400_000)]
    torch.testing.assert_close(rates, [1e-3, 1e-3, 1e-4, 1e-4])


def test_a_new_network_s_products_are_centred_and_moderate_before_the_first_step():
    shown = clips(8)[:, :1]  # a frame beside itself, as `calibrate_logits` sees it
    objective = Colorizing(TrainConfig(size=32))
    objective.fit(shown[:, 0])
    seen = [objective.encoder.train()(grey(clip.expand(-1, 4, -1, -1, -1)))[0, -1] for clip in shown.split(1)]
    features = torch.stack(seen).flatten(2)
    assert features.mean((0, 2)).abs().max() < 0.2
    assert (features.transpose(1, 2) @ features).std(2).mean().item() == pytest.approx(SPREAD, rel=0.2)


def test_shaken_clips_are_those_that_the_loss_sees():
    """Cut apart, blocks that move by a cell a frame are elsewhere; the same chance gives the same loss."""
    objective = fitted(TrainConfig(size=32, jitter_crops=16))
    assert objective.form.size == 48
    given = clips(2, size=48)
    once, again, other = (
        objective(given, progress=0.0, random=torch.Generator().manual_seed(seed))["loss"].item() for seed in (1, 1, 2)
    )
    assert once == again != other


@pytest.mark.parametrize("setting", [{"stretch_chroma": 25.0}, {"copy_paste": 2}])
def test_spread_colours_and_pasted_pieces_are_what_the_loss_sees(setting):
    objective = fitted(TrainConfig(size=32, **setting))
    given = clips(2)
    once, again, other = (
        objective(given, progress=0.0, random=torch.Generator().manual_seed(seed))["loss"].item() for seed in (1, 1, 2)
    )
    assert once == again != other
