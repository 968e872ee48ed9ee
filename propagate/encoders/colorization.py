"""`colorization`: the encoder of "Tracking Emerges by Colorizing Videos" (Vondrick 2018), section 3.4."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from propagate.encoders.protocol import check_rgb
from propagate.encoders.trunk import Trunk, gaussian_initialization
from propagate.ops.color import luma

CHANNELS = 64
REFERENCES = 3
DILATIONS = (1, 2, 4, 8, 16)
# Sections 3.3 and 3.4: three references, all of their cells, temperature 0.5, 32 x 32 cells of 256 x 256 pixels.
# How fine its label maps are the paper does not say; 128 x 128 lose least of those tried (weights/SEARCH.md).
PRESET: Mapping[str, object] = {
    "size": "256x256",
    "context": REFERENCES,
    "keep_annotated": False,
    "radius": None,
    "window": "square",
    "topk": None,
    "temperature": 0.5,
    "similarity": "dot",
    "label_scale": 4,
    "feedback": "soft",
}


class Colorization(nn.Module):
    """Grey frames through a ResNet-18 each, the spatial location appended, then five 3-D convolutions over four frames.

    From the paper: grey in [-1, 1], ResNet-18 on every frame, 32x32 cells for 256x256 pixels, the location as two
    channels in [-1, 1] before a five-layer 3-D convolutional network, 64 dimensions, three references and a target,
    Gaussian initialisation. Its appendix is not at hand, so these are our choices: ResNet-18 to layer3, that at stride
    1 (256 channels), as CRW and TimeCycle cut theirs for cells of 8 pixels; 3x3x3 kernels with spatial dilation 1, 2,
    4, 8, 16, zero padding (1 in time), 64 wide; batch norm and ReLU between the layers, neither after the last; He's
    variance; Rec. 601 luma.
    """

    name = "colorization"
    offset = 0.0
    channels = CHANNELS
    temporal = REFERENCES
    exact = False

    def __init__(self) -> None:
        super().__init__()
        self.trunk = Trunk(18, strides=(1, 2, 1), in_channels=1)
        self.over_time = _five_layers(self.trunk.channels + 2)
        gaussian_initialization(self.over_time)
        self.settings: Mapping[str, object] = {}
        self.preset: Mapping[str, object] = dict(PRESET)
        self.stride = self.trunk.stride

    def encode(self, rgb: Tensor) -> Tensor:
        """Return (B, 258, ceil(H/8), ceil(W/8)): ResNet features and location; rgb (B, 3, H, W) in [0, 1]."""
        check_rgb(rgb)
        features: Tensor = self.trunk(2.0 * luma(rgb) - 1.0)
        return torch.cat((features, location(features)), dim=1)

    def embed(self, stack: Tensor) -> Tensor:
        """Return (4, 64, h, w): the embeddings of three references and a target, which see one another.

        Args:
            stack: (4, 258, h, w) from `encode`, in time order, the target last.

        Raises:
            ValueError: there are not exactly four frames.
        """
        if stack.ndim != 4 or stack.shape[0] != REFERENCES + 1:
            raise ValueError(f"colorization embeds {REFERENCES + 1} frames of (Ct, h, w), not {tuple(stack.shape)}")
        return self.embed_clips(stack.unsqueeze(0)).squeeze(0)

    def embed_clips(self, stacks: Tensor) -> Tensor:
        """Return (B, 4, 64, h, w) embeddings of a batch of stacks (B, 4, 258, h, w)."""
        embedded: Tensor = self.over_time(stacks.transpose(1, 2))  # (B, 64, 4, h, w)
        return embedded.transpose(1, 2)

    def forward(self, clips: Tensor) -> Tensor:
        """Return (B, 4, 64, h, w): the whole network at once on clips (B, 4, 3, H, W) in [0, 1]; for training."""
        encoded = self.encode(clips.flatten(0, 1))
        return self.embed_clips(encoded.unflatten(0, clips.shape[:2]))


def location(features: Tensor) -> Tensor:
    """Return (B, 2, h, w): x, y of each cell of (B, C, h, w), from -1 at the first column or row to 1 at the last."""
    batch, _, height, width = features.shape
    y, x = (torch.linspace(-1, 1, n, dtype=features.dtype, device=features.device) for n in (height, width))
    plane = torch.stack((x.expand(height, width), y[:, None].expand(height, width)))
    return plane.expand(batch, -1, -1, -1)


def _five_layers(channels: int) -> nn.Sequential:
    """Return the 3-D network from `channels` to 64: convolution, then batch norm and ReLU except after the last."""
    layers: list[nn.Module] = []
    for dilation in DILATIONS:
        last = dilation == DILATIONS[-1]
        reach = (1, dilation, dilation)
        layers.append(nn.Conv3d(channels, CHANNELS, kernel_size=3, padding=reach, dilation=reach, bias=last))
        if not last:
            layers += [nn.BatchNorm3d(CHANNELS), nn.ReLU(inplace=True)]
        channels = CHANNELS
    return nn.Sequential(*layers)
