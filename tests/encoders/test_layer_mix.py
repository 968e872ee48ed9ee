"""Two depths: cosines add up, the cells stay where they were, and what has one depth is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn.functional import cosine_similarity

from propagate.config import PropagateConfig
from propagate.encoders import ENCODERS
from propagate.encoders.build import build_encoder, prepare
from propagate.encoders.features import FeatureExtractor, at_two_depths, tool_settings
from propagate.errors import ConfigError

SIZE = (48, 64)


def test_the_similarity_is_the_weighted_sum_of_both_depths() -> None:
    encoder = prepare(build_encoder("resnet18"))
    one, other = torch.rand(2, 3, *SIZE, generator=torch.Generator().manual_seed(0))[:, None]
    both = at_two_depths(encoder, PropagateConfig(layer_mix=0.3))
    seen = [(both.encode(rgb), encoder.encode(rgb)) for rgb in (one, other)]
    assert both.channels == seen[0][0].shape[1] == 128 + 256
    assert encoder.channels == 256  # the one that was given is as it was
    torch.testing.assert_close(seen[0][0].norm(dim=1), torch.ones(1, 6, 8))
    shallow = [parts[0][:, 256:] for parts in seen]
    wanted = 0.7 * cosine_similarity(seen[0][1], seen[1][1]) + 0.3 * cosine_similarity(*shallow)
    torch.testing.assert_close((seen[0][0] * seen[1][0]).sum(1), wanted)


def test_at_one_the_last_layer_is_not_computed() -> None:
    encoder = prepare(build_encoder("resnet18"))
    alone = at_two_depths(encoder, PropagateConfig(layer_mix=1))
    del alone.trunk.layer3  # type: ignore[attr-defined]
    rgb = torch.rand(1, 3, *SIZE, generator=torch.Generator().manual_seed(0))
    assert alone.channels == 128
    both = at_two_depths(encoder, PropagateConfig(layer_mix=0.5)).encode(rgb)[:, 256:]
    torch.testing.assert_close(torch.nn.functional.normalize(alone.encode(rgb), dim=1), both * 2**0.5)


def test_one_depth_is_refused() -> None:
    with pytest.raises(ConfigError, match="layer_mix is 0.5, but 'corrflow' has one depth"):
        at_two_depths(build_encoder("corrflow"), PropagateConfig(layer_mix=0.5))
    with pytest.raises(ConfigError, match="'resnet18' has one depth"):
        at_two_depths(build_encoder("resnet18", settings={"layers": 2}), PropagateConfig(layer_mix=0.5))
    with pytest.raises(ConfigError, match="similarity is not 'cosine'"):
        at_two_depths(build_encoder("resnet18"), PropagateConfig(layer_mix=0.5, similarity="dot"))


@pytest.mark.parametrize("name", ENCODERS)
def test_every_encoder_runs_with_the_tools_settings(name: str) -> None:
    encoder = prepare(build_encoder(name))
    extractor = FeatureExtractor(encoder, PropagateConfig(**tool_settings(encoder)), SIZE)
    frame = np.random.default_rng(0).integers(0, 255, (*SIZE, 3), np.uint8)
    assert extractor.encode(frame).shape[1:] == extractor.shape
