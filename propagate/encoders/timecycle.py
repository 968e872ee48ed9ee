"""`timecycle`: the encoder of "Learning Correspondence from the Cycle-consistency of Time" (Wang 2019)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from propagate.encoders.protocol import check_rgb
from propagate.encoders.trunk import Padding, Trunk, gaussian_initialization, normalize

CHANNELS = 512
# Its published DAVIS run: 320 x 320, the annotated frame and the 7 before the target, top 5, scores times sqrt(512).
PRESET: Mapping[str, object] = {
    "size": "320x320",
    "context": 7,
    "keep_annotated": True,
    "radius": None,
    "window": "square",
    "topk": 5,
    "temperature": CHANNELS**-0.5,
    "similarity": "cosine",
    "label_scale": 1,
    "feedback": "soft",
}


class TimeCycle(nn.Module):
    """A ResNet to res4 (layer3) at stride 8, a 1x1 convolution without bias to 512 channels, and ReLU.

    The L2 normalisation that follows in the paper is the preset's cosine similarity. ImageNet's mean and std.

    Args:
        depth: 50, or 18 for the smaller form of the paper's tables (`timecycle-r18`).
        padding: "zeros" as in the published network, or "reflect", which tells less of where the border is.
    """

    offset = 0.0
    temporal = 0
    exact = False

    def __init__(self, *, depth: int = 50, padding: Padding = "zeros") -> None:
        super().__init__()
        self.name = "timecycle" if depth == 50 else "timecycle-r18"
        if padding not in ("zeros", "reflect"):
            raise ValueError(f"timecycle has no padding={padding!r}")
        self.trunk = Trunk(depth, strides=(1, 2, 1), padding=padding)
        self.project = nn.Conv2d(self.trunk.channels, CHANNELS, kernel_size=1, bias=False)
        gaussian_initialization(self.project)
        self.settings: Mapping[str, object] = {"padding": padding}
        self.preset: Mapping[str, object] = dict(PRESET)
        self.stride, self.channels = self.trunk.stride, CHANNELS

    def encode(self, rgb: Tensor) -> Tensor:
        """Return (B, 512, ceil(H/8), ceil(W/8)) features, none negative, of (B, 3, H, W) pictures in [0, 1]."""
        check_rgb(rgb)
        features: Tensor = self.project(self.trunk(normalize(rgb))).relu_()
        return features

    def embed(self, stack: Tensor) -> Tensor:
        """Return `stack` (T, C, h, w) itself: frames are embedded alone."""
        return stack


def timecycle_r18(**settings: Any) -> TimeCycle:
    """Return the ResNet-18 form of `timecycle`."""
    return TimeCycle(depth=18, **settings)
