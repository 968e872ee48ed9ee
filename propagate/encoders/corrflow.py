"""`corrflow`: the encoder of "Self-supervised Learning for Video Correspondence Flow" (2019), appendix A; MAST's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from torch import Tensor, nn

from propagate.encoders.protocol import check_rgb
from propagate.encoders.trunk import Trunk, gaussian_initialization, normalize
from propagate.ops.color import rgb_to_lab

CHANNELS = 64
# The previous frame alone, a 13 x 13 window, plain dot products and softmax; hard labels are fed back.
PRESET: Mapping[str, object] = {
    "size": 480,
    "context": 1,
    "keep_annotated": False,
    "radius": 6,
    "window": "square",
    "topk": None,
    "temperature": 1.0,
    "similarity": "dot",
    "label_scale": 1,
    "feedback": "hard",
}
LAB_CENTER = (50.0, 0.0, 0.0)
LAB_SCALE = (50.0, 127.0, 127.0)  # MAST's code


class CorrFlow(nn.Module):
    """A 7x7 / 2 convolution, no max-pool, blocks of 64, 128 (stride 2), 256 and 256, then a 3x3 to 64 channels.

    Appendix A; each of its rows of blocks is two basic blocks, as in the authors' code. Stride 4. The input is RGB in
    [0, 1] as it is.

    Args:
        color: "rgb", or "lab" for MAST's weights: (L - 50) / 50, a / 127, b / 127.
    """

    name = "corrflow"
    offset = 0.0
    temporal = 0
    exact = False

    def __init__(self, *, color: Literal["rgb", "lab"] = "rgb") -> None:
        super().__init__()
        if color not in ("rgb", "lab"):
            raise ValueError(f"corrflow takes color='rgb' or 'lab', not {color!r}")
        self.trunk = Trunk(18, strides=(1, 2, 1, 1), widths=(64, 128, 256, 256), pool=False)
        self.project = nn.Conv2d(self.trunk.channels, CHANNELS, kernel_size=3, padding=1)
        gaussian_initialization(self.project)
        self.settings: Mapping[str, object] = {"color": color}
        self.preset: Mapping[str, object] = dict(PRESET)
        self.stride, self.channels, self.color = self.trunk.stride, CHANNELS, color

    def encode(self, rgb: Tensor) -> Tensor:
        """Return (B, 64, ceil(H/4), ceil(W/4)) features of (B, 3, H, W) pictures in [0, 1]."""
        check_rgb(rgb)
        if self.color == "lab":
            rgb = normalize(rgb_to_lab(rgb), mean=LAB_CENTER, std=LAB_SCALE)
        features: Tensor = self.project(self.trunk(rgb))
        return features

    def embed(self, stack: Tensor) -> Tensor:
        """Return `stack` (T, C, h, w) itself: frames are embedded alone."""
        return stack
