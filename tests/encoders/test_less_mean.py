"""Features less their frame's mean: zero mean, nothing else changed, and what cannot have it is refused."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import cosine_similarity

from propagate.config import PropagateConfig
from propagate.encoders.build import build_encoder, prepare
from propagate.encoders.features import LessMean, as_asked, color_weight, less_mean
from propagate.errors import ConfigError

CONFIG = PropagateConfig(center_features=True)
SIZE = (48, 64)


def pictures() -> torch.Tensor:
    return torch.rand(2, 3, *SIZE, generator=torch.Generator().manual_seed(0))


def test_every_channel_of_every_frame_has_a_mean_of_zero() -> None:
    encoder = prepare(build_encoder("resnet18"))
    features, plain = less_mean(encoder, CONFIG).encode(pictures()), encoder.encode(pictures())
    torch.testing.assert_close(features.mean((2, 3)), torch.zeros(2, 256), atol=1e-5, rtol=0)
    shared = (plain - features).flatten(2)  # (2, C, h*w)
    torch.testing.assert_close(shared, shared[:, :, :1].expand_as(shared), atol=1e-5, rtol=1e-5)


def test_frames_do_not_see_one_another() -> None:
    encoder = less_mean(prepare(build_encoder("resnet18")), CONFIG)
    both, alone = encoder.encode(pictures()), encoder.encode(pictures()[:1])
    torch.testing.assert_close(both[:1], alone, atol=1e-4, rtol=1e-4)


def test_cells_of_one_frame_are_less_alike() -> None:
    encoder = prepare(build_encoder("resnet18"))
    likeness = [cosine_similarity(f[0, :, :-1], f[0, :, 1:], dim=0).mean() for f in
                (encoder.encode(pictures()), less_mean(encoder, CONFIG).encode(pictures()))]  # fmt: skip
    assert likeness[1] < likeness[0]


def test_colour_stands_beside_it() -> None:
    encoder = as_asked(prepare(build_encoder("resnet18")), PropagateConfig(center_features=True, lab_weight=30.0), SIZE)
    assert encoder.encode(pictures()).shape == (2, 256 + 27, 6, 8)


def test_what_cannot_have_it_is_refused() -> None:
    with pytest.raises(ConfigError, match="center_features is set, but 'colorization' embeds frames together"):
        less_mean(build_encoder("colorization"), CONFIG)
    with pytest.raises(ConfigError, match="similarity is 'dot', not 'cosine'"):
        less_mean(build_encoder("corrflow"), PropagateConfig(center_features=True, similarity="dot"))


@pytest.mark.parametrize(("stride", "weight"), [(8, 15.0), (4, 60.0)])
def test_auto_trusts_the_network_in_cells_of_8_pixels_and_colour_in_finer_ones(stride: int, weight: float) -> None:
    encoder = build_encoder("resnet18", settings={"stride": stride})
    auto = PropagateConfig(center_features="auto", lab_weight="auto")
    assert color_weight(encoder, auto) == weight
    assert isinstance(less_mean(encoder, auto), LessMean) == (stride == 8)
    assert color_weight(encoder, PropagateConfig(lab_weight=7.0)) == 7.0
    assert isinstance(less_mean(encoder, CONFIG), LessMean)


def test_auto_leaves_alone_what_cannot_have_it() -> None:
    together = build_encoder("colorization")
    assert less_mean(together, PropagateConfig(center_features="auto")) is together
    plain = prepare(build_encoder("resnet18"))
    assert less_mean(plain, PropagateConfig(center_features="auto", similarity="dot")) is plain
