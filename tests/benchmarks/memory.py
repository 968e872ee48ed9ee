"""Peak memory of `propagate masks`: at 480p, at 1080p, and its growth over a long clip. Each run is its own process.

`resnet18` with random weights, annotated frame + 7; then each `--quality` with the weights that ship, at 480p.
Usage: python tests/benchmarks/memory.py [frames of the long clip; 0: none]
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import measure

from propagate.runs.settings import QUALITIES, SettingLayers

PLAIN = "random"  # the case without a quality
FLAGS = {"encoder": "resnet18", "weights": "random"}


def child(video: str, mask: str, out: str, case: str) -> None:
    """Run, and print resident memory at frame 200 and at the end, and the peak, in MB."""
    from propagate.commands.masks import open_masks
    from propagate.runs.request import Request

    layers = SettingLayers(flags=FLAGS) if case == PLAIN else SettingLayers(quality=case)
    run = open_masks(Request(video, Path(out), layers=layers), [mask])
    early = 0.0
    for prediction in run:
        if prediction.frame.index == 200:
            early = measure.resident_memory()
    late = measure.resident_memory()
    run.close()
    print(early, late, measure.peak_memory())


def measured(size: tuple[int, int], frames: int, *, case: str = PLAIN) -> tuple[float, float, float]:
    """Return the child's three figures for a clip; `case` is a quality, or PLAIN."""
    with tempfile.TemporaryDirectory() as folder:
        video, mask = measure.write_clip(Path(folder), size=size, frames=frames)
        command = [sys.executable, __file__, "child", str(video), str(mask), str(Path(folder) / "out"), case]
        answer = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    early, late, peak = map(float, answer.split()[-3:])
    return early, late, peak


def main() -> None:
    """Print the three bars."""
    if sys.argv[1:2] == ["child"]:
        child(*sys.argv[2:])
        return
    frames = int(sys.argv[1]) if len(sys.argv) > 1 else 5001
    print(f"480x854, 60 frames: peak {measured((480, 854), 60)[2]:.0f} MB (bar 1500)", flush=True)
    print(f"1080x1920, 30 frames: peak {measured((1080, 1920), 30)[2]:.0f} MB (bar 2000)", flush=True)
    for quality in QUALITIES:
        peak = measured((480, 854), 60, case=quality)[2]
        print(f"480x854, 60 frames, --quality {quality}: peak {peak:.0f} MB", flush=True)
    if not frames:
        return
    early, late, peak = measured((480, 854), frames)
    print(f"frame 200: {early:.1f} MB, frame {frames - 1}: {late:.1f} MB, growth {late - early:+.1f} (bar 20)", end="")
    print(f", peak {peak:.0f} MB")


if __name__ == "__main__":
    main()
