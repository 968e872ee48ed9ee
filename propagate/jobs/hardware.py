"""What a run was made on, in a few words for its record."""

from __future__ import annotations

import platform
import re
from pathlib import Path

import torch

_CPUINFO = Path("/proc/cpuinfo")  # Linux: Python itself knows the architecture only


def hardware(device: torch.device, *, processes: int = 1) -> str:
    """Return the name of the processor and its threads, or of the GPU: "4 x NVIDIA H200".

    Args:
        device: where a process computes.
        processes: how many compute together, each on a device of its own kind.
    """
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
    else:
        count = torch.get_num_threads()
        name = f"{processor()}, {count} thread{'s' * (count != 1)}" + (" and MPS" if device.type == "mps" else "")
    return name if processes == 1 else f"{processes} x {name}"


def processor() -> str:
    """Return the name of the processor, its architecture where the system does not tell."""
    try:
        found = re.search(r"^model name\s*:\s*(\S.*)$", _CPUINFO.read_text(encoding="utf-8"), re.MULTILINE)
    except (OSError, UnicodeDecodeError):
        found = None
    return " ".join(found[1].split()) if found else platform.processor() or platform.machine()
