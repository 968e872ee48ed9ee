"""ResNet trunks with torchvision's names, their Gaussian initialisation, and ImageNet's normalisation.

The blocks are torchvision's, written again: importing torchvision takes as long as importing torch, in every run.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
RESNET_WIDTHS = (64, 128, 256, 512)

Padding = Literal["zeros", "reflect"]


class BasicBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut (He et al., 2016, figure 5 left).

    Args:
        channels: of the input.
        width: of the convolutions, and of the output.
        stride: of the first convolution.
        shortcut: brings the input to the output's shape; None where it has it.
    """

    expansion = 1

    def __init__(self, channels: int, width: int, *, stride: int, shortcut: nn.Module | None) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = shortcut

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, width, h / stride, w / stride) of (B, channels, h, w)."""
        out: Tensor = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        out += x if self.downsample is None else self.downsample(x)
        return self.relu(out)  # type: ignore[no-any-return]


class Bottleneck(nn.Module):
    """A 1x1, a 3x3 and a widening 1x1 convolution beside a shortcut; the 3x3 one has the stride (ResNet V1.5).

    Args:
        channels: of the input.
        width: of the first two convolutions; the output has `expansion` times as many channels.
        stride: of the 3x3 convolution.
        shortcut: brings the input to the output's shape; None where it has it.
    """

    expansion = 4

    def __init__(self, channels: int, width: int, *, stride: int, shortcut: nn.Module | None) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride=stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, width * self.expansion, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(width * self.expansion)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = shortcut

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, 4 * width, h / stride, w / stride) of (B, channels, h, w)."""
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn3(self.conv3(self.relu(self.bn2(self.conv2(out)))))
        out += x if self.downsample is None else self.downsample(x)
        return self.relu(out)  # type: ignore[no-any-return]


class WinogradConv2d(nn.Conv2d):
    """A 3x3 convolution by Winograd's method: an eighth of the products, equal but for rounding (1e-5 of the values).

    For float32 on the CPU, where torch's own takes all nine products a cell. NNPACK, which has it, comes with torch.
    What a convolution of dilation d sees are d * d interleaved pictures, convolved apart.
    """

    @classmethod
    def of(cls, conv: nn.Conv2d) -> WinogradConv2d:
        """Return the same convolution; see `can_be`."""
        made = torch.nn.utils.skip_init(
            cls,
            conv.in_channels,
            conv.out_channels,
            conv.kernel_size,
            padding=conv.padding,
            dilation=conv.dilation,
            padding_mode=conv.padding_mode,
        )
        assert isinstance(made, WinogradConv2d)
        made.weight = nn.Parameter(conv.weight.detach().contiguous(), requires_grad=False)
        made.bias = conv.bias
        return made

    @staticmethod
    def can_be(module: nn.Module) -> bool:
        """Return whether a module is such a convolution of stride 1, and this processor has the method."""
        return (
            isinstance(module, nn.Conv2d)
            and (module.kernel_size, module.stride, module.groups) == ((3, 3), (1, 1), 1)
            and module.padding == module.dilation
            and (module.dilation == (1, 1) or module.padding_mode == "zeros")
            and (module.weight.dtype, module.weight.device.type) == (torch.float32, "cpu")
            and has_winograd()
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, out_channels, h, w) of (B, in_channels, h, w)."""
        if self.padding_mode != "zeros":
            return self._convolved(F.pad(x, (1, 1, 1, 1), mode=self.padding_mode), padding=0)
        down, across = self.dilation
        if (down, across) == (1, 1):
            return self._convolved(x, padding=1)
        out = x.new_empty(x.shape[0], self.out_channels, *x.shape[2:])
        for top, left in itertools.product(range(min(down, x.shape[2])), range(min(across, x.shape[3]))):
            out[..., top::down, left::across] = self._convolved(x[..., top::down, left::across], padding=1)
        return out

    def _convolved(self, x: Tensor, *, padding: int) -> Tensor:
        """Return the pictures convolved one by one: another method would be taken for several, and round otherwise."""
        parts = [
            torch._nnpack_spatial_convolution(one.contiguous(), self.weight, self.bias, padding, 1)
            for one in x.split(1)
        ]
        return parts[0] if len(parts) == 1 else torch.cat(parts)


@lru_cache(maxsize=1)
def has_winograd() -> bool:
    """Return whether torch brings NNPACK, and NNPACK knows this processor; asking is what sets it up."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns where it is not; its own convolutions do the same
        return hasattr(torch, "_nnpack_spatial_convolution") and torch._nnpack_available()


BLOCKS: Mapping[int, tuple[type[BasicBlock | Bottleneck], tuple[int, ...]]] = {
    18: (BasicBlock, (2, 2, 2, 2)),
    50: (Bottleneck, (3, 4, 6, 3)),
}


class Trunk(nn.Module):
    """A ResNet from its first convolution to one of its layers, with torchvision's names.

    Every padded convolution has an odd kernel and symmetric padding, so cell (r, c) lies at pixel
    (stride * c, stride * r) and the grid is ceil(H / stride) x ceil(W / stride) for any size, without cropping.

    Args:
        depth: 18 (basic blocks) or 50 (bottlenecks).
        strides: of layer1, layer2, ...; as many layers are built as there are strides.
        widths: of the layers' 3x3 convolutions.
        pool: keep the 3x3 / 2 max-pool after the first convolution.
        in_channels: 3 for colour, 1 for grey.
        padding: of every padded convolution.
    """

    def __init__(
        self,
        depth: int,
        *,
        strides: Sequence[int],
        widths: Sequence[int] = RESNET_WIDTHS,
        pool: bool = True,
        in_channels: int = 3,
        padding: Padding = "zeros",
    ) -> None:
        super().__init__()
        block, counts = BLOCKS[depth]
        self.conv1 = nn.Conv2d(in_channels, 64, kernel_size=7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(kernel_size=3, stride=2, padding=1) if pool else nn.Identity()
        self.layers = tuple(f"layer{i + 1}" for i in range(len(strides)))
        self.channels = 64
        self.layer_mix = 0.0  # share of the last layer but one in features and similarity, see `two_depths`
        self.stride = 4 if pool else 2
        for name, count, width, stride in zip(self.layers, counts, widths, strides, strict=False):
            self.add_module(name, _layer(block, self.channels, width, count=count, stride=stride))
            self.channels = width * block.expansion
            self.stride *= stride
        set_padding(self, padding)
        gaussian_initialization(self)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, C, h, w) features, in the dtype of the weights, of a normalised (B, in_channels, H, W) input."""
        return self.finish(self.begin(x))

    def begin(self, x: Tensor) -> Tensor:
        """Return layer1 of a normalised (B, in_channels, H, W) input, (B, C1, H/4, W/4) with the max-pool."""
        x = x.to(dtype=self.conv1.weight.dtype, memory_format=torch.channels_last)
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))  # (B, 64, H/4, W/4), or H/2 without the max-pool
        first: Tensor = self.get_submodule(self.layers[0])(x)
        return first

    def finish(self, x: Tensor) -> Tensor:
        """Return the features (B, C, h, w) of what `begin` gave."""
        for name in self.layers[1:-1]:
            x = self.get_submodule(name)(x)
        if self.layer_mix == 1 or len(self.layers) == 1:
            return x
        last: Tensor = self.get_submodule(self.layers[-1])(x)
        return side_by_side(last, x, share=self.layer_mix) if self.layer_mix else last


def side_by_side(last: Tensor, before: Tensor, *, share: float) -> Tensor:
    """Return unit features (B, C1 + C2, h, w) whose inner product is (1 - share) and share of the parts' cosines."""
    weighted = [(1 - share) ** 0.5 * F.normalize(last.float(), dim=1), share**0.5 * F.normalize(before.float(), dim=1)]
    return torch.cat(weighted, 1).to(last.dtype)


def _layer(
    block: type[BasicBlock | Bottleneck], channels: int, width: int, *, count: int, stride: int
) -> nn.Sequential:
    """Return `count` residual blocks; the first has the stride, and a 1x1 shortcut where the shape changes."""
    out = width * block.expansion
    shortcut = None
    if stride != 1 or channels != out:
        shortcut = nn.Sequential(nn.Conv2d(channels, out, 1, stride=stride, bias=False), nn.BatchNorm2d(out))
    first = block(channels, width, stride=stride, shortcut=shortcut)
    return nn.Sequential(first, *(block(out, width, stride=1, shortcut=None) for _ in range(count - 1)))


def set_padding(module: nn.Module, padding: Padding) -> None:
    """Give every padded convolution in `module` this padding; CRW's own networks use "reflect"."""
    for conv in module.modules():
        if isinstance(conv, nn.Conv2d) and conv.padding != (0, 0):
            conv.padding_mode = padding


def gaussian_initialization(module: nn.Module) -> None:
    """Fill every convolution with Gaussian noise of He's variance and its bias with zeros (Vondrick 3.4).

    Tensors without values (on "meta") stay so: to draw none, torch would import its compiler, as long as torch itself.
    """
    for conv in module.modules():
        if isinstance(conv, nn.Conv2d | nn.Conv3d) and not conv.weight.is_meta:
            nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
            if conv.bias is not None:
                nn.init.zeros_(conv.bias)


def normalize(
    rgb: Tensor, *, mean: Sequence[float] = IMAGENET_MEAN, std: Sequence[float] = IMAGENET_STD
) -> Tensor:  # (B, 3, H, W)
    """Return (rgb - mean) / std, by channel; rgb is (B, 3, H, W), the default is ImageNet's."""
    mean_, std_ = (torch.tensor(v, dtype=rgb.dtype, device=rgb.device).view(-1, 1, 1) for v in (mean, std))
    return (rgb - mean_) / std_
