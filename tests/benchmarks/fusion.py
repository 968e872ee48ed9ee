"""What each part of the fusion of both ways is worth: J and F with 2, 3 or 5 annotated frames, evenly spread.

davis_dev's fifteen at 480p, objects as one; over all frames and over those that nobody touched. The runs are kept in a
folder, so that a second call only fuses and decodes again. `forward` is the way forward alone, with what is given later
in its window.
Usage: python tests/benchmarks/fusion.py FOLDER [annotated frames [sequences, comma-separated]]
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import measure
import numpy as np
from numpy.typing import NDArray

from propagate.commands.masks import open_masks
from propagate.engine import fusion
from propagate.engine.fusion import Pair, pairs, switches
from propagate.engine.snapshot import FrameState, GroupState
from propagate.formats.indexed_png import write_mask
from propagate.metrics.masks import boundary_f, jaccard
from propagate.runs.finished import ASKED
from propagate.runs.request import Request
from propagate.runs.run import Run

Ids = NDArray[np.integer]


def _blended(pair: Pair, share: float) -> Pair:
    """Return the pair with a weight of the forward way that depends on nothing else, and always fused."""
    return replace(pair, share=np.full(len(pair.share), share), overlap=np.ones_like(pair.overlap))


def _linear(pair: Pair) -> float:
    return (pair.ends[1] - pair.index) / (pair.ends[1] - pair.ends[0])


VARIANTS: dict[str, Callable[[Pair], Pair]] = {
    "forward": lambda pair: _blended(pair, 1.0),
    "backward": lambda pair: _blended(pair, 0.0),
    "nearest end": lambda pair: _blended(pair, float(_linear(pair) >= 0.5)),
    "linear": lambda pair: _blended(pair, _linear(pair)),
    "+ confidence": lambda pair: replace(pair, overlap=np.ones_like(pair.overlap)),
    "+ selection": lambda pair: pair,
}


def run_of(folder: Path, name: str, truth: list[Ids], given: list[int]) -> Run:
    """Return the finished run of a sequence with true masks on some frames."""
    labels = folder / "labels" / name
    labels.mkdir(parents=True, exist_ok=True)
    words = []
    for index in given:
        write_mask(labels / f"{index}.png", truth[index])
        words.append(f"{index}={labels / f'{index}.png'}")
    out = folder / f"{name}-{len(given)}"
    (out / ".state" / ASKED).unlink(missing_ok=True)  # else it would be recognised without being opened
    run = open_masks(Request(str(measure.pictures(name)), out), words)
    assert isinstance(run, Run), "it is not recognised as finished"
    for _ in run:
        pass
    return run


def decoded(run: Run, given: list[int], change: Callable[[Pair], Pair]) -> Iterator[Ids]:
    """Yield the masks of all frames, fused as a variant does."""
    decoder, ways = run.parts.decoder, run.ways
    kind = decoder.label_type

    def states(index: int) -> tuple[FrameState, FrameState]:
        return ways.state("forward", index), ways.state("backward", index)

    def pair_of(index: int) -> Pair:
        (pair,) = pairs(*states(index), label_type=kind, trace=decoder.trace)
        return change(pair)

    for frame in run.reader:
        index = frame.index
        if index in given or index > given[-1]:
            state = ways.state("forward", index)
        else:
            ends = max(one for one in given if one < index), min(one for one in given if one > index)
            if index == ends[0] + 1:
                switch = switches(pair_of(one) for one in range(ends[0] + 1, ends[1]))
            group: GroupState = fusion.fused_group(pair_of(index), switch, kind)
            forward = ways.state("forward", index)
            state = FrameState.of_groups(index, [group], source="propagated", ids=kind.ids, grid=forward.grid)
        yield decoder.decode(frame, state).array.astype(np.uint8)


def main() -> None:
    """Print the table."""
    folder, count = Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 2
    names = sys.argv[3].split(",") if len(sys.argv) > 3 else measure.sequences("dev15")
    table: dict[str, list[tuple[float, float, float]]] = {name: [] for name in VARIANTS}
    for name in names:
        truth = [(ids > 0).astype(np.uint8) for ids in measure.truths(name)]
        given = sorted({round(place) for place in np.linspace(0, len(truth) - 1, count)})
        run = run_of(folder, name, truth, given)
        for variant, change in VARIANTS.items():
            masks = list(decoded(run, given, change))
            each = [jaccard(real > 0, found > 0) for real, found in zip(truth, masks, strict=True)]
            edges = [boundary_f(real > 0, found > 0) for real, found in zip(truth, masks, strict=True)]
            untouched = [index for index in range(len(truth)) if index not in given]
            row = np.mean(each), np.mean(np.array(each)[untouched]), np.mean(np.array(edges)[untouched])
            table[variant].append((float(row[0]), float(row[1]), float(row[2])))
            print("{:18s} {:14s} J all {:.3f}  untouched J {:.3f} F {:.3f}".format(name, variant, *row), flush=True)
        run.close()
    for variant, rows in table.items():
        mean = np.mean(rows, 0)
        print("{:18s} {:14s} J all {:.3f}  untouched J {:.3f} F {:.3f}".format("mean", variant, *mean))


if __name__ == "__main__":
    main()
