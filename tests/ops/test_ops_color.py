"""sRGB to Lab and back, held against scikit-image."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from skimage import color

from propagate.ops.color import lab_to_rgb, rgb_to_lab


def cube(steps: int) -> torch.Tensor:
    """Return (3, steps * steps, steps): every colour of a coarse cube, the corners of sRGB among them."""
    axis = torch.linspace(0, 1, steps, dtype=torch.float64)
    return torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij")).reshape(3, steps * steps, steps)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-9), (torch.float32, 1e-3)])
def test_lab_equals_scikit_image(dtype: torch.dtype, tolerance: float) -> None:
    rgb = cube(18)
    expected = color.rgb2lab(rgb.numpy(), channel_axis=0)
    np.testing.assert_allclose(rgb_to_lab(rgb.to(dtype)).numpy(), expected, atol=tolerance)


def test_levels_give_the_very_lab_of_floats() -> None:
    levels = torch.randint(0, 256, (2, 40, 30, 3), dtype=torch.uint8).permute(0, 3, 1, 2)  # channels last in memory
    assert torch.equal(rgb_to_lab(levels), rgb_to_lab(levels.float() / 255))


def test_rgb_equals_scikit_image() -> None:
    lab = torch.tensor([[50.0, 20.0, -30.0], [3.0, 0.0, 1.0], [80.0, -10.0, 60.0]]).T.reshape(3, 1, 3)
    expected = color.lab2rgb(lab.double().numpy(), channel_axis=0)
    np.testing.assert_allclose(lab_to_rgb(lab).numpy(), expected, atol=1e-3)


def test_round_trip_keeps_every_colour() -> None:
    rgb = cube(18)
    torch.testing.assert_close(lab_to_rgb(rgb_to_lab(rgb)), rgb, atol=1e-3, rtol=0)


def test_colours_outside_srgb_are_clipped_and_finite() -> None:
    rgb = lab_to_rgb(torch.tensor([[[50.0]], [[127.0]], [[-127.0]]]))
    assert rgb.min() >= 0
    assert rgb.max() <= 1


def test_white_and_black_by_hand() -> None:
    white = rgb_to_lab(torch.ones(1, 3, 1, 1)).flatten()
    black = rgb_to_lab(torch.zeros(1, 3, 1, 1)).flatten()
    torch.testing.assert_close(white, torch.tensor([100.0, 0.0, 0.0]), atol=0.02, rtol=0)
    torch.testing.assert_close(black, torch.zeros(3), atol=1e-4, rtol=0)


def test_gradients_are_finite_at_black_and_white() -> None:
    rgb = torch.tensor([0.0, 1.0]).expand(3, 1, 2).clone().requires_grad_()
    rgb_to_lab(rgb).sum().backward()
    assert rgb.grad is not None
    assert rgb.grad.isfinite().all()
