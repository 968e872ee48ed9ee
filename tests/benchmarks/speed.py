"""Seconds a frame of a labelling command, decode to written files, as a ratio to a plain forward of the same network.

480x854. The forward is of ResNet-18 to layer3, channels last, batch norms folded, in bf16 where the processor is fast
at it and else in float32, as the runs are; it is timed here in turns with them. Objects are ellipses of a share of the
frame on a photograph that drifts. Medians over the rounds; CPU-seconds beside wall time. `all` searches for every cell.
Usage: python tests/benchmarks/speed.py [rounds [what the names of the cases contain]]
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import measure
import torch

from propagate.commands.keypoints import open_keypoints
from propagate.commands.masks import open_masks
from propagate.device import choose_dtype, fast_bfloat16
from propagate.encoders.build import as_module, fold_batch_norm
from propagate.encoders.weights import open_encoder
from propagate.runs.request import Request
from propagate.runs.settings import SettingLayers

DTYPE = choose_dtype("auto", torch.device("cpu"))
WARM, TIMED = 16, 24  # frames: until the window is full; measured
SIZE = (480, 854)
CRW = {"encoder": "resnet18", "weights": "random"}  # its preset: annotated + 7, radius 12, top-10


@dataclass(frozen=True)
class Case:
    """What is timed.

    Attributes:
        bar: forwards a frame, on a processor that is fast at bf16 and on another; None where nothing is promised.
        share: of the frame that the object covers; 0 for 13 points.
        quality, flags: of the settings.
    """

    bar: tuple[float, float] | None
    share: float = 0.2
    quality: str | None = None
    flags: Mapping[str, object] = field(default_factory=dict)


CASES = {
    "balanced, a fifth of the frame": Case((2.0, 1.5)),
    "balanced, a twentieth": Case((2.0, 1.5), share=0.05),
    "balanced, half": Case((3.0, 3.0), share=0.5),
    "fast": Case((1.2, 1.2), quality="fast"),
    "best": Case((2.6, 2.6), quality="best"),
    "CRW, annotated + 7, top-10": Case((1.8, 1.8), flags=CRW),
    "CRW, annotated frame searched everywhere": Case(None, flags={**CRW, "annotated_radius": None}),
    "CRW, annotated + 20 (its code takes 7 s)": Case(None, flags={**CRW, "context": 20, "annotated_radius": None}),
    "13 keypoints": Case((1.6, 1.6), share=0),
    "all: balanced, a fifth of the frame": Case(None, flags={"search_all": True}),
    "all: 13 keypoints": Case(None, share=0, flags={"search_all": True}),
}


def forward_seconds(repeats: int = 5) -> list[float]:
    """Return the seconds of some plain forwards of the network on one picture."""
    encoder = fold_batch_norm(open_encoder("resnet18", "random"))
    as_module(encoder).to(dtype=DTYPE, memory_format=torch.channels_last)
    picture = torch.rand(1, 3, *SIZE)
    seconds = []
    with torch.inference_mode():
        for _ in range(repeats + 2):
            watch = measure.Watch()
            encoder.encode(picture)
            seconds.append(watch.read()[0])
    return seconds[2:]


def frame_seconds(video: Path, label: Path, out: Path, case: Case) -> tuple[float, float]:
    """Return (wall, CPU) seconds a frame of a whole run, once its window is full, files written."""
    request = Request(str(video), out, layers=SettingLayers(flags=case.flags, quality=case.quality), force=True)
    run = open_masks(request, [str(label)]) if case.share else open_keypoints(request, label)
    with closing(run):
        for prediction in run:
            if prediction.frame.index == WARM - 1:
                watch = measure.Watch()
        wall, cpu = watch.read()
    return wall / TIMED, cpu / TIMED


def write_labels(folder: Path) -> Iterator[tuple[float, Path]]:
    """Write the first frame's labels of every share that a case has, and yield them."""
    for share in {case.share for case in CASES.values()}:
        path = folder / f"share {share}" / f"label.{'png' if share else 'csv'}"
        path.parent.mkdir()
        if share:
            measure.write_ellipses(path, size=SIZE, share=share)
        else:
            measure.write_points(path, size=SIZE, count=13)
        yield share, path


def main() -> None:
    """Print the table."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    part = sys.argv[2] if len(sys.argv) > 2 else ""
    chosen = {name: case for name, case in CASES.items() if part in name}
    if not chosen:
        sys.exit(f"no case is called {part!r}: {', '.join(CASES)}")
    forwards: list[float] = []
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in chosen}
    with tempfile.TemporaryDirectory() as folder:
        video, _ = measure.write_clip(Path(folder), size=SIZE, frames=WARM + TIMED)
        labels = dict(write_labels(Path(folder)))
        for number in range(rounds):
            for name, case in chosen.items():
                forwards += forward_seconds()
                found[name].append(frame_seconds(video, labels[case.share], Path(folder) / f"out{number}", case))
                print(f"  round {number}, {name}: {found[name][-1][0]:.3f} s", file=sys.stderr, flush=True)
    forward = statistics.median(forwards)
    print(f"{measure.processor()}, {torch.get_num_threads()} threads, {DTYPE}, {rounds} rounds")
    print(f"a plain forward: {forward * 1e3:.1f} ms")
    for name, case in chosen.items():
        wall, cpu = (statistics.median(pair[n] for pair in found[name]) for n in (0, 1))
        bar = "" if case.bar is None else f" (bar {case.bar[0 if fast_bfloat16(torch.device('cpu')) else 1]:g})"
        print(f"{name}: {wall:.3f} s a frame, {cpu:.3f} CPU-s, {wall / forward:.2f} forwards{bar}")


if __name__ == "__main__":
    main()
