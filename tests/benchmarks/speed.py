"""Seconds a frame of `propagate masks`, decode to written PNG, as a ratio to a plain forward of the same network.

480x854. `resnet18` with random weights, annotated frame + 7, radius 12, top-10; then the annotated frame searched
everywhere; then 20 frames of context; then each `--quality` with the weights that ship. The forward is of ResNet-18 to
layer3, channels last, batch norms folded, in bf16 where the processor is fast at it and else in float32, as the runs
are; it is timed here in turns with them. Medians over the rounds; CPU-seconds beside wall time.
Usage: python tests/benchmarks/speed.py [rounds [what the names of the cases contain]]
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from pathlib import Path

import measure
import torch

from propagate.commands.masks import open_masks
from propagate.device import choose_dtype
from propagate.encoders.weights import load_encoder
from propagate.runs.request import Request
from propagate.runs.settings import QUALITIES, SettingLayers

DTYPE = choose_dtype("auto", torch.device("cpu"))
WARM, TIMED = 24, 40  # frames: until the window is full; measured
RANDOM = {"encoder": "resnet18", "weights": "random"}
CASES: dict[str, tuple[str | None, dict[str, object], float | None]] = {  # quality, flags, bar
    "annotated + 7, radius 12, top-10": (None, RANDOM, 3.0),
    "the same, annotated frame searched everywhere": (None, {**RANDOM, "annotated_radius": None}, 4.0),
    "annotated + 20 (CRW's context; its code takes 7 s)": (
        None,
        {**RANDOM, "context": 20, "annotated_radius": None},
        None,
    ),
    **{f"--quality {name}": (name, {}, 3.0 if name == "balanced" else None) for name in QUALITIES},
}


def forward_seconds(repeats: int = 10) -> list[float]:
    """Return the seconds of some plain forwards of the network on one 480x854 picture."""
    encoder = load_encoder("resnet18", "random", dtype=DTYPE)
    picture = torch.rand(1, 3, 480, 854)
    seconds = []
    with torch.inference_mode():
        for _ in range(repeats + 2):
            watch = measure.Watch()
            encoder.encode(picture)
            seconds.append(watch.read()[0])
    return seconds[2:]


def frame_seconds(
    video: Path, mask: Path, out: Path, *, quality: str | None, flags: dict[str, object]
) -> tuple[float, float]:
    """Return (wall, CPU) seconds a frame of a whole run, once its window is full, files written."""
    request = Request(str(video), out, layers=SettingLayers(flags=flags, quality=quality), force=True)
    run = open_masks(request, [str(mask)])
    for prediction in run:
        if prediction.frame.index == WARM - 1:
            watch = measure.Watch()
    wall, cpu = watch.read()
    run.close()
    return wall / TIMED, cpu / TIMED


def main() -> None:
    """Print the table."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    part = sys.argv[2] if len(sys.argv) > 2 else ""
    chosen = {name: case for name, case in CASES.items() if part in name}
    if not chosen:
        sys.exit(f"no case is called {part!r}: {', '.join(CASES)}")
    forwards: list[float] = []
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in chosen}
    with tempfile.TemporaryDirectory() as folder:
        video, mask = measure.write_clip(Path(folder), size=(480, 854), frames=WARM + TIMED)
        for number in range(rounds):
            for name, (quality, flags, _) in chosen.items():
                forwards += forward_seconds()
                out = Path(folder) / f"out{number}"
                found[name].append(frame_seconds(video, mask, out, quality=quality, flags=flags))
    forward = statistics.median(forwards)
    print(f"{torch.get_num_threads()} threads, {DTYPE}, {rounds} rounds; a plain forward {forward * 1e3:.1f} ms")
    for name, (_, _, bar) in chosen.items():
        wall, cpu = (statistics.median(pair[n] for pair in found[name]) for n in (0, 1))
        limit = "" if bar is None else f" (bar {bar:g})"
        print(f"{name}: {wall:.3f} s a frame, {cpu:.3f} CPU-s, {wall / forward:.2f} forwards{limit}")


if __name__ == "__main__":
    main()
