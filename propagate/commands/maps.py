"""`propagate maps`: a video and a map of any planes in, a map a frame out, in one pass."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from propagate.errors import InputError
from propagate.formats.maps import Plane, map_bytes, read_maps
from propagate.runs.finished import FinishedRun
from propagate.runs.folder import RunFolder
from propagate.runs.inputs import LabelFile, label_files, placed_files, within
from propagate.runs.outputs import FrameFiles
from propagate.runs.request import Asked, Request, Work, ask, begin, finished, open_model
from propagate.values import Annotation, Kind, Prediction

if TYPE_CHECKING:
    from propagate.labels.maps import MapLabels, MapPlane
    from propagate.runs.run import Run
    from propagate.video import VideoReader

SUFFIXES = frozenset({".npz", ".npy"})


def open_maps(request: Request, maps: Sequence[str], *, kind: Kind | None = None) -> Run | FinishedRun:
    """Return the run that carries maps through a video; nothing is written when an input is refused.

    Args:
        request: the video, the folder for maps/, results.jsonl and run.yaml (./STEM.labels by default), settings.
        maps: `FILE` of frame 0, `FRAME=FILE`, `FRAME!=FILE`, or a folder; a file fixes the planes that it holds.
        kind: what all planes are, None to tell by their numbers (see `formats.maps`).

    Raises:
        InputError: an input that cannot be used.
        ConfigError: a setting that cannot be.
        ConflictError: something else is in the folder.
        OutputError: the folder cannot be written.
    """
    folder = RunFolder.folder(request.out_or("maps"))
    files = label_files(maps, suffixes=SUFFIXES)
    asked = ask(request, "maps", folder, labels=files, options={"kind": kind})
    if (done := finished(request, asked)) is not None:
        return done
    reader = request.open_video()
    try:
        return _begin(request, maps, asked=asked, files=files, reader=reader, kind=kind)
    except BaseException:
        reader.close()
        raise


def _begin(
    request: Request,
    maps: Sequence[str],
    *,
    asked: Asked,
    files: Sequence[LabelFile],
    reader: VideoReader,
    kind: Kind | None,
) -> Run:
    placed = placed_files(maps, reader, suffixes=SUFFIXES)
    found = [(file, read_maps(file.path, size=reader.info.size, kind=kind)) for file in placed]
    from propagate.labels.maps import MapLabels

    label_type = MapLabels(described([(file.path, planes) for file, planes in found]))
    given = [annotation(label_type, file.frame, planes, complete=file.complete) for file, planes in found]
    annotations, notes = within(given, reader)
    model = open_model(request, asked, luma=False, size=reader.info.size)
    planes = [_line(plane) for plane in label_type.parts]
    work = Work(
        command="maps",
        annotations=annotations,
        label_type=label_type,
        labels=files,
        options={"kind": kind, "planes": planes},
        choices={},
        described={"planes": planes},
        notes=(*(file.said for file in placed), *planes, *notes),
        files=[_frame_files(label_type)],
    )
    return begin(request, work, asked=asked, reader=reader, model=model)


def described(files: Sequence[tuple[Path, Sequence[Plane]]]) -> tuple[MapPlane, ...]:
    """Return what each plane is over all files, by name; categories are those that occur anywhere.

    Raises:
        InputError: two files disagree about a plane.
    """
    from propagate.labels.maps import MapPlane, describe_plane

    known: dict[str, tuple[Path, MapPlane]] = {}
    for path, planes in files:
        for plane in planes:
            now = describe_plane(plane.name, plane.array, plane.kind)
            where, before = known.get(plane.name, (path, now))
            if bool(before.categories) != bool(now.categories) or before.kind != now.kind:
                raise InputError(f"{path}: the map {plane.name!r} is of another kind than in {where}")
            if not now.categories and before.depth != now.depth:
                raise InputError(f"{path}: the map {plane.name!r} has {now.depth} channels, in {where} {before.depth}")
            ids = tuple(sorted({*before.categories, *now.categories}))
            known[plane.name] = (where, MapPlane(plane.name, now.kind, len(ids) or now.depth, ids))
    return tuple(known[name][1] for name in sorted(known))


def annotation(label_type: MapLabels, frame: int, planes: Sequence[Plane], *, complete: bool = False) -> Annotation:
    """Return the annotation of one frame; planes that it lacks are zero there, and not fixed."""
    size = planes[0].array.shape[:2]
    given = {plane.name: plane.array for plane in planes}
    arrays = {
        plane.name: given.get(plane.name, np.zeros((*size, 1 if plane.categories else plane.depth), np.float32))
        for plane in label_type.parts
    }
    return Annotation(frame, label_type.stacked(arrays), tuple(given), complete)


def _line(plane: MapPlane) -> str:
    if plane.categories:
        listed = ", ".join(map(str, plane.categories[:12])) + (", ..." if plane.depth > 12 else "")
        categories = "1 category" if plane.depth == 1 else f"{plane.depth} categories"
        return f"{plane.name}: {categories} ({listed})"
    channels = "1 channel" if plane.depth == 1 else f"{plane.depth} channels"
    return f"{plane.name}: {channels} of {'probabilities' if plane.kind == 'probability' else 'values'}"


def _frame_files(label_type: MapLabels) -> FrameFiles:
    def encode(prediction: Prediction) -> bytes:
        planes = label_type.planes(prediction.array)
        return map_bytes(
            {name: array.astype(np.uint16) if array.ndim == 2 else array for name, array in planes.items()}
        )

    return FrameFiles("maps", ".npz", encode)
