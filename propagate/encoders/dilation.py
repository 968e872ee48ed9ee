"""The same features on a grid twice as fine: the last stride is taken out and what follows is dilated (à trous)."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from propagate.encoders.protocol import Encoder
from propagate.encoders.trunk import Trunk, WinogradConv2d
from propagate.errors import ConfigError
from propagate.ops.grid import input_size

if TYPE_CHECKING:
    from propagate.config import PropagateConfig

ROWS = 45  # cells on a picture's short side; "auto" halves the stride where there would be fewer


def at_stride(encoder: Encoder, config: PropagateConfig, video: tuple[int, int]) -> Encoder:
    """Return the encoder with the cells that the settings ask for.

    Args:
        encoder: as loaded.
        config: `stride`, `size`.
        video: (height, width) of the frames.

    Raises:
        ConfigError: a stride that the encoder cannot have.
    """
    if config.stride in (None, encoder.stride):
        return encoder
    if config.stride == "auto":
        small = min(input_size(video, config.size)) < ROWS * encoder.stride
        return denser(encoder) if small and can_be_denser(encoder) else encoder
    if config.stride != encoder.stride / 2 or not can_be_denser(encoder):
        strides = f"{encoder.stride} or {encoder.stride // 2}" if can_be_denser(encoder) else f"{encoder.stride}"
        raise ConfigError(f"stride is {config.stride}, but {encoder.name!r} has {strides}")
    return denser(encoder)


def can_be_denser(encoder: Encoder) -> bool:
    """Return whether the encoder is a trunk with a strided layer, and nothing wider than a pixel after it.

    Under reflection padding the borders of the two grids would see different things.
    """
    trunk = getattr(encoder, "trunk", None)
    if encoder.temporal or not isinstance(encoder, nn.Module) or not isinstance(trunk, Trunk):
        return False
    inside = {id(module) for module in trunk.modules()}
    convolutions = [module for module in encoder.modules() if isinstance(module, nn.Conv2d)]
    zeros = all(module.padding_mode == "zeros" for module in convolutions)
    narrow = all(module.kernel_size == (1, 1) for module in convolutions if id(module) not in inside)
    return zeros and narrow and _last_strided(trunk) is not None


def denser(encoder: Encoder) -> Encoder:
    """Return a copy whose every second cell, along rows and columns, has the features of `encoder`.

    Args:
        encoder: one that `can_be_denser`.
    """
    finer: Any = copy.deepcopy(encoder)
    trunk: Trunk = finer.trunk
    last = _last_strided(trunk)
    assert last is not None
    for name in trunk.layers[trunk.layers.index(last) :]:
        for block in trunk.get_submodule(name).children():
            for part, module in list(block.named_modules()):
                if isinstance(module, nn.Conv2d):
                    block.set_submodule(part, _opened(module))
    trunk.stride //= 2
    finer.stride = trunk.stride
    result: Encoder = finer
    return result


def reach(trunk: Trunk) -> int:
    """Return how many cells of what a denser trunk began with are seen around each of its own cells.

    Args:
        trunk: of a `denser` encoder, whose cells are as large as those of what it begins with.
    """
    layers = trunk.layers[1:-1] if trunk.layer_mix == 1 else trunk.layers[1:]  # the last is then not computed
    convolutions = [
        module
        for name in layers
        for module in trunk.get_submodule(name).modules()
        if isinstance(module, nn.Conv2d) and module.kernel_size != (1, 1)
    ]
    return sum(module.kernel_size[0] // 2 * module.dilation[0] for module in convolutions)


def _opened(conv: nn.Conv2d) -> nn.Conv2d:
    """Return a strided convolution without its stride, or one that comes after it, dilated; the values are shared."""
    spread = conv.stride == (1, 1) and conv.kernel_size != (1, 1)
    opened: nn.Conv2d = torch.nn.utils.skip_init(
        nn.Conv2d,
        conv.in_channels,
        conv.out_channels,
        conv.kernel_size,
        padding=tuple(2 * reach for reach in conv.padding) if spread else conv.padding,
        dilation=tuple(2 * reach for reach in conv.dilation) if spread else conv.dilation,
        bias=conv.bias is not None,
        padding_mode=conv.padding_mode,
    )
    opened.weight, opened.bias = conv.weight, conv.bias
    return WinogradConv2d.of(opened) if WinogradConv2d.can_be(opened) else opened


def _last_strided(trunk: Trunk) -> str | None:
    """Return the name of the last layer with a stride, None when only the stem has one."""
    strided = [name for name in trunk.layers if any(_has_stride(m) for m in trunk.get_submodule(name).modules())]
    return strided[-1] if strided else None


def _has_stride(module: nn.Module) -> bool:
    return isinstance(module, nn.Conv2d) and module.stride != (1, 1)
