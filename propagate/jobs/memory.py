"""How much memory this process has needed so far."""

from __future__ import annotations

import sys
from pathlib import Path


def peak_memory() -> int:
    """Return the peak resident memory of this process in bytes, without what its parent had before it began."""
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
        return int(next(line for line in status.splitlines() if line.startswith("VmHWM:")).split()[1]) * 1024
    except (OSError, StopIteration):  # not Linux
        import resource

        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
