"""What single encoders do with their input: colours of cells, lightness, padding."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from propagate.encoders.corrflow import CorrFlow
from propagate.encoders.rawcolor import RawColor
from propagate.encoders.resnet import ResNet18, lightness
from propagate.ops.color import rgb_to_lab


def halves(height: int, width: int) -> torch.Tensor:
    """Return (1, 3, H, W): black on the left, white on the right."""
    rgb = torch.zeros(1, 3, height, width)
    rgb[..., width // 2 :] = 1.0
    return rgb


def test_rawcolor_is_the_mean_of_each_cell_scaled() -> None:
    rgb = torch.rand(1, 3, 8, 16)
    left = rgb_to_lab(rgb)[0, :, :, :8].mean((1, 2))
    expected = torch.tensor([left[0] / 50 - 1, left[1] / 50, left[2] / 50])
    torch.testing.assert_close(RawColor(stride=8).encode(rgb)[0, :, 0, 0], expected, atol=1e-5, rtol=1e-5)


def test_rawcolor_repeats_the_edge_of_a_partial_cell() -> None:
    wide = RawColor(stride=8).encode(halves(8, 18))  # the third cell is two white columns, repeated
    assert wide.shape == (1, 3, 1, 3)
    torch.testing.assert_close(wide[0, 0, 0, 2], torch.tensor(1.0), atol=1e-3, rtol=0)


@pytest.mark.parametrize("stride", [1, 4, 8])
def test_rawcolor_takes_any_stride(stride: int) -> None:
    encoder = RawColor(stride=stride)
    assert encoder.offset == (stride - 1) / 2
    assert encoder.encode(torch.rand(1, 3, 17, 9)).shape == (1, 3, -(-17 // stride), -(-9 // stride))


def test_rawcolor_refuses_a_stride_of_zero() -> None:
    with pytest.raises(ValueError, match="stride must be 1 or more"):
        RawColor(stride=0)


def test_luma_patch_sees_where_in_the_cell_the_edge_is() -> None:
    patch = RawColor(stride=8, patch=True).encode(halves(8, 8))[0, :, 0, 0].view(3, 3) * 3  # L / 50 - 1 of sub-cells
    torch.testing.assert_close(patch[:, 0], torch.full((3,), -1.0), atol=1e-3, rtol=0)
    torch.testing.assert_close(patch[:, 1], torch.zeros(3), atol=1e-3, rtol=0)
    torch.testing.assert_close(patch[:, 2], torch.ones(3), atol=1e-3, rtol=0)


def test_luma_patch_keeps_the_scale_of_lightness() -> None:
    dark, light = (torch.full((1, 3, 8, 8), value) for value in (0.3, 0.6))
    plain = [RawColor(stride=8).encode(x)[:, :1] for x in (dark, light)]
    patch = [RawColor(stride=8, patch=True).encode(x) for x in (dark, light)]
    distances = [(a - b).square().sum() for a, b in (plain, patch)]
    torch.testing.assert_close(distances[0], distances[1], atol=1e-5, rtol=1e-4)


def test_lightness_of_white_is_uvcs_eight_bit_value() -> None:
    torch.testing.assert_close(lightness(torch.ones(1, 3, 1, 1)).squeeze(), torch.tensor(255 / 256))


@torch.no_grad()
def test_lab_forms_see_other_colours_than_rgb_forms() -> None:
    rgb = torch.rand(1, 3, 32, 32)
    pairs: list[tuple[CorrFlow | ResNet18, CorrFlow | ResNet18]] = [
        (CorrFlow(), CorrFlow(color="lab")),
        (ResNet18(), ResNet18(color="lightness")),
    ]
    for plain, other in pairs:
        other.load_state_dict(plain.state_dict())
        assert not torch.allclose(plain.eval().encode(rgb), other.eval().encode(rgb), atol=1e-2)


def test_layers_of_resnet18() -> None:
    assert (ResNet18(layers=4).channels, ResNet18(layers=4).stride) == (512, 8)
    padded = [m for m in ResNet18(padding="reflect").modules() if isinstance(m, nn.Conv2d) and m.padding != (0, 0)]
    assert len(padded) == 13  # the first and two in each of six blocks
    assert {m.padding_mode for m in padded} == {"reflect"}
