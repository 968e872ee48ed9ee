"""Vondrick's network: frames encoded once and embedded in stacks of four."""

from __future__ import annotations

import functools

import pytest
import torch
from torch import Tensor, nn

from propagate.encoders.build import build_encoder, prepare
from propagate.encoders.colorization import Colorization, location


@functools.cache
def network() -> Colorization:
    encoder = build_encoder("colorization", seed=1)
    assert isinstance(encoder, Colorization)
    return encoder.eval()


def video(frames: int) -> Tensor:
    return torch.rand(frames, 3, 64, 64, generator=torch.Generator().manual_seed(0))


@torch.no_grad()
def test_streamed_features_equal_the_network_run_at_once() -> None:
    encoder, rgb = network(), video(6)
    kept = torch.cat([encoder.encode(frame[None]) for frame in rgb])  # each frame once
    for target in (3, 4, 5):
        window = slice(target - 3, target + 1)
        torch.testing.assert_close(encoder.embed(kept[window]), encoder(rgb[None, window])[0], atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_a_batch_of_clips_equals_each_clip() -> None:
    encoder, clips = network(), video(8).view(2, 4, 3, 64, 64)
    torch.testing.assert_close(encoder(clips)[1], encoder(clips[1:])[0], atol=1e-4, rtol=1e-4)


def test_paper_size_gives_32_by_32_cells_of_64_channels() -> None:
    encoder = prepare(network())
    stack = encoder.encode(torch.rand(1, 3, 256, 256)).expand(4, -1, -1, -1)
    assert encoder.embed(stack).shape == (4, 64, 32, 32)


def test_five_3d_convolutions_dilated_in_space_only() -> None:
    layers = [m for m in network().over_time if isinstance(m, nn.Conv3d)]
    assert [layer.dilation for layer in layers] == [(1, d, d) for d in (1, 2, 4, 8, 16)]
    assert all(layer.kernel_size == (3, 3, 3) and layer.out_channels == 64 for layer in layers)
    assert isinstance(network().over_time[-1], nn.Conv3d)  # neither batch norm nor ReLU after the last
    assert sum(isinstance(m, nn.BatchNorm3d) for m in network().over_time) == 4


def test_location_runs_from_minus_one_to_one() -> None:
    x, y = location(torch.zeros(1, 5, 2, 3))[0]
    assert x.tolist() == [[-1, 0, 1], [-1, 0, 1]]
    assert y.tolist() == [[-1, -1, -1], [1, 1, 1]]


@torch.no_grad()
def test_colour_of_the_same_luma_is_not_seen() -> None:
    red, grey = torch.zeros(1, 3, 64, 64), torch.full((1, 3, 64, 64), 0.299)
    red[:, 0] = 1.0
    torch.testing.assert_close(network().encode(red), network().encode(grey), atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_references_change_the_targets_embedding() -> None:
    encoder = network()
    stack = encoder.encode(video(4))
    other = torch.cat((stack[:2] * 0, stack[2:]))
    assert not torch.allclose(encoder.embed(stack)[3], encoder.embed(other)[3], atol=1e-3)


@pytest.mark.parametrize("frames", [1, 3, 5])
def test_only_four_frames_are_embedded(frames: int) -> None:
    with pytest.raises(ValueError, match="colorization embeds 4 frames"):
        network().embed(torch.zeros(frames, 258, 4, 4))


def test_weights_are_gaussian_with_hes_variance() -> None:
    weight = network().trunk.conv1.weight.detach()
    expected = (2 / (64 * 49)) ** 0.5
    assert abs(weight.std() / expected - 1) < 0.1
    assert abs(weight.mean()) < expected / 5
