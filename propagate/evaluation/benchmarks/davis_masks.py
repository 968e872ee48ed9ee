"""Masks of DAVIS as the official evaluation reads them: truth and results, with what is odd about them said."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from propagate.errors import InputError
from propagate.evaluation.corrections import ABSENT_SECONDS, MASK_SECONDS, CorrectedRun
from propagate.formats.images import check_size, open_image
from propagate.formats.mask_forms import read_raw
from propagate.formats.palette import davis_ids
from propagate.formats.results import record
from propagate.metrics.masks import boundary_f, jaccard
from propagate.values import Annotation, Prediction

Ids = NDArray[np.uint8]
VOID = 255  # in a truth of 2017
VOIDED = "void (255) counts as background, as in the official code"
OPAQUE = "a grey mask with an opaque alpha channel (mode LA) is read as one object"
MOST_GREYS = 64  # grey ids beside void stay below; what comes nearer to white is anti-aliased, or a probability


@dataclass(frozen=True)
class Truth:
    """The true masks of one sequence.

    Attributes:
        stems: of all frames, in order.
        masks: a mask (H, W) per frame; only the first where the others are not given (test-dev).
        objects: how many objects are scored, ids 1 to `objects`: the greatest id of the first frame, as in the
            official code, so that an id that it skips counts as an object that is nowhere.
        notes: what is odd.
    """

    stems: tuple[str, ...]
    masks: tuple[Ids, ...]
    objects: int
    notes: tuple[str, ...]

    @property
    def ids(self) -> tuple[int, ...]:
        """The objects on the first frame, ascending."""
        return tuple(int(number) for number in np.unique(self.masks[0]) if number)

    @property
    def scored(self) -> range:
        """The frames that count: the official evaluation leaves out the first and the last."""
        return range(1, len(self.masks) - 1)


def read_truth(folder: Path, stems: Sequence[str], *, size: tuple[int, int], merged: bool) -> Truth:
    """Return the true masks of the frames `stems`.

    Args:
        folder: holds STEM.png.
        stems: of the frames.
        size: (height, width) of the frames.
        merged: all objects count as one.

    Raises:
        InputError: a mask is missing, damaged, ambiguous or of another size, or the first has no object.
    """
    given = [stem for stem in stems if (folder / f"{stem}.png").is_file()]
    chosen = stems[:1] if given == [stems[0]] else stems
    odd: dict[str, list[str]] = {}
    masks = [read_true(folder / f"{stem}.png", size=size, merged=merged, odd=odd) for stem in chosen]
    objects = int(masks[0].max(initial=0))
    if not objects:
        hint = "in DAVIS 2017 the value 255 is void; choose the year 2016 for masks of 0 and 255"
        void = not merged and bool((_levels(folder / f"{stems[0]}.png") == VOID).any())
        raise InputError(f"{folder / f'{stems[0]}.png'}: the first mask has no object", hint=hint if void else None)
    together = _objects_in(folder / f"{stems[0]}.png", size=size) if merged else 1
    merging = [f"{together} objects are scored as one, as in DAVIS 2016"] if together > 1 else []
    notes = merging + [f"{what}: frame {_frames(where)}" for what, where in odd.items()]
    extra = sorted({path.stem for path in folder.glob("*.png") if not path.name.startswith(".")} - set(stems))
    if extra:
        notes.append(f"a truth mask without a picture is not scored: frame {_frames(extra)}")
    return Truth(tuple(stems), tuple(masks), objects, (*notes, *_oddities(masks, stems, objects)))


def read_true(path: Path, *, size: tuple[int, int], merged: bool, odd: dict[str, list[str]]) -> Ids:
    """Return the true mask (H, W) of one frame, and add its stem to `odd` under what is odd about it.

    Args:
        path: its file.
        size: (height, width) of the frames.
        merged: all objects count as one.
        odd: what is odd -> stems.

    Raises:
        InputError: it is missing, damaged, ambiguous or of another size.
    """
    ids, note = _read(path, size=size, merged=merged, what="truth")
    if note:
        odd.setdefault(note, []).append(path.stem)
    if not merged and (ids == VOID).any():
        ids = np.where(ids == VOID, 0, ids)
        odd.setdefault(VOIDED, []).append(path.stem)
    if ids.max(initial=0) > VOID:
        raise InputError(f"{path}: the ids go up to {ids.max()}", hint="DAVIS has ids up to 254")
    return ids.astype(np.uint8)


def read_result(path: Path, *, size: tuple[int, int], objects: int, merged: bool) -> Ids:
    """Return the predicted mask (H, W) of one frame; objects that it lacks are empty.

    Args:
        path: an indexed PNG, or another lossless mask.
        size: (height, width) of the frames.
        objects: how many the truth has.
        merged: all objects count as one.

    Raises:
        InputError: it is missing, damaged, of another size, or holds an id that the truth lacks.
    """
    ids, _ = _read(path, size=size, merged=merged, what="result")
    most = int(ids.max(initial=0))
    if most > objects:
        hint = f"the first true mask has the ids 1 to {objects}"
        raise InputError(f"{path}: there is an object {most} that the truth lacks", hint=hint)
    return ids.astype(np.uint8)


def _read(path: Path, *, size: tuple[int, int], merged: bool, what: str) -> tuple[NDArray[np.integer], str]:
    """Return a mask (H, W), and a line on what is odd about it, empty when nothing is."""
    image = open_image(path)
    check_size(path, (image.height, image.width), size, what=what, hint="the official evaluation never resizes")
    note = ""
    if image.mode == "P":
        ids: NDArray[np.integer] = np.asarray(image)
    elif image.mode == "LA":
        ids = _opaque(path, image)
        note = OPAQUE
    else:
        ids = _by_form(path)
    return (ids > 0).astype(np.uint8) if merged else ids, note


def _opaque(path: Path, image: Image.Image) -> NDArray[np.integer]:
    grey, alpha = np.moveaxis(np.asarray(image), 2, 0)
    if (alpha != 255).any() or not np.isin(grey, (0, 255)).all():
        found = f"{len(np.unique(grey))} grey values, alpha from {alpha.min()} to {alpha.max()}"
        hint = "only 0 and 255 with full alpha is clear; save it as an indexed PNG"
        raise InputError(f"{path}: a mask of mode LA that is ambiguous, {found}", hint=hint)
    return np.asarray(grey > 0).astype(np.uint8)


def _by_form(path: Path) -> NDArray[np.integer]:
    """Return the ids of a mask that is not indexed: grey {0, white} is one object, colours are the palette's."""
    raw = read_raw(path, grey="ids")
    found, places = np.unique(raw.values, return_inverse=True)
    if raw.colored:
        colors = np.stack([found >> 16 & 255, found >> 8 & 255, found & 255], axis=1).astype(np.uint8)
        ids = davis_ids(colors)
        if ids is None:
            raise InputError(f"{path}: colours that are not of the DAVIS palette", hint="save it as an indexed PNG")
        return np.asarray(ids[places].reshape(raw.values.shape))
    levels = found[found > 0]
    if len(levels) > 1 and levels[-1] == VOID and levels[-2] >= MOST_GREYS:
        hint = "save ids, or 0 and 255 only"
        raise InputError(f"{path}: {len(levels)} grey values up to 255 are no ids", hint=hint)
    return (raw.values > 0).astype(np.uint8) if levels.tolist() == [VOID] else raw.values


def _objects_in(path: Path, *, size: tuple[int, int]) -> int:
    """Return how many objects a mask tells apart."""
    ids, _ = _read(path, size=size, merged=False, what="truth")
    return len(np.unique(ids[ids > 0]))


def _levels(path: Path) -> NDArray[np.generic]:
    return np.asarray(open_image(path))


def _oddities(masks: Sequence[Ids], stems: Sequence[str], objects: int) -> list[str]:
    """Return lines on objects that come, are skipped, or have an empty mask."""
    present = np.stack([np.bincount(mask.ravel(), minlength=256) > 0 for mask in masks])  # (T, 256)
    lines = []
    for number in range(1, objects + 1):
        empty = [stem for stem, there in zip(stems, present[:, number], strict=False) if not there]
        if empty and empty[0] == stems[0]:
            lines.append(f"object {number} is not on the first frame; the official code counts it")
        elif empty:
            lines.append(f"empty truth mask on frame {_frames(empty)} (object {number}): right when predicted empty")
    late = np.flatnonzero(present[:, objects + 1 :].any(0)) + objects + 1
    if late.size:
        lines.append(f"objects that come after the first frame are not scored: {', '.join(map(str, late))}")
    return lines


def _frames(stems: Sequence[str]) -> str:
    return f"{stems[0]} and on {len(stems) - 1} more" if len(stems) > 1 else stems[0]


def facts_of(truth: Truth) -> dict[str, Any]:
    """Return plain data about the true masks, by which hard cases are found.

    Returns:
        objects: how many; frames: of the video; size: [width, height] in pixels; and by the object's id as text:
        first_area: share of the picture on the first frame; areas: the same per scored frame; border: per scored
        frame, whether the mask touches the picture's border; shape: per scored frame, how much the mask differs from
        the first one when their centroids lie on each other, 1 - J in [0, 1]; 0 where one of the two is empty.
    """
    height, width = truth.masks[0].shape
    numbers = range(1, truth.objects + 1)
    scored = [truth.masks[place] for place in truth.scored]
    first = {number: centred(truth.masks[0] == number) for number in numbers}
    return {
        "objects": truth.objects,
        "frames": len(truth.stems),
        "size": [width, height],
        "first_area": {str(number): len(first[number]) / (height * width) for number in numbers},
        "areas": {str(number): [float(np.mean(mask == number)) for mask in scored] for number in numbers},
        "border": {str(number): [touches_border(mask == number) for mask in scored] for number in numbers},
        "shape": {
            str(number): [shape_change(first[number], centred(mask == number)) for mask in scored] for number in numbers
        },
    }


def touches_border(mask: NDArray[np.bool_]) -> bool:
    """Return whether a mask (H, W) reaches the picture's border."""
    return bool(mask[[0, -1]].any() or mask[:, [0, -1]].any())


def centred(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the pixels (N, 2) row, column of a mask (H, W), counted from its centroid, rounded to whole pixels."""
    pixels = np.argwhere(mask)
    return pixels - np.round(pixels.mean(axis=0)).astype(np.int64) if len(pixels) else pixels


def shape_change(first: NDArray[np.int64], later: NDArray[np.int64]) -> float:
    """Return 1 - J of two sets of pixels (N, 2) and (M, 2), 0 when one is empty."""
    if not len(first) or not len(later):
        return 0.0
    both = np.concatenate([first, later])
    low = both.min(axis=0)
    canvas = np.zeros(both.max(axis=0) - low + 1, dtype=np.uint8)
    canvas[tuple((first - low).T)] = 1
    canvas[tuple((later - low).T)] += 2
    return 1.0 - float(np.count_nonzero(canvas == 3) / np.count_nonzero(canvas))


def annotation_of(truth: Truth, frame: int) -> Annotation:
    """Return what a person gives of a frame: the mask of every object of the first frame, and which are absent."""
    mask = np.where(np.isin(truth.masks[frame], truth.ids), truth.masks[frame], 0).astype(np.uint8)
    return Annotation(frame, mask, truth.ids)


def person_seconds(truth: Truth) -> dict[int, float]:
    """Return the seconds that a person needs for each frame's masks."""
    here = [{int(number) for number in np.unique(mask)} for mask in truth.masks]
    return {
        frame: sum(MASK_SECONDS if number in shown else ABSENT_SECONDS for number in truth.ids)
        for frame, shown in enumerate(here)
    }


class MaskTally:
    """Counts what a run got on all frames with truth, the first and the last and annotated ones too.

    Args:
        truth: of the sequence; the objects of its first frame count.
    """

    def __init__(self, truth: Truth) -> None:
        self.truth = truth
        self._values = np.full((2, len(truth.ids), len(truth.masks)), np.nan)
        self._both, self._either = np.zeros(len(truth.ids)), np.zeros(len(truth.ids))
        self._drawn = self._absent = 0
        self._lines: list[dict[str, Any]] = []

    def follow(self, predictions: Iterable[Prediction]) -> Iterator[Prediction]:
        """Yield the predictions, each once it is counted."""
        for prediction in predictions:
            self._lines.append(record(prediction))
            if prediction.frame.index < len(self.truth.masks):
                self._count(prediction.frame.index, prediction.array)
            yield prediction

    def result(self) -> CorrectedRun:
        """Return what was counted."""
        region, boundary = self._values
        tube = np.divide(self._both, self._either, out=np.ones(len(self._both)), where=self._either > 0)
        values = {"J&F": (region + boundary) / 2, "J": region, "F": boundary}
        frames = tuple(range(len(self.truth.masks)))
        return CorrectedRun(frames, values, self._lines, tube, drawn=self._drawn, absent=self._absent)

    def _count(self, frame: int, array: NDArray[np.generic]) -> None:
        for row, number in enumerate(self.truth.ids):
            true, found = self.truth.masks[frame] == number, np.asarray(array == number)
            self._values[:, row, frame] = jaccard(true, found), boundary_f(true, found)
            self._both[row] += np.count_nonzero(true & found)
            self._either[row] += np.count_nonzero(true | found)
            if not true.any():
                self._absent += 1
                self._drawn += bool(found.any())
