"""The features that are compared: an encoder's cells and depths as the settings ask, centred, with colour appended."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional as F

from propagate.config import TOOL
from propagate.encoders.dilation import at_stride
from propagate.encoders.protocol import Encoder
from propagate.encoders.resnet import ResNet18
from propagate.encoders.trunk import RESNET_WIDTHS
from propagate.errors import ConfigError
from propagate.ops.attention import with_neighbours
from propagate.ops.color import rgb_to_lab

if TYPE_CHECKING:
    from propagate.config import PropagateConfig

FINE = 8  # pixels a cell, below which "auto" counts cells as fine
WEIGHT, FINE_WEIGHT = 15.0, 60.0  # of colour beside cells of FINE pixels or more, and beside finer ones: see SEARCH.md
NEIGHBOURS = 3  # cells on the side of the neighbourhood whose colours are compared


class ColorBeside:
    """An encoder whose features have colours appended, so that "distance" scores both.

    With w for lab_weight and T for the temperature, -|q - k|^2 / (2 T) is, but for a part that is the same for all
    keys, cosine / T - w |dLab|^2 where the features are compared by cosine, and -|df|^2 / (2 T) - w |dLab|^2 where by
    distance.

    Args:
        encoder: embeds frames alone.
        config: lab_weight, temperature, similarity.

    Raises:
        ConfigError: the encoder embeds frames together, or similarity is a plain inner product.
    """

    def __init__(self, encoder: Encoder, config: PropagateConfig) -> None:
        weight = color_weight(encoder, config)
        if encoder.temporal or config.similarity == "dot":
            what = f"{encoder.name!r} embeds frames together" if encoder.temporal else "similarity is 'dot'"
            raise ConfigError(f"lab_weight is {weight:g}, but {what}", hint="--lab-weight 0")
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
    if config.lab_weight != "auto":
        return config.lab_weight
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


def has_two_depths(encoder: Encoder) -> bool:
    """Return whether the encoder's last two layers have one stride and nothing comes after them."""
    return isinstance(encoder, ResNet18) and len(encoder.trunk.layers) > 2


def at_two_depths(encoder: Encoder, config: PropagateConfig) -> Encoder:
    """Return the encoder with the features of its last two layers, where the settings ask for it.

    Their cosines add up: (1 - layer_mix) of the last layer's and layer_mix of the other's. At 1 the last is not
    computed.

    Raises:
        ConfigError: the encoder gives one depth only, or similarity is not the cosine.
    """
    if not config.layer_mix:
        return encoder
    if not has_two_depths(encoder) or config.similarity != "cosine":
        what = "similarity is not 'cosine'" if has_two_depths(encoder) else f"{encoder.name!r} has one depth"
        raise ConfigError(f"layer_mix is {config.layer_mix:g}, but {what}", hint="--layer-mix 0")
    assert isinstance(encoder, ResNet18)
    both: Any = copy.deepcopy(encoder)
    both.trunk.layer_mix = config.layer_mix
    before = RESNET_WIDTHS[len(both.trunk.layers) - 2]
    both.channels = before if config.layer_mix == 1 else both.channels + before
    result: Encoder = both
    return result


class LessMean:
    """An encoder whose features have a mean of zero over the cells of each frame, in every channel.

    Args:
        encoder: embeds frames alone.
        config: similarity.

    Raises:
        ConfigError: the encoder embeds frames together, or similarity is not the cosine.
    """

    def __init__(self, encoder: Encoder, config: PropagateConfig) -> None:
        if not _can_lose_mean(encoder, config):
            embeds = f"{encoder.name!r} embeds frames together"
            what = embeds if encoder.temporal else f"similarity is {config.similarity!r}, not 'cosine'"
            raise ConfigError(f"center_features is set, but {what}", hint="--no-center-features")
        self._encoder = encoder
        self.name, self.settings, self.preset = encoder.name, encoder.settings, encoder.preset
        self.stride, self.offset, self.temporal, self.exact = encoder.stride, encoder.offset, 0, encoder.exact
        self.channels = encoder.channels

    def encode(self, rgb: Tensor) -> Tensor:
        """Return (B, C, h, w), in the dtype of the encoder's features, of (B, 3, H, W) pictures in [0, 1]."""
        features = self._encoder.encode(rgb)
        whole = features.float()
        return (whole - whole.mean((2, 3), keepdim=True)).to(features.dtype)

    def embed(self, stack: Tensor) -> Tensor:
        """Return the embedding of `stack` (T, C, h, w), each frame alone."""
        return self._encoder.embed(stack)


def less_mean(encoder: Encoder, config: PropagateConfig) -> Encoder:
    """Return the encoder with features less their frame's mean where the settings ask for it.

    "auto" takes the mean from cells of 8 pixels or more; in finer ones (see `color_weight`) it was no gain.

    Raises:
        ConfigError: see `LessMean`.
    """
    if config.center_features == "auto":
        return LessMean(encoder, config) if encoder.stride >= FINE and _can_lose_mean(encoder, config) else encoder
    return LessMean(encoder, config) if config.center_features else encoder


def _can_lose_mean(encoder: Encoder, config: PropagateConfig) -> bool:
    return not encoder.temporal and config.similarity == "cosine"


def as_asked(encoder: Encoder, config: PropagateConfig, video: tuple[int, int]) -> Encoder:
    """Return what computes the features that are compared.

    Args:
        encoder: as loaded.
        config: size, stride, layer_mix, center_features, lab_weight.
        video: (height, width) of the frames.

    Raises:
        ConfigError: something that this encoder cannot have.
    """
    return beside_color(less_mean(learned(encoder, config, video), config), config)


def tool_settings(encoder: Encoder) -> dict[str, Any]:
    """Return the tool's own settings, without those that this encoder cannot have.

    Frames that are embedded together keep their size, similarity and temperature: `colorization` knows the place of a
    cell in a square of 32x32, and what its inner products say is lost to a cosine.
    """
    without: dict[str, Any] = {}
    if encoder.temporal:
        without |= {name: encoder.preset[name] for name in ("size", "similarity", "temperature")}
    if not has_two_depths(encoder):
        without["layer_mix"] = 0.0
    return {**TOOL, **without}


def learned(encoder: Encoder, config: PropagateConfig, video: tuple[int, int]) -> Encoder:
    """Return the same as the network itself gives it: no mean taken out, no colour beside; otherwise as `as_asked`."""
    return at_stride(at_two_depths(encoder, config), config, video)
