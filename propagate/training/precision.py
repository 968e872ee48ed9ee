"""The encoder in bfloat16 where that is fast, everything else of an objective in float32."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from propagate.encoders.protocol import Encoder

COMPUTED = ("encode", "embed_clips", "forward")  # the methods of encoders that hold their convolutions


def run_encoder_in(encoder: Encoder, dtype: torch.dtype, *, device: torch.device) -> None:
    """Let an encoder's convolutions run in `dtype` by autocast; its weights and what it returns stay float32.

    Only the encoder: inner products, softmax and losses lose too much in bfloat16.
    """
    if dtype == torch.float32:
        return
    for name in COMPUTED:
        method = getattr(encoder, name, None)
        if method is not None:
            setattr(encoder, name, _cast(method, dtype, device.type))


def _cast(method: Callable[..., Tensor], dtype: torch.dtype, kind: str) -> Callable[..., Tensor]:
    @functools.wraps(method)
    def cast(*given: Any, **named: Any) -> Tensor:
        with torch.autocast(kind, dtype=dtype):
            return method(*given, **named).float()

    return cast
