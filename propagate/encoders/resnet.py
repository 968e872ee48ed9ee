"""`resnet18` and `resnet50` to layer3 at stride 8, as in CRW; the light one is the trunk of the tool's own weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from torch import Tensor, nn

from propagate.encoders.protocol import check_rgb
from propagate.encoders.trunk import Padding, Trunk, normalize
from propagate.ops.color import rgb_to_lab

# The tool's own default: the protocol that the field has converged on since CRW. With random weights top-3 at 0.01 is
# better on davis_dev (J 0.515 instead of 0.420), but its masks in bfloat16 and float32 agree by J 0.96 only, not 0.98.
PRESET: Mapping[str, object] = {
    "size": 480,
    "context": 7,
    "keep_annotated": True,
    "radius": 12,
    "window": "circle",
    "topk": 10,
    "temperature": 0.07,
    "similarity": "cosine",
    "label_scale": 1,
    "feedback": "soft",
}


class ResNet18(nn.Module):
    """ResNet-18 with its max-pool, layer2 at stride 2, the later layers at stride 1, ImageNet's mean and std.

    Args:
        layers: stop after layer2 (128 channels), layer3 (256, CRW) or layer4 (512, UVC).
        padding: "zeros", or "reflect" as in CRW's own networks.
        stride: 8, or 4 (layer2 at stride 1 too) for pictures of half the size.
        color: "rgb", or "lightness" (UVC: L of Lab as eight bits over 256, repeated three times).
    """

    name = "resnet18"
    offset = 0.0
    temporal = 0
    exact = False

    def __init__(
        self,
        *,
        layers: int = 3,
        padding: Padding = "zeros",
        color: Literal["rgb", "lightness"] = "rgb",
        stride: int = 8,
    ) -> None:
        super().__init__()
        if (
            layers not in (2, 3, 4)
            or padding not in ("zeros", "reflect")
            or color not in ("rgb", "lightness")
            or stride not in (4, 8)
        ):
            raise ValueError(
                f"resnet18 has no layers={layers!r}, padding={padding!r}, color={color!r}, stride={stride!r}"
            )
        self.trunk = Trunk(18, strides=(1, stride // 4, 1, 1)[:layers], padding=padding)
        self.settings: Mapping[str, object] = {"layers": layers, "padding": padding, "color": color, "stride": stride}
        self.preset: Mapping[str, object] = dict(PRESET)
        self.stride, self.channels, self.color = self.trunk.stride, self.trunk.channels, color

    def encode(self, rgb: Tensor) -> Tensor:
        """Return (B, 128, 256 or 512, ceil(H/8), ceil(W/8)) features of (B, 3, H, W) pictures in [0, 1]."""
        return self.trunk.finish(self.begin(rgb))

    def begin(self, rgb: Tensor) -> Tensor:
        """Return what layer1 gives of pictures, (B, 64, ceil(H/4), ceil(W/4)), from which `trunk.finish` goes on."""
        check_rgb(rgb)
        if self.color == "lightness":
            rgb = lightness(rgb).expand(-1, 3, -1, -1)
        return self.trunk.begin(normalize(rgb))

    def embed(self, stack: Tensor) -> Tensor:
        """Return `stack` (T, C, h, w) itself: frames are embedded alone."""
        return stack


def lightness(rgb: Tensor) -> Tensor:
    """Return (B, 1, H, W): L of Lab as UVC feeds it, 255 / 256 for white, of (B, 3, H, W) in [0, 1]."""
    return rgb_to_lab(rgb)[:, :1] * (255.0 / 256.0 / 100.0)


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
