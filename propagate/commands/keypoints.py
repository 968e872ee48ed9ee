"""`propagate keypoints`: a video and points on some of its frames in, points on every frame out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from propagate.errors import ConfigError
from propagate.formats import FORMATS, results
from propagate.formats.points import PointFormat, read_points, recognise
from propagate.runs.finished import FinishedRun
from propagate.runs.folder import RunFolder
from propagate.runs.inputs import LabelFile, absent_frames, stems_of, within
from propagate.runs.outputs import TextFile, Whole
from propagate.runs.request import Asked, Request, Work, ask, begin, earlier_overlay, finished, open_model
from propagate.values import Absence, Annotation, Prediction

if TYPE_CHECKING:
    from propagate.runs.run import Run
    from propagate.video import VideoReader, VideoWriter

Skeleton = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class PointOptions:
    """What `propagate keypoints` is told besides the request.

    Attributes:
        form: the format of the result, an entry of `FORMATS`.
        overlay: a video to draw the points in.
        skeleton: pairs of names that the overlay joins; those of the points' own file when empty.
        absences: points that are not in the picture on some frames.
    """

    form: str = "csv"
    overlay: Path | None = None
    skeleton: Skeleton = ()
    absences: tuple[Absence, ...] = ()


def parse_skeleton(text: str) -> Skeleton:
    """Return the pairs of "a-b,b-c"; a name that holds a hyphen needs the form "a:b".

    Raises:
        ConfigError: a pair that is none.
    """
    pairs = []
    for word in filter(None, text.split(",")):
        first, _, second = word.strip().partition(":" if ":" in word else "-")
        if not first or not second:
            raise ConfigError(f"{word!r} joins no two points", hint="write a-b,b-c")
        pairs.append((first, second))
    return tuple(pairs)


def open_keypoints(request: Request, points: Path, *, options: PointOptions | None = None) -> Run | FinishedRun:
    """Return the run that carries points through a video; nothing is written when an input is refused.

    Args:
        request: the video, the folder for keypoints.csv, results.jsonl and run.yaml (./STEM.keypoints by default).
        points: a file of a known format.
        options: what else is wanted.

    Raises:
        InputError: an input that cannot be used.
        ConfigError: a setting that cannot be.
        ConflictError: something else is in the folder.
        OutputError: the folder cannot be written.
    """
    options = options or PointOptions()
    form: PointFormat = FORMATS[options.form]
    folder = RunFolder.folder(request.out_or("keypoints"))
    options = replace(options, overlay=options.overlay or earlier_overlay(request, folder))
    out = _result(folder, form, points)
    wholes = [out, *([options.overlay] if options.overlay else [])]
    plain = {**asdict(options), "overlay": [folder.name_of(options.overlay)] if options.overlay else []}
    asked = ask(request, "keypoints", folder, labels=[LabelFile(points)], options=plain, wholes=wholes)
    if (done := finished(request, asked)) is not None:
        return done
    if options.overlay is not None:
        from propagate.commands.video_results import check_suffix

        check_suffix(options.overlay)
    reader = request.open_video()
    try:
        return _begin(request, points, options, asked=asked, reader=reader, out=out)
    except BaseException:
        reader.close()
        raise


def _result(folder: RunFolder, form: PointFormat, points: Path) -> Path:
    """Return where the result goes: never over the file that is read."""
    out = folder.out / f"keypoints{form.suffix}"
    return out if out.resolve() != points.resolve() else out.with_name(f"keypoints.propagated{form.suffix}")


def _begin(
    request: Request, points: Path, options: PointOptions, *, asked: Asked, reader: VideoReader, out: Path
) -> Run:
    info = reader.info
    found = read_points(points, stems=stems_of(reader), frame_count=len(info.pts), size=info.size)
    skeleton = options.skeleton or found.skeleton
    _check_skeleton(skeleton, found.names)
    annotations, notes = within(found.annotations, reader)
    from propagate.labels.keypoints import KeypointLabels

    label_type = KeypointLabels(found.names)
    absent = absent_frames(options.absences, label_type=label_type, annotations=annotations, frame_count=len(info.pts))
    model = open_model(request, asked, luma=False, size=info.size)
    kept = (f"{points}: stays as it is, the result goes to {out.name}",) if ".propagated" in out.name else ()
    work = Work(
        command="keypoints",
        annotations=annotations,
        label_type=label_type,
        labels=[LabelFile(points)],
        options={},
        choices={
            "format": options.form,
            "overlay": asked.content["wholes"][1:],
            "skeleton": [list(pair) for pair in skeleton],
            "absent": [absence.word for absence in options.absences],
        },
        described={"ids": list(found.names), "forms": [recognise(points)]},
        notes=(_say(points, found.annotations, found.names), *kept, *notes),
        wholes=_wholes(asked.folder, reader, options, out=out, skeleton=skeleton, checkpoint=model.config.checkpoint),
        absent=absent,
    )
    return begin(request, work, asked=asked, reader=reader, model=model)


def _say(points: Path, annotations: Sequence[Annotation], names: Sequence[str]) -> str:
    frames = len(annotations)
    listed = ", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "")
    where = f"frame {annotations[0].frame}" if frames == 1 else f"{frames} frames from {annotations[0].frame} on"
    number = "1 point" if len(names) == 1 else f"{len(names)} points"
    return f"{points}: {recognise(points)}, {number} on {where}: {listed}"


def _check_skeleton(skeleton: Skeleton, names: Sequence[str]) -> None:
    unknown = sorted({end for pair in skeleton for end in pair} - set(names))
    if unknown:
        raise ConfigError(f"the skeleton joins points that don't exist: {', '.join(unknown)}", hint="a-b,b-c")


def _wholes(
    folder: RunFolder, reader: VideoReader, options: PointOptions, *, out: Path, skeleton: Skeleton, checkpoint: int
) -> list[Whole]:
    form: PointFormat = FORMATS[options.form]

    def write() -> None:
        form.write(out, results.read_tracks(folder.log))

    absent = "".join(f" {absence.word}" for absence in options.absences)
    found = [Whole(out, options.form + absent, lambda _: TextFile(write))]
    if options.overlay is not None:
        from propagate.commands.video_results import overlay_file

        key = f"skeleton {skeleton}{absent}"
        draw = partial(_draw, skeleton=skeleton)
        found.append(overlay_file(options.overlay, reader, draw, checkpoint=checkpoint, key=key))
    return found


def _draw(writer: VideoWriter, prediction: Prediction, *, skeleton: Skeleton) -> None:
    from propagate.render.overlay import overlay_points

    frame, states = prediction.frame, prediction.objects
    assert frame.pts is not None, "readers give every frame a time"
    xy = [(np.nan, np.nan) if state.centroid is None else state.centroid for state in states]
    drawn = overlay_points(
        frame.rgb,
        np.array(xy, np.float64).reshape(-1, 2),
        visible=np.array([state.visible for state in states], bool),
        confidence=np.array([state.confidence for state in states], np.float64),
        names=[str(state.id) for state in states],
        skeleton=skeleton,
    )
    writer.write(drawn, frame.pts)
