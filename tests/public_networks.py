"""The networks of public checkpoints, as their own code names their parts: what the importers are held to."""

from __future__ import annotations

import functools
from collections import OrderedDict
from typing import TypeVar

import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional as F

from propagate.encoders.trunk import IMAGENET_MEAN, IMAGENET_STD

PICTURE = torch.rand(1, 3, 64, 80, generator=torch.Generator().manual_seed(0))
State = dict[str, Tensor]
Net = TypeVar("Net", bound=nn.Module)


def imagenet(rgb: Tensor) -> Tensor:
    normalized: Tensor = torchvision.transforms.functional.normalize(rgb, list(IMAGENET_MEAN), list(IMAGENET_STD))
    return normalized


def trained_looking(network: Net) -> Net:
    """Return `network` in evaluation mode with statistics that would betray a swapped or forgotten batch norm."""
    for norm in network.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.running_mean = torch.randn(norm.num_features) * 0.1
            norm.running_var = torch.rand(norm.num_features) + 0.5
            nn.init.uniform_(norm.weight, 0.5, 1.5)
            nn.init.normal_(norm.bias, std=0.1)
    return network.eval()


@functools.cache
def resnet(depth: int) -> nn.Module:
    """Return torchvision's ResNet with layers 3 and 4 at stride 1, as these papers change it."""
    torch.manual_seed(depth)
    network: nn.Module = getattr(torchvision.models, f"resnet{depth}")()
    for layer in ("layer3", "layer4"):
        for conv in network.get_submodule(layer).modules():
            if isinstance(conv, nn.Conv2d):
                conv.stride = (1, 1)
    if depth == 50:
        network.add_module("layer4", nn.Sequential(nn.BatchNorm2d(8)))  # a stand-in: nobody uses its 15 M values
    return trained_looking(network)


def reflecting(network: nn.Module) -> nn.Module:
    """Put an explicit reflection before every padded convolution, so that its key becomes `conv1.1.weight`."""
    for parent in list(network.modules()):
        for name, conv in list(parent.named_children()):
            if isinstance(conv, nn.Conv2d) and conv.padding != (0, 0):
                reflection = nn.ReflectionPad2d(conv.padding[0])  # type: ignore[arg-type]
                conv.padding = (0, 0)
                setattr(parent, name, nn.Sequential(reflection, conv))
    return network


@torch.no_grad()
def to_layer(network: nn.Module, x: Tensor, *, last: int) -> Tensor:
    for name in ("conv1", "bn1", "relu", "maxpool", *(f"layer{i + 1}" for i in range(last))):
        x = network.get_submodule(name)(x)
    return x


class Block(nn.Module):
    """CorrFlow's residual block, for its names."""

    def __init__(self, inside: int, outside: int, *, stride: int) -> None:
        super().__init__()
        self.left = nn.Sequential(
            nn.Conv2d(inside, outside, 3, stride=stride, padding=1, bias=False),
            nn.BatchNorm2d(outside),
            nn.ReLU(),
            nn.Conv2d(outside, outside, 3, padding=1, bias=False),
            nn.BatchNorm2d(outside),
        )
        self.shortcut = nn.Sequential()
        if stride > 1 or inside != outside:
            conv = nn.Conv2d(inside, outside, 1, stride=stride, bias=False)
            self.shortcut = nn.Sequential(conv, nn.BatchNorm2d(outside))

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.left(x) + self.shortcut(x))


@functools.cache
def corrflow() -> nn.ModuleDict:
    """Return CorrFlow's network by its own names: `feature_extraction` and `post_convolution`."""
    torch.manual_seed(1)
    stages: OrderedDict[str, nn.Module] = OrderedDict()
    stages["conv1"] = nn.Sequential(nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU())
    width = 64
    for i, (outside, stride) in enumerate(((64, 1), (128, 2), (256, 1), (256, 1))):
        blocks = Block(width, outside, stride=stride), Block(outside, outside, stride=1)
        stages[f"layer{i + 1}"] = nn.Sequential(*blocks)
        width = outside
    parts = {"feature_extraction": nn.Sequential(stages), "post_convolution": nn.Conv2d(256, 64, 3, padding=1)}
    return trained_looking(nn.ModuleDict(parts))


@torch.no_grad()
def corrflow_features(network: nn.ModuleDict, x: Tensor) -> Tensor:
    features: Tensor = network["post_convolution"](network["feature_extraction"](x))
    return features


def prefixed(state: State, prefix: str) -> State:
    return {prefix + key: tensor for key, tensor in state.items()}
