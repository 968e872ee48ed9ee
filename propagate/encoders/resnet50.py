"""`resnet50`: ResNet-50 to layer3 at stride 8, 1024 channels: for ImageNet's and VFS's weights."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from propagate.encoders.protocol import check_rgb
from propagate.encoders.resnet18 import PRESET
from propagate.encoders.trunk import Trunk, normalize


class ResNet50(nn.Module):
    """ResNet-50 with its max-pool, layer2 at stride 2, layer3 at stride 1, ImageNet's mean and std."""

    name = "resnet50"
    offset = 0.0
    temporal = 0
    exact = False

    def __init__(self) -> None:
        super().__init__()
        self.trunk = Trunk(50, strides=(1, 2, 1))
        self.settings: Mapping[str, object] = {}
        self.preset: Mapping[str, object] = dict(PRESET)
        self.stride, self.channels = self.trunk.stride, self.trunk.channels

    def encode(self, rgb: Tensor) -> Tensor:
        """Return (B, 1024, ceil(H/8), ceil(W/8)) features of (B, 3, H, W) pictures in [0, 1]."""
        check_rgb(rgb)
        features: Tensor = self.trunk(normalize(rgb))
        return features

    def embed(self, stack: Tensor) -> Tensor:
        """Return `stack` (T, C, h, w) itself: frames are embedded alone."""
        return stack
