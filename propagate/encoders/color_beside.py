"""Colour beside learned features: what a network has learnt to ignore still tells two things apart.

The tool's own: a logit of -`color` * |dLab|^2 is added to that of the features, Lab as in `rawcolor`, over each cell's
3x3 neighbourhood. Features that were trained to ignore colour gain most.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

from propagate.encoders.protocol import Encoder
from propagate.errors import ConfigError
from propagate.ops.affinity import with_neighbours
from propagate.ops.color import rgb_to_lab

if TYPE_CHECKING:
    from propagate.config import PropagateConfig

FINE = 8  # pixels a cell, below which "auto" counts cells as fine
WEIGHT, FINE_WEIGHT = 15.0, 60.0  # of colour beside cells of FINE pixels or more, and beside finer ones: see SEARCH.md
NEIGHBOURS = 3  # cells on the side of the neighbourhood whose colours are compared


class ColorBeside:
    """An encoder whose features have colours appended, so that "distance" scores both.

    -|q - k|^2 / 2 over the temperature T is, but for a part that is the same for all keys, cosine / T - color |dLab|^2
    where the features are compared by cosine, and -|df|^2 / (2 T) - color |dLab|^2 where by distance.

    Args:
        encoder: embeds frames alone.
        config: color, temperature, similarity.

    Raises:
        ConfigError: the encoder embeds frames together, or similarity is a plain inner product.
    """

    def __init__(self, encoder: Encoder, config: PropagateConfig) -> None:
        weight = color_weight(encoder, config)
        if encoder.temporal or config.similarity == "dot":
            what = f"{encoder.name!r} embeds frames together" if encoder.temporal else "similarity is 'dot'"
            raise ConfigError(f"color is {weight:g}, but {what}", hint="--color 0")
        self._encoder, self._unit = encoder, config.similarity == "cosine"
        self._scale = (2 * weight * config.temperature) ** 0.5
        self.name, self.settings, self.preset = encoder.name, encoder.settings, encoder.preset
        self.stride, self.offset, self.temporal, self.exact = encoder.stride, encoder.offset, 0, encoder.exact
        self.channels = encoder.channels + 3 * NEIGHBOURS**2

    def encode(self, rgb: Tensor) -> Tensor:
        """Return (B, C + 27, h, w), in the dtype of the encoder's features, of (B, 3, H, W) pictures in [0, 1]."""
        features = torch.stack([self._encoder.embed(trunk[None])[0] for trunk in self._encoder.encode(rgb)])
        if self._unit:
            features = F.normalize(features.float(), dim=1).to(features.dtype)
        colors = self._colors(rgb.float(), (features.shape[2], features.shape[3]))
        return torch.cat([features, (self._scale * colors).to(features.dtype)], 1)

    def embed(self, stack: Tensor) -> Tensor:
        """Return `stack` (T, C + 27, h, w) itself."""
        return stack

    def _colors(self, rgb: Tensor, shape: tuple[int, int]) -> Tensor:
        """Return the mean Lab around each cell's centre and its neighbours', (B, 27, h, w), weighted to mean one."""
        before = max(0, int(self.stride / 2 - self.offset))  # pixels that the first cell's square begins before 0
        needed = [self.stride * cells - before - length for cells, length in zip(shape, rgb.shape[2:], strict=True)]
        down, right = (max(0, length) for length in needed)
        lab = F.pad(rgb_to_lab(rgb), (before, right, before, down), mode="replicate")
        mean = F.avg_pool2d(lab, self.stride)[..., : shape[0], : shape[1]] / 50.0
        mean = mean - torch.tensor((1.0, 0.0, 0.0), device=rgb.device).view(3, 1, 1)
        return torch.stack([with_neighbours(picture, NEIGHBOURS) for picture in mean])


def color_weight(encoder: Encoder, config: PropagateConfig) -> float:
    """Return the weight of colour, 0 for none; "auto" gives it where the encoder can have it, and more to fine cells.

    Fine are cells of less than 8 pixels: those of every network in small pictures, always those of `corrflow` and
    `rawcolor`. What a network sees around a cell is wider there in cells, and takes in more that is not the thing.
    """
    if config.color != "auto":
        return config.color
    if encoder.temporal or config.similarity == "dot":
        return 0.0
    return WEIGHT if encoder.stride >= FINE else FINE_WEIGHT


def beside_color(encoder: Encoder, config: PropagateConfig) -> Encoder:
    """Return the encoder with colour beside its features where the settings ask for it.

    Raises:
        ConfigError: see `ColorBeside`.
    """
    if isinstance(encoder, ColorBeside) or not color_weight(encoder, config):
        return encoder
    return ColorBeside(encoder, config)
