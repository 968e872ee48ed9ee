"""What the benchmark scripts share: clips, stopwatches for wall and CPU time, peak memory, and the davis_dev set."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from propagate.formats.indexed_png import write_mask

ROOT = Path(__file__).resolve().parents[2]
os.environ.setdefault("GOMP_SPINCOUNT", "1000")  # as the command line does, before torch is imported
sys.path[:0] = [str(ROOT / "examples"), str(ROOT / "tests")]
DAVIS = ROOT.parent / "shared" / "data" / "davis_dev"


@dataclass
class Watch:
    """Wall and CPU seconds since it was made."""

    def __post_init__(self) -> None:
        self.wall, self.cpu = time.perf_counter(), time.process_time()

    def read(self) -> tuple[float, float]:
        """Return (wall, CPU) seconds."""
        return time.perf_counter() - self.wall, time.process_time() - self.cpu


def peak_memory() -> float:
    """Return the peak resident memory of this process so far, in MB."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) / 1000


def resident_memory() -> float:
    """Return the resident memory of this process now, in MB."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1]) / 1000


def write_clip(folder: Path, *, size: tuple[int, int], frames: int) -> tuple[Path, Path]:
    """Write a rendered clip of `frames` frames, height x width `size`, and its first mask; return both paths.

    Thirty frames are rendered and played forward and backward, so that long clips cost no more.
    """
    import rendered
    from propagate.video import open_video_writer

    clip = rendered.render(size=size, frames=30)
    video, mask = folder / "clip.mp4", folder / "first.png"
    order = [*range(30), *range(28, 0, -1)]
    writer = open_video_writer(
        video, size=size, time_base=Fraction(1, 25), state=folder / "clip.state", segment_frames=frames
    )
    for index in range(frames):
        writer.write(clip.frames[order[index % len(order)]], index)
    writer.finish()
    rendered.write_mask(mask, clip.masks[0])
    return video, mask


def write_ellipses(path: Path, *, size: tuple[int, int], share: float, count: int = 1) -> None:
    """Write a mask (height, width) of `count` ellipses side by side that cover a share of it together, ids 1, 2, ..."""
    rows = max(1, round((count * size[0] / size[1]) ** 0.5))
    columns = -(-count // rows)
    height, width = size[0] / rows, size[1] / columns
    y, x = np.mgrid[: size[0], : size[1]]
    reach = np.hypot(y % height / height - 0.5, x % width / width - 0.5)  # in tiles of which each holds one
    ids = 1 + (y // height).astype(int) * columns + (x // width).astype(int)
    radius = (share * rows * columns / count / np.pi) ** 0.5
    write_mask(path, np.where((reach <= radius) & (ids <= count), ids, 0))


def write_points(path: Path, *, size: tuple[int, int], count: int) -> None:
    """Write points on a spiral around the middle of a picture (height, width) as a CSV, an animal of a third of it."""
    turn = np.arange(count) * 2.4
    reach = size[0] / 6 * (np.arange(1, count + 1) / count) ** 0.5
    rows = [
        f"0,p{number},{size[1] / 2 + r * np.cos(t):.1f},{size[0] / 2 + r * np.sin(t):.1f}"
        for number, (t, r) in enumerate(zip(turn, reach, strict=True))
    ]
    path.write_text("\n".join(["frame,name,x,y", *rows]) + "\n", encoding="ascii")


def processor() -> str:
    """Return what the processor is called, and which number formats it is fast at."""
    words = Path("/proc/cpuinfo").read_text(encoding="utf-8").split("\n")
    name = next((line.split(":", 1)[1].strip() for line in words if line.startswith("model name")), "processor")
    flags = next((line.split() for line in words if line.startswith("flags")), [])
    fast = [flag for flag in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if flag in flags]
    return f"{name} ({', '.join(fast)})"


def sequences(listed: str = "dev") -> list[str]:
    """Return the names in davis_dev's dev.txt or dev15.txt; leave the script where the data is absent."""
    if not DAVIS.is_dir():
        sys.exit(f"no data at {DAVIS}")
    return (DAVIS / f"ImageSets/2016/{listed}.txt").read_text(encoding="ascii").split()


def pictures(sequence: str, resolution: str = "480p") -> Path:
    """Return the folder of a sequence's frames."""
    return DAVIS / "JPEGImages" / resolution / sequence


def truths(sequence: str, resolution: str = "480p") -> Iterator[NDArray[np.uint8]]:
    """Yield the true ids (H, W) of each frame of a sequence."""
    for path in sorted((DAVIS / "Annotations" / resolution / sequence).glob("*.png")):
        yield np.asarray(Image.open(path))
