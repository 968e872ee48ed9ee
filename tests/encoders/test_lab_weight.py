"""Colour beside features: the logits are the sum of both, cells lie where the encoder's do, the rest is refused."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from propagate.config import PropagateConfig, resolve
from propagate.encoders.build import build_encoder, prepare
from propagate.encoders.features import FeatureExtractor, check_features, lab_weight
from propagate.encoders.protocol import Encoder
from propagate.engine.pipeline import load_label_type, run
from propagate.ops.attention import Similarity, as_keys, as_query
from propagate.ops.color import rgb_to_lab
from propagate.values import Annotation, Frame

CONFIG = PropagateConfig(encoder="resnet18", size=64, lab_weight=100.0, temperature=0.05)


@pytest.fixture(scope="module")
def resnet() -> Encoder:
    return prepare(build_encoder("resnet18"))


def pictures(count: int = 2, size: tuple[int, int] = (40, 52)) -> Tensor:
    return torch.rand(count, 3, *size, generator=torch.Generator().manual_seed(3))


def mean_lab(rgb: Tensor, row: int, column: int, *, stride: int = 8) -> Tensor:
    """Return the mean Lab of the square around a cell, what is beyond the border being the border's."""
    height, width = rgb.shape[1:]
    rows = [min(max(y, 0), height - 1) for y in range(stride * row - 4, stride * row + 4)]
    columns = [min(max(x, 0), width - 1) for x in range(stride * column - 4, stride * column + 4)]
    lab = rgb_to_lab(rgb)[:, rows][:, :, columns].mean((1, 2))
    return torch.stack([lab[0] / 50 - 1, lab[1] / 50, lab[2] / 50])


def neighbourhood(rgb: Tensor, row: int, column: int, *, rows: int, columns: int) -> tuple[Tensor, Tensor]:
    """Return (9, 3) colours around a cell and their (9,) weights, as plain loops."""
    colors, weights = [], []
    for down in (-1, 0, 1):
        for right in (-1, 0, 1):
            there = min(max(row + down, 0), rows - 1), min(max(column + right, 0), columns - 1)
            colors.append(mean_lab(rgb, *there))
            weights.append(np.exp(-0.5 * (down**2 + right**2) / 0.55**2))
    return torch.stack(colors), torch.tensor(weights) / sum(weights)


@pytest.mark.parametrize("size", [(40, 52), (41, 47), (48, 48)])
def test_the_logit_is_that_of_the_features_less_that_of_the_colours(resnet: Encoder, size: tuple[int, int]) -> None:
    rgb = pictures(size=size)
    beside = FeatureExtractor(resnet, CONFIG, size)
    both = torch.stack([beside.encode_input(picture[None]) for picture in rgb])
    alone = torch.nn.functional.normalize(resnet.encode(rgb), dim=1)
    rows, columns = both.shape[2:]
    query, keys = as_query(both[0], "distance").flatten(1), as_keys(both[1], "distance").flatten(1)
    logits = (query.T @ keys) / CONFIG.temperature  # (Q, M)
    cells = [(0, 0), (2, 3), (rows - 1, columns - 1)]
    for q in cells:
        expected = []
        own, weights = neighbourhood(rgb[0], *q, rows=rows, columns=columns)
        for k in cells:
            other, _ = neighbourhood(rgb[1], *k, rows=rows, columns=columns)
            apart = (weights * (own - other).square().sum(1)).sum()
            cosine = alone[0, :, q[0], q[1]] @ alone[1, :, k[0], k[1]]
            expected.append(cosine / CONFIG.temperature - CONFIG.lab_weight * apart)
        wanted = torch.stack(expected)
        found = torch.stack([logits[q[0] * columns + q[1], k[0] * columns + k[1]] for k in cells])
        torch.testing.assert_close(found - found[0], (wanted - wanted[0]).float(), atol=2e-3, rtol=1e-3)


def test_without_color_the_features_are_the_encoders_own(resnet: Encoder) -> None:
    plain = FeatureExtractor(resnet, dataclasses.replace(CONFIG, lab_weight=0.0), (40, 52))
    assert torch.equal(plain.encode_input(pictures(1)), resnet.encode(pictures(1))[0])
    assert plain.similarity == "cosine"
    beside = FeatureExtractor(resnet, CONFIG, (40, 52))
    assert (beside.grid.stride, beside.grid.offset, beside.similarity) == (8, 0.0, "distance")
    assert beside.encode_input(pictures(1)).shape == (256 + 27, 5, 7)


@pytest.mark.parametrize(("name", "similarity"), [("colorization", "cosine"), ("resnet18", "dot")])
def test_auto_is_no_colour_where_there_can_be_none(name: str, similarity: Similarity) -> None:
    encoder, config = build_encoder(name), PropagateConfig(lab_weight="auto", similarity=similarity)
    assert lab_weight(encoder, config) == 0
    assert FeatureExtractor(encoder, config, (40, 52)).similarity == similarity


@pytest.mark.parametrize(("name", "weight"), [("resnet18", 15.0), ("corrflow", 60.0)])
def test_auto_counts_more_on_colour_beside_fine_cells(name: str, weight: float) -> None:
    assert lab_weight(build_encoder(name), PropagateConfig(lab_weight="auto")) == weight


def test_what_color_cannot_stand_beside_is_refused(resnet: Encoder) -> None:
    from propagate.errors import ConfigError

    with pytest.raises(ConfigError, match="similarity is 'dot'"):
        check_features(resnet, dataclasses.replace(CONFIG, similarity="dot"))
    with pytest.raises(ConfigError, match="embeds frames together"):
        check_features(build_encoder("colorization"), CONFIG)
    with pytest.raises(ConfigError, match="lab_weight is -1"):
        PropagateConfig(lab_weight=-1)


def two_halves(shift: int) -> NDArray[np.uint8]:
    """Return a frame of noise, the same in every frame, whose left part is red and right part green."""
    noise = np.random.default_rng(0).integers(0, 60, (64, 96, 1), np.uint8)
    frame = np.repeat(noise, 3, 2)
    frame[:, : 48 + shift, 0] += 150
    frame[:, 48 + shift :, 1] += 150
    return frame


class Blind(torch.nn.Module):
    """An encoder that sees the same everywhere."""

    name, stride, offset, channels, temporal, exact = "blind", 8, 0.0, 4, 0, False

    def __init__(self) -> None:
        super().__init__()
        self.settings: dict[str, object] = {}
        self.preset: dict[str, object] = {}

    def encode(self, rgb: Tensor) -> Tensor:
        return torch.ones(len(rgb), 4, -(-rgb.shape[2] // 8), -(-rgb.shape[3] // 8))

    def embed(self, stack: Tensor) -> Tensor:
        return stack


@pytest.mark.parametrize(("color", "right"), [(0.0, False), (240.0, True)])
def test_colours_carry_what_the_features_do_not_see(color: float, right: bool) -> None:
    frames = [Frame(n, n / 24, two_halves(8 * n), str(n)) for n in range(3)]
    mask = np.zeros((64, 96), np.uint8)
    mask[:, :48] = 1
    config = resolve({"size": 64, "lab_weight": color, "topk": None, "radius": 4, "device": "cpu"})
    *_, last = run(
        frames, [Annotation(0, mask, (1,))], label_type=load_label_type("masks", [1]), encoder=Blind(), config=config
    )
    truth = np.zeros((64, 96), bool)
    truth[:, :64] = True
    agreement = ((np.asarray(last.array) == 1) == truth).mean()
    assert (agreement > 0.97) == right
