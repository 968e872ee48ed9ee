"""Masks with cells left out of the search against masks of a search of every cell: equal bytes, on real video.

Every sequence of dev15.txt and `schoolgirls` (seven objects), every `--quality`, as one object and as several, with a
correction half way. Soft labels are compared bit for bit, too.
Usage: python tests/benchmarks/skipping.py [frames of each sequence; all of them without]
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import islice

import measure
import numpy as np
import torch
from numpy.typing import NDArray

from propagate.engine.propagation import Propagation
from propagate.labels.masks import MaskLabels
from propagate.runs.settings import QUALITIES, SettingLayers, load_model
from propagate.values import Annotation
from propagate.video import read_video

Ids = NDArray[np.integer]
CASES = [*((name, "480p") for name in measure.sequences("dev15")), ("schoolgirls", "240p")]


def halved(ids: Ids) -> Ids:
    """Return one object as two, above and below its middle."""
    rows = np.nonzero(ids.any(1))[0]
    middle = rows.mean() if len(rows) else 0
    return np.where((np.arange(len(ids)) > middle)[:, None] & (ids > 0), 2, ids)


def annotations(truth: list[Ids]) -> Iterator[list[Annotation]]:
    """Yield what is given: all objects as one, and several of which the first is corrected half way."""
    one = [(ids > 0).astype(int) for ids in truth]
    several = truth if truth[0].max() > 1 else [halved(ids) for ids in one]
    for masks in (one, several):
        found = [Annotation(0, masks[0], tuple(int(number) for number in np.unique(masks[0]) if number))]
        middle = len(masks) // 2
        if (masks[middle] == 1).any():
            found.append(Annotation(middle, np.where(masks[middle] == 1, 1, 0), (1,)))
        yield found


def compare(sequence: str, resolution: str, quality: str, given: list[Annotation], count: int) -> tuple[int, int]:
    """Return how many frames there are, and how many of them differ."""
    label_type = MaskLabels(tuple(sorted({int(name) for one in given for name in one.ids})))
    runs = []
    for search_all in (False, True):
        model = load_model(SettingLayers(quality=quality, flags={"search_all": search_all}))
        runs.append(Propagation(given, label_type=label_type, encoder=model.encoder, config=model.config))
    frames = differ = 0
    with read_video(str(measure.pictures(sequence, resolution))) as video:
        for frame in islice(video, count):
            masks, states = [run.step(frame).array for run in runs], [run.state() for run in runs]
            same = np.array_equal(*masks) and torch.equal(*(state.soft for state in states))
            frames, differ = frames + 1, differ + (not same)
    return frames, differ


def main() -> None:
    """Print a line for each sequence and quality; leave with 1 where a bit differs."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    total = wrong = 0
    for sequence, resolution in CASES:
        truth = [ids.astype(int) for ids in islice(measure.truths(sequence, resolution), count)]
        for quality in QUALITIES:
            found = [compare(sequence, resolution, quality, given, len(truth)) for given in annotations(truth)]
            total, wrong = total + sum(pair[0] for pair in found), wrong + sum(pair[1] for pair in found)
            print(f"{sequence:18s} {quality:9s} frames that differ, one object and several: ", end="")
            print(", ".join(f"{differ} of {frames}" for frames, differ in found), flush=True)
    print(f"{wrong} of {total} frames differ (bar 0); {measure.processor()}")
    sys.exit(wrong > 0)


if __name__ == "__main__":
    main()
