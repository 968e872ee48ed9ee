"""Winograd's convolutions beside torch's own."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from propagate.encoders.build import as_module, fold_batch_norm, prepare
from propagate.encoders.dilation import denser
from propagate.encoders.trunk import WinogradConv2d, has_winograd
from propagate.encoders.weights import open_encoder

pytestmark = pytest.mark.skipif(not has_winograd(), reason="this processor has no NNPACK")


def pair(**how: object) -> tuple[nn.Conv2d, WinogradConv2d]:
    """Return a convolution from 5 to 7 channels and the same by Winograd."""
    torch.manual_seed(0)
    conv = nn.Conv2d(5, 7, 3, **{"padding": 1, **how})  # type: ignore[arg-type]
    assert WinogradConv2d.can_be(conv)
    return conv, WinogradConv2d.of(conv)


@pytest.mark.parametrize("shape", [(1, 1), (2, 3), (6, 6), (7, 13), (31, 20)])
@pytest.mark.parametrize(
    "how", [{}, {"bias": False}, {"dilation": 2, "padding": 2}, {"dilation": (2, 3), "padding": (2, 3)}]
)
@torch.inference_mode()
def test_it_convolves(shape: tuple[int, int], how: dict[str, object]) -> None:
    conv, winograd = pair(**how)
    pictures = torch.randn(2, 5, *shape)
    torch.testing.assert_close(winograd(pictures), conv(pictures), atol=2e-5, rtol=1e-4)


@torch.inference_mode()
def test_it_reflects_at_borders() -> None:
    conv, winograd = pair(padding_mode="reflect")
    pictures = torch.randn(2, 5, 9, 14)
    torch.testing.assert_close(winograd(pictures), conv(pictures), atol=2e-5, rtol=1e-4)


@torch.inference_mode()
def test_a_picture_is_the_same_alone_and_among_others_with_any_number_of_threads() -> None:
    _, winograd = pair()
    pictures, before = torch.randn(3, 5, 40, 50), torch.get_num_threads()
    found = []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            found += [winograd(pictures)[1], winograd(pictures[1:2])[0]]
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(one, found[0]) for one in found)


@pytest.mark.parametrize(
    "how",
    [{"stride": 2}, {"groups": 5, "out": 5}, {"padding": 0}, {"padding": 2, "dilation": 2, "padding_mode": "reflect"}],
)
def test_what_it_cannot_be(how: dict[str, object]) -> None:
    assert not WinogradConv2d.can_be(nn.Conv2d(5, how.pop("out", 7), 3, **{"padding": 1, **how}))  # type: ignore[arg-type]
    assert not WinogradConv2d.can_be(nn.Conv2d(5, 7, 1))
    assert not WinogradConv2d.can_be(nn.Conv2d(5, 7, 3, padding=1, dtype=torch.bfloat16))


@pytest.mark.parametrize("padding", ["zeros", "reflect"])
@torch.inference_mode()
def test_encoders_that_are_prepared_have_it_and_find_the_same(padding: str) -> None:
    encoder = open_encoder("resnet18", "random", settings={"padding": padding})
    ready, plain = prepare(encoder), fold_batch_norm(encoder)
    assert sum(isinstance(one, WinogradConv2d) for one in as_module(ready).modules()) == 11
    picture = torch.rand(1, 3, 65, 90)
    torch.testing.assert_close(ready.encode(picture), plain.encode(picture), atol=1e-4, rtol=1e-4)


@torch.inference_mode()
def test_fine_cells_have_it_too() -> None:
    encoder = open_encoder("resnet18", "random")
    fine, plain = denser(prepare(encoder)), denser(fold_batch_norm(encoder))
    assert sum(isinstance(one, WinogradConv2d) for one in as_module(fine).modules()) == 12
    picture = torch.rand(1, 3, 65, 90)
    torch.testing.assert_close(fine.encode(picture), plain.encode(picture), atol=1e-4, rtol=1e-4)
