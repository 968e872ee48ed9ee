"""What makes an encoder fast to run: folded batch norms, channels last, bfloat16. It does not import torchvision."""

from __future__ import annotations

import copy
import itertools
from typing import TypeVar

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.fusion import fuse_conv_bn_eval

from propagate.errors import ConfigError

Net = TypeVar("Net")


def fold_batch_norm(module: Net) -> Net:
    """Return a copy in evaluation mode whose batch norms are folded into the convolutions just before them.

    Args:
        module: an `nn.Module`; a batch norm is folded when it is registered directly after a convolution of its width.
    """
    folded = copy.deepcopy(module)
    if not isinstance(folded, nn.Module):
        raise ValueError(f"only an nn.Module has batch norms to fold, not {type(module).__name__}")
    folded.eval()
    for parent in list(folded.modules()):
        children = list(parent.named_children())
        for (conv_name, conv), (norm_name, norm) in itertools.pairwise(children):
            if isinstance(conv, nn.Conv2d | nn.Conv3d) and isinstance(norm, _BatchNorm):
                setattr(parent, conv_name, fuse_conv_bn_eval(conv, norm))
                setattr(parent, norm_name, nn.Identity())
    return folded


def prepare(encoder: Net, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32) -> Net:
    """Return a copy of an encoder ready to run: evaluation, folded, channels last, on the device, without gradients.

    Args:
        encoder: an encoder that is an `nn.Module`.
        device: where it will run.
        dtype: float32 or bfloat16; an encoder marked `exact` stays in float32.

    Raises:
        ConfigError: another dtype; float16 on a processor is about a thousand times slower than bfloat16.
    """
    if dtype not in (torch.float32, torch.bfloat16):
        raise ConfigError(f"an encoder runs in float32 or bfloat16, not {str(dtype).removeprefix('torch.')}")
    ready = fold_batch_norm(encoder)
    assert isinstance(ready, nn.Module)  # fold_batch_norm refuses anything else
    ready.to(device=device, dtype=torch.float32 if getattr(ready, "exact", False) else dtype).requires_grad_(False)
    formats = {4: torch.channels_last, 5: torch.channels_last_3d}
    for parameter in ready.parameters():
        if parameter.ndim in formats:
            parameter.data = parameter.data.contiguous(memory_format=formats[parameter.ndim])
    return ready
