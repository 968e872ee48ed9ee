"""Features less their frame's mean: zero mean, nothing else changed, and what cannot have it is refused."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import cosine_similarity

from propagate.config import PropagateConfig
from propagate.encoders.build import build_encoder, build_on_meta, prepare
from propagate.encoders.features import FeatureExtractor, center_features, check_features, device_of, lab_weight
from propagate.encoders.protocol import Encoder
from propagate.errors import ConfigError

CONFIG = PropagateConfig(center_features=True)
SIZE = (48, 64)


def picture() -> torch.Tensor:
    return torch.rand(1, 3, *SIZE, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def resnet() -> Encoder:
    return prepare(build_encoder("resnet18"))


def test_every_channel_of_a_frame_has_a_mean_of_zero(resnet: Encoder) -> None:
    features, plain = FeatureExtractor(resnet, CONFIG, SIZE).encode_input(picture()), resnet.encode(picture())[0]
    torch.testing.assert_close(features.mean((1, 2)), torch.zeros(256), atol=1e-5, rtol=0)
    shared = (plain - features).flatten(1)  # (C, h*w)
    torch.testing.assert_close(shared, shared[:, :1].expand_as(shared), atol=1e-5, rtol=1e-5)


def test_cells_of_one_frame_are_less_alike(resnet: Encoder) -> None:
    centered = FeatureExtractor(resnet, CONFIG, SIZE).encode_input(picture())
    plain = FeatureExtractor(resnet, CONFIG, SIZE, learned_only=True).encode_input(picture())
    likeness = [cosine_similarity(f[:, :-1], f[:, 1:], dim=0).mean() for f in (plain, centered)]
    assert likeness[1] < likeness[0]


def test_colour_stands_beside_it(resnet: Encoder) -> None:
    extractor = FeatureExtractor(resnet, PropagateConfig(center_features=True, lab_weight=30.0), SIZE)
    assert extractor.encode_input(picture()).shape == (256 + 27, 6, 8)
    assert (extractor.similarity, extractor.shape) == ("distance", (6, 8))


def test_features_as_the_network_gives_them(resnet: Encoder) -> None:
    config = PropagateConfig(center_features=True, lab_weight=30.0)
    extractor = FeatureExtractor(resnet, config, SIZE, learned_only=True)
    assert torch.equal(extractor.encode_input(picture()), resnet.encode(picture())[0])
    assert extractor.similarity == "cosine"


def test_what_cannot_have_it_is_refused() -> None:
    with pytest.raises(ConfigError, match="center_features is set, but 'colorization' embeds frames together"):
        check_features(build_encoder("colorization"), CONFIG)
    with pytest.raises(ConfigError, match="similarity is 'dot', not 'cosine'"):
        check_features(build_encoder("corrflow"), PropagateConfig(center_features=True, similarity="dot"))


@pytest.mark.parametrize(("stride", "weight"), [(8, 15.0), (4, 60.0)])
def test_auto_trusts_the_network_in_cells_of_8_pixels_and_colour_in_finer_ones(stride: int, weight: float) -> None:
    encoder = build_encoder("resnet18", settings={"stride": stride})
    auto = PropagateConfig(center_features="auto", lab_weight="auto")
    assert lab_weight(encoder, auto) == weight
    assert center_features(encoder, auto) == (stride == 8)
    assert lab_weight(encoder, PropagateConfig(lab_weight=7.0)) == 7.0
    assert center_features(encoder, CONFIG)


def test_auto_leaves_alone_what_cannot_have_it() -> None:
    together = build_encoder("colorization")
    assert not center_features(together, PropagateConfig(center_features="auto"))
    assert not center_features(build_encoder("resnet18"), PropagateConfig(center_features="auto", similarity="dot"))


def test_the_device_of_an_encoder_is_that_of_its_tensors() -> None:
    assert device_of(build_on_meta("resnet18", {})) == torch.device("meta")
    assert device_of(build_encoder("rawcolor")) is None
