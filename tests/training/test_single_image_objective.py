"""The single-image baseline: Zhang's bins, soft encoding and rebalancing by hand, and a loss that can be learnt."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from propagate.encoders.build import as_module, build_encoder
from propagate.errors import ConfigError
from propagate.ops.color import grey, lab_to_rgb, rgb_to_lab
from propagate.training.config import TrainConfig, resolve_training
from propagate.training.objectives.single_image import (
    ColorBins,
    SingleImage,
    bin_centres,
    centre_chroma,
    rebalancing,
    smooth,
    soft_encode,
)


def random_state():
    return torch.Generator().manual_seed(0)


def pictures(count=2, size=32):
    """Return clips (count, 1, 3, size, size): left half dark and reddish, right half bright and bluish, with noise."""
    lab = torch.empty(count, 3, size, size)
    lab[..., : size // 2] = torch.tensor([30.0, 40.0, 20.0]).view(3, 1, 1)
    lab[..., size // 2 :] = torch.tensor([70.0, -10.0, -30.0]).view(3, 1, 1)
    return lab_to_rgb(lab + torch.randn(lab.shape, generator=random_state()))[:, None]


def fitted(**settings):
    objective = SingleImage(TrainConfig(**{"size": 32, **settings}))
    objective.fit(pictures(4).flatten(0, 1))
    return objective


def test_there_are_313_bins_in_steps_of_10():
    centres = bin_centres()
    assert centres.shape == (313, 2)
    assert len(centres.unique(dim=0)) == 313
    assert (centres % 10 == 0).all()
    assert (torch.cdist(centres, centres).fill_diagonal_(99).min(1).values == 10).all()


def test_no_color_of_srgb_is_far_from_a_bin():
    steps = torch.linspace(0, 1, 18)
    cube = torch.stack(torch.meshgrid(steps, steps, steps, indexing="ij")).view(3, 18, -1)
    chroma = rgb_to_lab(cube)[1:].flatten(1).T
    assert torch.cdist(chroma, bin_centres()).min(1).values.max() < 10 / math.sqrt(2)


def test_a_colour_is_spread_over_five_bins_by_a_gaussian_of_5():
    bins, shares = soft_encode(torch.tensor([[12.0, 0.0]]), bin_centres())
    found = {tuple(bin_centres()[b].tolist()): s.item() for b, s in zip(bins[0], shares[0], strict=True)}
    squares = {(10.0, 0.0): 4, (20.0, 0.0): 64, (10.0, 10.0): 104, (10.0, -10.0): 104, (0.0, 0.0): 144}
    total = sum(math.exp(-d / 50) for d in squares.values())
    assert found.keys() == squares.keys()
    assert found == pytest.approx({place: math.exp(-d / 50) / total for place, d in squares.items()})
    assert tuple(bin_centres()[bins[0, 0]].tolist()) == (10.0, 0.0)


def test_a_colour_far_outside_still_has_shares():
    _, shares = soft_encode(torch.tensor([[500.0, 500.0]]), bin_centres())
    torch.testing.assert_close(shares.sum(1), torch.ones(1))


def test_rebalancing_by_hand():
    """Of p = 0.9, 0.1: mixed with the uniform half to 0.7, 0.3; inverted, and scaled so that sum p w = 1."""
    weights = rebalancing(torch.tensor([0.9, 0.1]))
    norm = 0.9 / 0.7 + 0.1 / 0.3
    torch.testing.assert_close(weights, torch.tensor([1 / 0.7 / norm, 1 / 0.3 / norm]))
    torch.testing.assert_close(rebalancing(torch.full((313,), 1 / 313)), torch.ones(313))


def test_smoothing_by_hand():
    """Bins 10 apart take exp(-100 / 50) of one another."""
    smoothed = smooth(torch.tensor([1.0, 0.0]), torch.tensor([[0.0, 0.0], [10.0, 0.0]]))
    share = math.exp(-2)
    torch.testing.assert_close(smoothed, torch.tensor([1, share]) / (1 + share))


def test_rare_colours_weigh_more():
    frames = pictures(1)[:, 0].repeat(9, 1, 1, 1)
    frames[:8] = lab_to_rgb(torch.tensor([50.0, 0.0, 60.0]).view(1, 3, 1, 1).expand(8, 3, 32, 32))
    bins = ColorBins(stride=8, offset=0.0)
    bins.fit(frames)
    at = {tuple(place): weight.item() for place, weight in zip(bin_centres().tolist(), bins.weights, strict=True)}
    assert at[0, 60] < 1 < at[40, 20] < at[60, -80]


def test_the_loss_by_hand():
    bins = ColorBins(stride=8, offset=0.0)
    bins.fit(pictures().flatten(0, 1))
    chroma = torch.tensor([[12.0, 0.0], [0.0, 60.0]]).T.reshape(1, 2, 1, 2)
    logits = torch.randn(1, 313, 1, 2, generator=random_state()).log_softmax(1)
    nearest, shares = soft_encode(chroma[0, :, 0].T, bins.centres)
    dense = torch.zeros(2, 313).scatter(1, nearest, shares)  # Z
    each = -bins.weights[dense.argmax(1)] * (dense * logits[0, :, 0].T).sum(1)
    torch.testing.assert_close(bins.loss(logits, chroma), each.mean())


def test_the_prior_is_the_best_constant_answer():
    """On the colours that were fitted, no small change of the constant answer lowers the loss."""
    frames = pictures(4).flatten(0, 1)
    bins = ColorBins(stride=8, offset=0.0)
    bins.fit(frames)
    answer = bins.answer.log().requires_grad_()
    bins.loss(answer.log_softmax(0), rgb_to_lab(frames)[:, 1:]).backward()  # every pixel
    assert answer.grad is not None
    assert answer.grad.abs().max() < 1e-5


def test_weights_must_be_fitted_and_are_saved():
    fresh = SingleImage(TrainConfig(size=32))
    with pytest.raises(ValueError, match="fit them on frames first"):
        fresh(pictures(), progress=0.0, random=random_state())
    objective = fitted()
    fresh.load_state_dict(objective.state_dict())
    assert fresh.record() == objective.record()
    assert len(objective.record()["weights"]) == 313


def test_the_network_sees_grey():
    objective = fitted()
    encoder = as_module(objective.encoder).eval()
    frames = pictures()[:, 0]
    assert frames.std(1).max() > 0.1
    torch.testing.assert_close(objective.encoder.encode(frames), objective.encoder.encode(grey(frames)))
    assert encoder.get_submodule("trunk.conv1").weight.shape[1] == 1


def test_adam_lowers_the_loss_on_a_clip():
    objective = fitted()
    optimizer = torch.optim.Adam(objective.parameters(), lr=1e-3)
    losses = []
    for _ in range(3):
        loss = objective(pictures(), progress=0.0, random=random_state())["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[2] < losses[0]
    assert all(p.grad is not None and p.grad.isfinite().all() for p in objective.parameters())


def test_the_last_layer_alone_learns_more_than_the_prior():
    """Dark and bright halves have different colours: any features of the picture beat the best constant answer."""
    objective = fitted()
    frames = pictures()[:, 0]
    chroma = centre_chroma(frames, stride=8, offset=0.0)
    with torch.no_grad():
        features = objective.encoder.encode(frames)
    optimizer = torch.optim.Adam(objective.classify.parameters(), lr=0.05)
    for _ in range(40):
        loss = objective.bins.loss(objective.classify(features).log_softmax(1), chroma)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 0.8 * objective.bins.loss(objective.bins.answer.log(), chroma)


def test_a_cell_s_colour_is_its_centre_s():
    frame = torch.rand(1, 3, 20, 17, generator=random_state())
    chroma = rgb_to_lab(frame)[:, 1:]
    torch.testing.assert_close(centre_chroma(frame, stride=8, offset=0.0), chroma[..., ::8, ::8])
    half = centre_chroma(frame, stride=8, offset=3.5)
    torch.testing.assert_close(half[..., :2, :2], chroma[..., 3::8, 3::8][..., :2, :2])
    torch.testing.assert_close(half[..., 2, 2], chroma[..., 19, 16])


def test_its_trunk_is_that_of_colorization():
    one, other = (as_module(build_encoder(name)).get_submodule("trunk") for name in ("single_image", "colorization"))
    assert {k: v.shape for k, v in one.state_dict().items()} == {k: v.shape for k, v in other.state_dict().items()}
    head = as_module(build_encoder("single_image")).get_submodule("head").modules()
    assert [layer.dilation for layer in head if isinstance(layer, nn.Conv2d)] == [(n, n) for n in (1, 2, 4, 8)]


def test_the_encoder_ends_before_the_last_layer():
    objective = fitted()
    assert (objective.encoder.channels, objective.encoder.stride) == (64, 8)
    assert "classify.weight" in objective.state_dict()
    assert not any("classify" in name for name in as_module(objective.encoder).state_dict())
    with pytest.raises(ConfigError, match="'colorization' embeds several together"):
        SingleImage(TrainConfig(), build_encoder("colorization"))


def test_the_preset_resolves():
    config = resolve_training(SingleImage.preset)
    form = SingleImage(config).form
    assert (form.frames, form.size, form.framing, config.batch) == (1, 256, "squash", 32)
