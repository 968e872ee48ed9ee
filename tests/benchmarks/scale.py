"""Seconds a frame and peak memory of `propagate masks` by the size of the video and the number of objects.

Objects are ellipses side by side that cover a fifth of the frame. Each case is its own process, in turns over the
rounds, medians.
Usage: python tests/benchmarks/scale.py [rounds]
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import measure

SIZES = {"480p": (480, 854), "720p": (720, 1280), "1080p": (1080, 1920)}
COUNTS = (1, 10, 50)
WARM, TIMED = 14, 12  # frames


def child(video: str, mask: str, out: str) -> None:
    """Run, and print seconds a frame once the window is full, and the peak memory in MB."""
    from propagate.commands.masks import open_masks
    from propagate.runs.request import Request
    from propagate.runs.settings import SettingLayers

    run = open_masks(Request(video, Path(out), layers=SettingLayers()), [mask])
    for prediction in run:
        if prediction.frame.index == WARM - 1:
            watch = measure.Watch()
    print(watch.read()[0] / TIMED, measure.peak_memory())
    run.close()


def main() -> None:
    """Print the table."""
    if sys.argv[1:2] == ["child"]:
        child(*sys.argv[2:])
        return
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 1
    found: dict[tuple[str, int], list[tuple[float, float]]] = {(size, n): [] for size in SIZES for n in COUNTS}
    with tempfile.TemporaryDirectory() as folder:
        for name, size in SIZES.items():
            (Path(folder) / name).mkdir()
            video, _ = measure.write_clip(Path(folder) / name, size=size, frames=WARM + TIMED)
            for count in COUNTS:
                measure.write_ellipses(Path(folder) / f"{name}{count}.png", size=size, share=0.2, count=count)
            for number in range(rounds):
                for count in COUNTS:
                    out = Path(folder) / f"out{name}{count}{number}"
                    command = [sys.executable, __file__, "child", video, Path(folder) / f"{name}{count}.png", out]
                    answer = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=True).stdout
                    seconds, peak = map(float, answer.split()[-2:])
                    found[name, count].append((seconds, peak))
    print(measure.processor())
    for (name, count), pairs in found.items():
        seconds, peak = (statistics.median(pair[n] for pair in pairs) for n in (0, 1))
        print(f"{name}, {count} objects: {seconds:.2f} s a frame, {peak:.0f} MB")


if __name__ == "__main__":
    main()
