"""How soon `propagate` answers: --help against importing typer and rich; the first mask against torch and one forward.

The forward is that of the default network, loaded from its file, on a picture of the clip's size. Processes in turns,
medians; those compared with the first mask end, as it does, without taking torch down. Usage:
python tests/benchmarks/startup.py [rounds]
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import measure

TOOL = [sys.executable, "-m", "propagate"]
SIZE = (480, 854)
TORCH = "import os, torch"
FORWARD = f"""
from propagate.encoders.weights import load_encoder
encoder = load_encoder()
with torch.inference_mode():
    encoder.encode(torch.rand(1, 3, {SIZE[0]}, {SIZE[1]}))
"""
END = "\nos._exit(0)"
CODE = {"imports": "import typer, rich.console, rich.progress", "torch": TORCH + END, "forward": TORCH + FORWARD + END}


def seconds(command: list[str]) -> float:
    """Return the wall time of a whole process."""
    begin = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - begin


def until_first_mask(video: Path, mask: Path, out: Path) -> float:
    """Return the seconds from the start of `propagate masks` until masks/00000.png is there."""
    begin = time.perf_counter()
    process = subprocess.Popen(
        [*TOOL, "masks", str(video), str(mask), "-o", str(out), "-q"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while not (out / "masks/00000.png").exists():
        if process.poll() is not None:
            sys.exit(f"propagate ended with {process.returncode} before its first mask")
        time.sleep(0.002)
    found = time.perf_counter() - begin
    process.kill()
    process.wait()
    return found


def main() -> None:
    """Print the two ratios."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    times: dict[str, list[float]] = {name: [] for name in (*CODE, "help", "mask")}
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed package has its bytecode
    with tempfile.TemporaryDirectory() as folder:
        video, mask = measure.write_clip(Path(folder), size=SIZE, frames=60)
        for number in range(rounds + 1):  # the first round fills the file cache
            for name, code in CODE.items():
                times[name].append(seconds([sys.executable, "-c", code]))
            times["help"].append(seconds([*TOOL, "--help"]))
            times["mask"].append(until_first_mask(video, mask, Path(folder) / f"out{number}"))
    middle = {name: statistics.median(found[1:]) for name, found in times.items()}
    print(f"--help {middle['help']:.2f} s, typer and rich {middle['imports']:.2f} s:", end=" ")
    print(f"{middle['help'] / middle['imports']:.2f} times (bar 2)")
    print(f"first mask {middle['mask']:.2f} s; import torch {middle['torch']:.2f} s:", end=" ")
    print(f"{middle['mask'] / middle['torch']:.2f} times;", end=" ")
    print(f"torch, the default network and a forward of it {middle['forward']:.2f} s:", end=" ")
    print(f"{middle['mask'] / middle['forward']:.2f} times (bar 2)")


if __name__ == "__main__":
    main()
