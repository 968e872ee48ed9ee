"""Finer cells: every second one is a cell of the encoder itself; small pictures get them, and nothing else changes."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from propagate.config import PropagateConfig
from propagate.encoders.build import build_encoder, prepare
from propagate.encoders.dilation import at_stride, can_be_denser, denser
from propagate.errors import ConfigError


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("resnet18", {}),
        ("resnet18", {"layers": 4}),
        ("resnet18", {"color": "lightness"}),
        ("resnet50", {}),
        ("timecycle-r18", {}),
    ],
)
@pytest.mark.parametrize("size", [(64, 80), (41, 59)])
def test_every_second_cell_is_the_encoders_own(name: str, settings: dict[str, Any], size: tuple[int, int]) -> None:
    encoder = prepare(build_encoder(name, settings=settings))
    rgb = torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(1))
    finer = denser(encoder)
    fine, own = finer.embed(finer.encode(rgb)), encoder.embed(encoder.encode(rgb))
    assert (finer.stride, encoder.stride) == (4, 8)
    assert fine.shape[2:] == tuple(-(-length // 4) for length in size)
    torch.testing.assert_close(fine[..., ::2, ::2], own, rtol=1e-4, atol=1e-5 * float(own.abs().max()))


@pytest.mark.parametrize("name", ["rawcolor", "colorization", "single_image", "resnet18"])
def test_not_every_encoder_can(name: str) -> None:
    encoder = build_encoder(name, settings={"padding": "reflect"} if name == "resnet18" else {})
    assert not can_be_denser(encoder)
    assert at_stride(encoder, PropagateConfig(stride="auto"), (64, 64)) is encoder
    with pytest.raises(ConfigError, match=f"stride is 2, but '{name}' has {encoder.stride}"):
        at_stride(encoder, PropagateConfig(stride=2), (64, 64))


def test_small_pictures_get_finer_cells() -> None:
    encoder = build_encoder("resnet18")
    asked = PropagateConfig(stride="auto", size=480)
    assert [at_stride(encoder, asked, size).stride for size in ((240, 320), (320, 200), (480, 854), (1080, 1920))] == [
        *(4, 4, 8, 8)
    ]
    assert at_stride(encoder, PropagateConfig(stride="auto", size=320), (1080, 1920)).stride == 4
    assert at_stride(encoder, PropagateConfig(stride=8), (240, 320)) is encoder
    assert at_stride(encoder, PropagateConfig(), (240, 320)) is encoder
    assert at_stride(encoder, PropagateConfig(stride=4), (480, 854)).stride == 4
    with pytest.raises(ConfigError, match="stride is 3, but 'resnet18' has 8 or 4"):
        at_stride(encoder, PropagateConfig(stride=3), (240, 320))
