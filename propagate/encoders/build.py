"""Encoders by name: built with seeded initial weights, their tensors, and what makes them fast to run."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.fusion import fuse_conv_bn_eval

from propagate.encoders import ENCODERS
from propagate.encoders.protocol import Encoder
from propagate.encoders.trunk import WinogradConv2d
from propagate.encoders.weights_file import listed
from propagate.errors import ConfigError, WeightsError

UNUSED = "num_batches_tracked"  # batch norm's counter: nothing reads it when the momentum is fixed


def build_encoder(name: str, *, settings: Mapping[str, Any] | None = None, seed: int = 0) -> Encoder:
    """Return an encoder with seeded initial weights, as training wants it; torch's own random state is left alone.

    Args:
        name: an entry of `ENCODERS`.
        settings: constructor arguments, such as `{"stride": 4}` for `rawcolor`.
        seed: of the initial weights.

    Raises:
        ConfigError: there is no such encoder, or it does not take these settings.
    """
    factory = ENCODERS[name]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            encoder: Encoder = factory(**(settings or {}))
        except (TypeError, ValueError) as error:
            raise ConfigError(f"encoder {name!r} cannot be built with {dict(settings or {})}: {error}") from error
    return encoder


def build_from_tensors(name: str, tensors: Mapping[str, Tensor], *, settings: Mapping[str, Any], where: str) -> Encoder:
    """Return an encoder, trainable and on the CPU, whose weights are `tensors`; no time is spent on initial ones.

    Args:
        name: an entry of `ENCODERS`.
        tensors: its weights, exactly.
        settings: its constructor arguments.
        where: the file, for messages.

    Raises:
        WeightsError: the keys that are missing, unexpected, or of another shape.
        ConfigError: as `build_encoder`.
    """
    encoder = build_on_meta(name, settings)
    check_keys(tensors, expected_shapes(encoder), where=where)
    module = as_module(encoder)
    counters = {key: torch.zeros((), dtype=torch.int64) for key in module.state_dict() if key.endswith(UNUSED)}
    module.load_state_dict({**{key: t.float() for key, t in tensors.items()}, **counters}, assign=True)
    return encoder


def trained_tensors(encoder: Encoder) -> dict[str, Tensor]:
    """Return the tensors of an encoder that make up its weights, by name."""
    return {key: t for key, t in as_module(encoder).state_dict().items() if not key.endswith(UNUSED)}


def build_on_meta(name: str, settings: Mapping[str, Any]) -> Encoder:
    """Return an encoder whose tensors have shapes but no values: cheap, for looking at."""
    with torch.device("meta"):
        return build_encoder(name, settings=settings)


def expected_shapes(encoder: Encoder) -> dict[str, tuple[int, ...]]:
    """Return the shape of every tensor that makes up the weights of an encoder."""
    return {key: tuple(t.shape) for key, t in trained_tensors(encoder).items()}


def check_keys(tensors: Mapping[str, Tensor], expected: Mapping[str, tuple[int, ...]], *, where: str) -> None:
    """Refuse tensors that are not exactly those expected.

    Raises:
        WeightsError: the keys that are missing, unexpected, or of another shape.
    """
    shapes = {key: tuple(tensor.shape) for key, tensor in tensors.items()}
    wrong = {
        "missing": [key for key in expected if key not in shapes],
        "unexpected": [key for key in shapes if key not in expected],
        "of another shape": [
            f"{key} {shapes[key]} for {shape}"
            for key, shape in expected.items()
            if key in shapes and shapes[key] != shape
        ],
    }
    if any(wrong.values()):
        said = "; ".join(f"{what}: {listed(keys)}" for what, keys in wrong.items() if keys)
        raise WeightsError(f"{where}: the weights do not fit the network: {said}")


def as_module(encoder: Encoder) -> nn.Module:
    """Return `encoder` as the module that it is."""
    if not isinstance(encoder, nn.Module):
        raise ValueError(f"an encoder must be an nn.Module, not {type(encoder).__name__}")
    return encoder


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
    for name, module in list(ready.named_modules()):
        if WinogradConv2d.can_be(module):
            assert isinstance(module, nn.Conv2d)
            ready.set_submodule(name, WinogradConv2d.of(module))
    return ready
