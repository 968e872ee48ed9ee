"""The job of `propagate keypoints`: a video and points on some of its frames in, points on every frame out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from propagate.commands.video_results import check_suffix, open_overlay
from propagate.errors import ConfigError
from propagate.formats import FORMATS, results
from propagate.formats.points import PointFormat, read_points, recognise
from propagate.runs.folder import Place
from propagate.runs.inputs import stems_of, within
from propagate.runs.outputs import ResultsLog, Sink, VideoFile
from propagate.runs.record import identify_files
from propagate.runs.request import Request, Work, begin
from propagate.runs.run import Run
from propagate.values import Annotation, Prediction
from propagate.video import VideoReader, VideoWriter

Skeleton = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class PointOptions:
    """What `propagate keypoints` is told besides the request.

    Attributes:
        form: the format of the result, an entry of `FORMATS`.
        overlay: a video to draw the points in.
        skeleton: pairs of names that the overlay joins; those of the points' own file when empty.
    """

    form: str = "csv"
    overlay: Path | None = None
    skeleton: Skeleton = ()


class PointFile:
    """`keypoints.csv` or another format, written at the end from results.jsonl.

    Args:
        path: the file.
        form: its format.
        log: the run's results.
    """

    any_frame = True

    def __init__(self, path: Path, form: PointFormat, *, log: ResultsLog) -> None:
        self.path, self.form, self.log = path, form, log

    def reaches(self, index: int) -> bool:
        """Return true: everything lies in the results."""
        return True

    def resume(self, index: int) -> None:
        """Nothing was written yet."""

    def write(self, prediction: Prediction) -> None:
        """Nothing is written before the end."""

    def finish(self) -> None:
        """Write the file."""
        self.form.write(self.path, results.read_tracks(self.log.path))

    def close(self) -> None:
        """Nothing stays open."""


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


def open_keypoints(request: Request, points: Path, *, options: PointOptions | None = None) -> Run:
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
    if options.overlay is not None:
        check_suffix(options.overlay)
    reader = request.open_video()
    try:
        return _begin(request, points, options, reader, form=form)
    except BaseException:
        reader.close()
        raise


def _begin(request: Request, points: Path, options: PointOptions, reader: VideoReader, *, form: PointFormat) -> Run:
    info = reader.info
    found = read_points(points, stems=stems_of(reader), frame_count=len(info.pts), size=info.size)
    skeleton = options.skeleton or found.skeleton
    _check_skeleton(skeleton, found.names)
    annotations, notes = within(found.annotations, reader)
    settled = request.load_model()
    name = f"keypoints{form.suffix}"
    beside = [options.overlay] if options.overlay else []
    place = Place.folder(request.out_or("keypoints"), names=[name], beside=beside)
    from propagate.labels.keypoints import KeypointLabels

    said = _say(points, found.annotations, found.names)
    work = Work(
        command="keypoints",
        annotations=annotations,
        label_type=KeypointLabels(found.names),
        labels=identify_files([points]),
        options={
            "format": options.form,
            "overlay": options.overlay is not None,
            "skeleton": [list(pair) for pair in skeleton],
        },
        described={"ids": list(found.names), "forms": [recognise(points)]},
        notes=(said, *notes),
        sinks=lambda: _sinks(
            place, reader, options, name=name, form=form, skeleton=skeleton, checkpoint=settled.config.checkpoint
        ),
    )
    return begin(request, work, reader=reader, place=place, settled=settled)


def _say(points: Path, annotations: Sequence[Annotation], names: Sequence[str]) -> str:
    frames = len(annotations)
    listed = ", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "")
    where = f"frame {annotations[0].frame}" if frames == 1 else f"{frames} frames from {annotations[0].frame} on"
    return f"{points}: {recognise(points)}, {len(names)} points on {where}: {listed}"


def _check_skeleton(skeleton: Skeleton, names: Sequence[str]) -> None:
    unknown = sorted({end for pair in skeleton for end in pair} - set(names))
    if unknown:
        raise ConfigError(f"the skeleton joins points that don't exist: {', '.join(unknown)}", hint="a-b,b-c")


def _sinks(
    place: Place,
    reader: VideoReader,
    options: PointOptions,
    *,
    name: str,
    form: PointFormat,
    skeleton: Skeleton,
    checkpoint: int,
) -> list[Sink]:
    log = ResultsLog(place.out / "results.jsonl", first=reader.first)
    sinks: list[Sink] = [log, PointFile(place.out / name, form, log=log)]
    if options.overlay is not None:
        writer = open_overlay(options.overlay, reader, state=place.state / "overlay", checkpoint=checkpoint)
        sinks.append(VideoFile(writer, lambda w, p: _draw(w, p, skeleton), first=reader.first))
    return sinks


def _draw(writer: VideoWriter, prediction: Prediction, skeleton: Skeleton) -> None:
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
