"""VIP's results: maps carried through a video, written as ATEN's evaluator reads them, and fitted to the truth."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from propagate.evaluation.datasets.tracking import Stopwatch, make_folder
from propagate.evaluation.protocol import Trackers
from propagate.formats.atomic import write_text
from propagate.formats.indexed_png import write_mask
from propagate.values import Annotation
from propagate.video import read_video

Ids = NDArray[np.integer]


@dataclass(frozen=True)
class Carried:
    """What was found on one frame.

    Attributes:
        stem: the frame's.
        ids: (H, W).
        scores: id -> confidence in [0, 1]; 1 for those that are not in it.
    """

    stem: str
    ids: Ids
    scores: Mapping[int, float]


def carry(video: str, given: Ids, trackers: Trackers, *, watch: Stopwatch) -> Iterator[Carried]:
    """Yield the ids `given` on the first frame, carried through all frames; nothing is found where nothing is given."""
    from propagate.labels.masks import MaskCodec

    ids = tuple(int(number) for number in np.unique(given) if number > 0)
    with read_video(video) as frames:
        if not ids:
            yield from (Carried(frame.stem, np.zeros(given.shape, np.uint8), {}) for frame in frames)
            return
        annotation = Annotation(0, given, ids, complete=True)
        for prediction in watch.track(trackers("masks"), frames, [annotation], codec=MaskCodec(ids)):
            scores = {int(state.id): state.confidence for state in prediction.objects}
            yield Carried(prediction.frame.stem, np.asarray(prediction.array, dtype=np.int32), scores)


def write_parts(folder: Path, carried: Iterable[Carried], *, stems: Collection[str]) -> None:
    """Write the categories of the frames `stems`, a PNG each.

    Raises:
        OutputError: a file cannot be written.
    """
    make_folder(folder)
    for found in carried:
        if found.stem in stems:
            write_mask(folder / f"{found.stem}.png", found.ids)


def write_instances(
    folder: Path, carried: Iterable[Carried], *, stems: Collection[str], classes: Mapping[int, int]
) -> None:
    """Write the instances of the frames `stems`: a PNG each, and a line `CLASS SCORE` per instance beside it.

    The instances that a frame has are numbered 1, 2, ... anew, because the official evaluator takes line k for id k and
    goes wrong on a line whose instance has no pixel.

    Args:
        folder: the video's.
        carried: ids and scores per frame.
        stems: the frames to be written.
        classes: id -> class.

    Raises:
        OutputError: a file cannot be written.
    """
    make_folder(folder)
    for found in carried:
        if found.stem not in stems:
            continue
        present, places = np.unique(np.where(np.isin(found.ids, list(classes)), found.ids, 0), return_inverse=True)
        shift = 0 if present[0] == 0 else 1  # without background the first instance is 1 all the same
        write_mask(folder / f"{found.stem}.png", places.reshape(found.ids.shape) + shift)
        kept = [int(number) for number in present if number > 0]
        lines = [f"{classes[number]} {found.scores.get(number, 1.0):.6f}\n" for number in kept]
        write_text(folder / f"{found.stem}.txt", "".join(lines))


def resized(ids: Ids, size: tuple[int, int]) -> Ids:
    """Return ids (H, W) at another (height, width), by nearest neighbour."""
    if ids.shape == size:
        return ids
    row, column = ((np.arange(new) + 0.5) * old / new for new, old in zip(size, ids.shape, strict=True))
    return np.asarray(ids[row.astype(int)[:, None], column.astype(int)])
