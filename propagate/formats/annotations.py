"""From the words on the command line to annotated masks: `LABEL`, `FRAME=FILE`, `FRAME!=FILE`, or a folder."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from propagate.errors import ConfigError, InputError
from propagate.files import files_in, is_folder
from propagate.formats.frames import check_frame, match_frames, place_file, step_frames, warn_of_numbers
from propagate.formats.images import SUFFIXES
from propagate.formats.indexed_png import no_object
from propagate.formats.label_words import LabelSpec, parse_label
from propagate.formats.mask_colors import MaskFile, resolve
from propagate.formats.mask_forms import Grey, read_raw
from propagate.values import Annotation

logger = logging.getLogger(__name__)
_LONG_RUN = 5  # consecutive ids beyond which only the first and the last are said


@dataclass(frozen=True)
class MaskSet:
    """All annotated masks of a video.

    Attributes:
        annotations: one per annotated frame, by frame; arrays are (H, W) int32 ids.
        ids: all ids that occur, ascending.
        descriptions: a line per file: its frame, the form that was recognised, its ids.
        colors: the (R, G, B) of each id that was given as a colour, for run.yaml.
    """

    annotations: tuple[Annotation, ...]
    ids: tuple[int, ...]
    descriptions: tuple[str, ...]
    colors: Mapping[int, tuple[int, int, int]] = field(default_factory=dict)


@dataclass(frozen=True)
class _Placed:
    """A label file with its frame, how that was found, and the folder that it came from."""

    frame: int
    path: Path
    complete: bool
    how: str
    folder: Path | None = None


def read_masks(
    words: Sequence[str],
    *,
    size: tuple[int, int],
    stems: Sequence[str] | None = None,
    frame_count: int | None = None,
    from_folder: bool = False,
    grey: Grey = "auto",
    resize: bool = False,
    step: int | None = None,
) -> MaskSet:
    """Return the annotated masks that label words name; the order of the words does not matter.

    The one exception: several files for one frame hold one object each, with ids 1, 2, ... in the order given; where
    they overlap the later one is on top.

    Args:
        words: `LABEL` (frame 0, or a folder of masks), `FRAME=FILE`, `FRAME!=FILE`.
        size: (height, width) of the video.
        stems: the stems of the video's frames in order, to match a folder's files with.
        frame_count: how many frames the video has, None when that is not known.
        from_folder: the video is a folder, whose stems are names that people gave.
        grey: what doubtful grey values mean.
        resize: bring masks of another size to the video's by nearest neighbour.
        step: a folder's masks were made on every `step`-th frame, in their order; they are matched by name when None.

    Raises:
        ConfigError: there is a step, but no folder.
        InputError: a file cannot be read, is no mask, has another size or no object, matches no frame, or a frame is
            annotated twice.
    """
    placed = _place([parse_label(word) for word in words], stems, from_folder=from_folder, step=step)
    frames = _by_frame(placed, frame_count=frame_count)
    raws = {
        item: read_raw(item.path, grey=grey, size=size, resize=resize) for items in frames.values() for item in items
    }
    alone = [items[0] for items in frames.values() if len(items) == 1]
    masks = dict(zip(alone, resolve([raws[item] for item in alone]), strict=True))
    annotations: list[Annotation] = []
    descriptions: list[str] = []
    for frame, items in frames.items():
        if len(items) > 1:
            found, lines = _one_object_each(frame, items, [resolve([raws[item]])[0] for item in items])
        else:
            found, lines = _one_file(items[0], masks[items[0]])
        annotations += found
        descriptions += lines
    ids = sorted({int(i) for annotation in annotations for i in annotation.ids})
    if not ids:
        raise InputError(f"{', '.join(words) or 'labels'}: no object in any mask")
    colors = {place: color for mask in masks.values() for place, color in mask.colors.items()}
    return MaskSet(tuple(annotations), tuple(ids), tuple(descriptions), dict(sorted(colors.items())))


def _place(
    specs: Sequence[LabelSpec], stems: Sequence[str] | None, *, from_folder: bool, step: int | None
) -> list[_Placed]:
    if step is not None and not any(is_folder(spec.path) for spec in specs):
        raise ConfigError("--label-step is for a folder of masks, and none is given", hint="write FRAME=FILE for files")
    placed: list[_Placed] = []
    alone = sum(spec.frame is None for spec in specs) == 1
    for spec in specs:
        if not is_folder(spec.path):
            frame, how = place_file(spec.path, spec.frame, stems=stems, from_folder=from_folder, alone=alone)
            placed.append(_Placed(frame, spec.path, spec.complete, how))
        elif spec.frame is not None:
            hint = "name a file, or give the folder alone"
            raise InputError(f"{spec.path}: a folder cannot be the label of frame {spec.frame}", hint=hint)
        else:
            placed += _place_folder(spec.path, stems, step=step)
    first = [item for item in placed if item.how == "the first"]
    if len(first) > 1:
        warn_of_numbers([item.path for item in first], first[0].frame, stems=stems)
    return placed


def _place_folder(folder: Path, stems: Sequence[str] | None, *, step: int | None) -> list[_Placed]:
    """Return the pictures of a folder in natural order; hidden files and other kinds of files are passed over."""
    pictures = files_in(folder, SUFFIXES)
    if not pictures:
        hint = f"expected files ending in {', '.join(sorted(SUFFIXES))}"
        raise InputError(f"{folder}: no masks in this folder", hint=hint)
    names = [path.stem for path in pictures]
    if step is None:
        matches = match_frames(names, stems=stems, where=str(folder))
    else:
        matches = step_frames(names, step=step, stems=stems, where=str(folder))
    return [_Placed(frame, path, False, how, folder) for path, (frame, how) in zip(pictures, matches, strict=True)]


def _by_frame(placed: Sequence[_Placed], *, frame_count: int | None) -> dict[int, list[_Placed]]:
    """Return the files of every frame, by frame, with the files in the order given."""
    frames: dict[int, list[_Placed]] = {}
    for item in sorted(placed, key=lambda item: item.frame):
        check_frame(item.frame, frame_count, where=str(item.path))
        frames.setdefault(item.frame, []).append(item)
    for frame, items in frames.items():
        if len(items) > 1 and any(item.folder for item in items):
            twice = " and ".join(str(path) for path in sorted(item.path for item in items))
            raise InputError(f"frame {frame} is annotated more than once: {twice}", hint="keep one of them")
        if len({item.path for item in items}) < len(items):
            raise InputError(f"{items[0].path}: given more than once for frame {frame}")
    return frames


def _one_file(item: _Placed, mask: MaskFile) -> tuple[list[Annotation], list[str]]:
    """Return the annotation of a frame with one file, and its line; no annotation for an empty mask in a folder."""
    said = f"{item.path}: frame {item.frame} ({item.how}), {mask.form}"
    if not mask.objects and not item.complete:
        if item.folder is None:
            raise no_object(mask)
        logger.warning("%s: no object, the mask is passed over", item.path)
        return [], [f"{said}, no object, passed over"]
    ended = ", other objects end" if item.complete else ""
    line = f"{said}, {_say_ids(mask.objects)}{ended}"
    return [Annotation(item.frame, mask.ids, mask.objects, complete=item.complete)], [line]


def _one_object_each(
    frame: int, items: Sequence[_Placed], masks: Sequence[MaskFile]
) -> tuple[list[Annotation], list[str]]:
    """Return the annotation of a frame with several files, the first being object 1."""
    ids = np.zeros_like(masks[0].ids)
    for place, mask in enumerate(masks, 1):
        if not mask.objects:
            raise no_object(mask)
        if len(mask.objects) > 1:
            hint = "give one binary mask per object, or one mask with all ids"
            found = f"{len(mask.objects)} objects in one of several files for frame {frame}"
            raise InputError(f"{mask.path}: {found}", hint=hint)
        ids[mask.ids > 0] = place
    objects = tuple(np.unique(ids[ids > 0]).tolist())
    if len(objects) < len(masks):
        hidden = next(mask.path for place, mask in enumerate(masks, 1) if place not in objects)
        raise InputError(f"{hidden}: later masks of frame {frame} cover the object entirely")
    lines = [
        f"{item.path}: frame {frame} ({item.how}), {mask.form}, one of several files, id {place}"
        for place, (item, mask) in enumerate(zip(items, masks, strict=True), 1)
    ]
    return [Annotation(frame, ids, objects, complete=any(item.complete for item in items))], lines


def _say_ids(ids: Sequence[int]) -> str:
    if not ids:
        return "no object"
    runs: list[list[int]] = []
    for number in ids:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    said = (f"{run[0]} to {run[-1]}" if len(run) > _LONG_RUN else ", ".join(map(str, run)) for run in runs)
    return f"id{'s' if len(ids) > 1 else ''} {', '.join(said)}"
