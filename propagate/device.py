"""Which processor runs the engine, and in which number format."""

from __future__ import annotations

import logging
import re

import torch

from propagate.errors import DeviceError
from propagate.settings import shown

log = logging.getLogger(__name__)
_NAME = re.compile(r"cpu|mps|cuda(:(0|[1-9]\d?))?")  # torch takes cuda:256 for cuda:0


def choose_device(name: str) -> torch.device:
    """Return the device called `name`; "auto" takes CUDA, then MPS, then the CPU.

    Raises:
        DeviceError: the device does not exist here.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    if not _NAME.fullmatch(name):
        raise _unknown(name)
    device = torch.device(name)
    missing = (device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count()) or (
        device.type == "mps" and not torch.backends.mps.is_available()
    )
    if missing:
        raise DeviceError(f"device {name} is not available on this machine", hint="use --device auto or cpu")
    return device


def _unknown(name: str) -> DeviceError:
    return DeviceError(f"no device is called {shown(name)}", hint="auto, cpu, cuda, cuda:1 or mps")


def choose_dtype(name: str, device: torch.device) -> torch.dtype:
    """Return the number format of features; "auto" takes bfloat16 where `device` is fast at it, else float32."""
    if name != "auto":
        return {"float32": torch.float32, "bfloat16": torch.bfloat16}[name]
    return torch.bfloat16 if fast_bfloat16(device) else torch.float32


def fast_bfloat16(device: torch.device) -> bool:
    """Return whether `device` multiplies bfloat16 in hardware."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device)[0] >= 8
    if device.type == "cpu":
        capabilities = torch.cpu.get_capabilities()
        return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
    return False


def use_threads(threads: int | None) -> None:
    """Let torch compute with so many CPU threads; None leaves its own choice."""
    if threads is not None:
        torch.set_num_threads(threads)
