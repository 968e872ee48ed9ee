"""`single_image`: the baseline of "Tracking Emerges by Colorizing Videos" (Vondrick 2018), 4.1: one frame by itself."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from propagate.encoders.colorization import PRESET
from propagate.encoders.protocol import check_rgb
from propagate.encoders.trunk import Trunk, gaussian_initialization
from propagate.ops.color import luma

CHANNELS = 64
DILATIONS = (1, 2, 4, 8)  # the fifth layer, dilated 16, says the colour: it belongs to the objective, see there


class SingleImage(nn.Module):
    """Grey frames through the trunk of `colorization`, then four of its five dilated layers, each frame by itself.

    "We train our model with the image colorization loss" of Zhang et al. (2016) and take "the features from the
    penultimate layer" (4.1): so the layers of `colorization` without their reach in time, up to the last but one, with
    batch norm and ReLU. The location, which there tells four frames apart, is left out. The tracking procedure is the
    same: plain inner products, temperature 0.5, three frames of context.
    """

    name = "single_image"
    offset = 0.0
    channels = CHANNELS
    temporal = 0
    exact = False

    def __init__(self) -> None:
        super().__init__()
        self.trunk = Trunk(18, strides=(1, 2, 1), in_channels=1)
        self.head = _four_layers(self.trunk.channels)
        gaussian_initialization(self.head)
        self.settings: Mapping[str, object] = {}
        self.preset: Mapping[str, object] = dict(PRESET)
        self.stride = self.trunk.stride

    def encode(self, rgb: Tensor) -> Tensor:
        """Return (B, 64, ceil(H/8), ceil(W/8)) features of (B, 3, H, W) pictures in [0, 1]."""
        check_rgb(rgb)
        features: Tensor = self.head(self.trunk(2.0 * luma(rgb) - 1.0))
        return features

    def embed(self, stack: Tensor) -> Tensor:
        """Return `stack` (T, C, h, w) itself: frames are embedded alone."""
        return stack


def _four_layers(channels: int) -> nn.Sequential:
    """Return dilated 3x3 convolutions from `channels` to 64, each with batch norm and ReLU."""
    layers: list[nn.Module] = []
    for dilation in DILATIONS:
        layers.append(nn.Conv2d(channels, CHANNELS, kernel_size=3, padding=dilation, dilation=dilation, bias=False))
        layers += [nn.BatchNorm2d(CHANNELS), nn.ReLU(inplace=True)]
        channels = CHANNELS
    return nn.Sequential(*layers)
