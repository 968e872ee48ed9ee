"""A benchmark of three tiny sequences whose score is known by hand, and which counts how often it tracks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from propagate.errors import InputError
from propagate.evaluation.protocol import Benchmark, BenchmarkSequence, Curve, Measure, Scores, Trackers
from propagate.values import Annotation, Frame


@dataclass(frozen=True)
class Counted(Benchmark):
    """Square of 4x4 pixels that moves one pixel a frame; the score is the share of it found on frame 1."""

    labels: ClassVar[str] = "masks"

    root: Path
    name: ClassVar[str] = "counted"
    measures: ClassVar[tuple[Measure, ...]] = (Measure("J"),)
    broken: str = ""

    def list_sequences(self) -> Sequence[BenchmarkSequence]:
        return [BenchmarkSequence(name, str(self.root / "clip.mp4")) for name in ("a", "b", "c/d")]

    def inputs(self, sequence: BenchmarkSequence) -> tuple[Sequence[Path], Mapping[str, Any]]:
        return [self.root / "truth.txt"], {}

    def evaluate(self, sequence: BenchmarkSequence, trackers: Trackers, results: Path) -> Scores:
        from propagate.labels.masks import MaskLabels

        if sequence.name == self.broken:
            raise InputError(f"{sequence.name}: is broken")
        with (self.root / "tracked.txt").open("a", encoding="utf-8") as log:
            log.write(f"{sequence.name}\n")
        frames, truth = zip(*(_square(index) for index in range(3)), strict=True)
        known = [Annotation(0, truth[0], (1,))]
        found = [p.array for p in trackers("masks")(frames, known, label_type=MaskLabels((1,)))]
        place = results / sequence.name
        place.mkdir(parents=True, exist_ok=True)
        np.save(place / "found.npy", np.stack(found))
        return self.score(sequence, results)

    def score(self, sequence: BenchmarkSequence, results: Path) -> Scores:
        found = np.load(results / sequence.name / "found.npy")
        truth = np.stack([_square(index)[1] for index in range(3)])
        inside = np.array([(f[t > 0] > 0).mean() for f, t in zip(found[1:], truth[1:], strict=True)])
        return Scores(sequence.name, (1, 2), {"1": {"J": inside}})

    def summary(self, scores: Sequence[Scores]) -> dict[str, float]:
        return {"J": float(np.mean([s.units["1"]["J"].mean() for s in scores]))}

    def curves(self, scores: Scores) -> dict[str, Curve]:
        return {"J": scores.units["1"]["J"]}

    def filmstrip(
        self, sequence: BenchmarkSequence, results: Path, *, count: int, height: int
    ) -> NDArray[np.uint8] | None:
        return None


def _square(index: int) -> tuple[Frame, NDArray[np.uint8]]:
    rgb = np.zeros((24, 24, 3), np.uint8)
    mask = np.zeros((24, 24), np.uint8)
    rgb[8:12, 4 + index : 8 + index] = (200, 40, 40)
    mask[8:12, 4 + index : 8 + index] = 1
    return Frame(index, index / 24, rgb, f"{index:05d}"), mask
