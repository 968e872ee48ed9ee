"""The job of `propagate masks`: a video and label files in, a mask a frame out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from propagate.commands.video_results import check_suffix, open_overlay
from propagate.formats.annotations import MaskSet, parse_label, read_masks
from propagate.formats.mask_forms import Grey
from propagate.runs.folder import Place
from propagate.runs.inputs import stems_of, within
from propagate.runs.outputs import FrameFiles, ResultsLog, Sink, VideoFile, save_mask, save_soft
from propagate.runs.record import identify_files
from propagate.runs.request import Request, Work, begin
from propagate.runs.run import Run
from propagate.values import Prediction
from propagate.video import VideoReader, VideoWriter


@dataclass(frozen=True)
class MaskOptions:
    """What `propagate masks` is told besides the request.

    Attributes:
        overlay: a video to draw the masks in.
        soft: also write soft/STEM.npz, the probabilities on the label grid.
        grey: what doubtful grey values mean.
        resize: bring masks of another size to the video's.
    """

    overlay: Path | None = None
    soft: bool = False
    grey: Grey = "auto"
    resize: bool = False


def open_masks(request: Request, labels: Sequence[str], *, options: MaskOptions | None = None) -> Run:
    """Return the run that carries masks through a video; nothing is written when an input is refused.

    Args:
        request: the video, the folder for masks/, results.jsonl and run.yaml (./STEM.masks by default), settings.
        labels: words as `formats.annotations.read_masks` takes them.
        options: what else is wanted.

    Raises:
        InputError: an input that cannot be used.
        ConfigError: a setting that cannot be.
        ConflictError: something else is in the folder.
        OutputError: the folder cannot be written.
    """
    options = options or MaskOptions()
    if options.overlay is not None:
        check_suffix(options.overlay)
    reader = request.open_video()
    try:
        return _begin(request, labels, options, reader)
    except BaseException:
        reader.close()
        raise


def _begin(request: Request, labels: Sequence[str], options: MaskOptions, reader: VideoReader) -> Run:
    found = read_masks(
        labels,
        size=reader.info.size,
        stems=stems_of(reader),
        frame_count=len(reader.info.pts),
        from_folder=reader.info.kind == "folder",
        grey=options.grey,
        resize=options.resize,
    )
    annotations, notes = within(found.annotations, reader)
    settled = request.load_model()
    place = _place(request.out_or("masks"), options)
    from propagate.labels.masks import MaskLabels

    work = Work(
        command="masks",
        annotations=annotations,
        label_type=MaskLabels(found.ids),
        labels=_label_records(labels),
        options={
            "grey": options.grey,
            "resize_labels": options.resize,
            "overlay": options.overlay is not None,
            "soft": options.soft,
        },
        described=_described(found),
        notes=(*found.descriptions, *notes),
        sinks=lambda: _sinks(place, reader, options, checkpoint=settled.config.checkpoint),
    )
    return begin(request, work, reader=reader, place=place, settled=settled)


def _label_records(labels: Sequence[str]) -> list[dict[str, Any]]:
    """Return frame, name and hash of each label file, by frame; files of one frame in the order of the words."""
    found: list[dict[str, Any]] = []
    for spec in map(parse_label, labels):
        head = {"frame": None if spec.path.is_dir() else spec.frame or 0, "complete": spec.complete}
        found += [{**head, **record} for record in identify_files([spec.path])]
    return sorted(found, key=lambda record: -1 if record["frame"] is None else int(record["frame"]))


def _described(found: MaskSet) -> dict[str, Any]:
    return {
        "ids": list(found.ids),
        "colors": {number: list(color) for number, color in found.colors.items()},
        "forms": [_without_folder(line) for line in found.descriptions],
    }


def _without_folder(description: str) -> str:
    """Return "FILE: frame ..." with the file's name only, so that run.yaml is the same wherever the files lie."""
    path, colon, rest = description.partition(": frame ")
    return Path(path).name + colon + rest


def _place(out: Path, options: MaskOptions) -> Place:
    names = ["masks", *(["soft"] if options.soft else [])]
    return Place.folder(out, names=names, beside=[options.overlay] if options.overlay else [])


def _sinks(place: Place, reader: VideoReader, options: MaskOptions, *, checkpoint: int) -> list[Sink]:
    log = ResultsLog(place.out / "results.jsonl", first=reader.first)
    sinks: list[Sink] = [log, FrameFiles(place.out / "masks", ".png", save_mask, log=log)]
    if options.soft:
        sinks.append(FrameFiles(place.out / "soft", ".npz", save_soft, log=log))
    if options.overlay is not None:
        writer = open_overlay(options.overlay, reader, state=place.state / "overlay", checkpoint=checkpoint)
        sinks.append(VideoFile(writer, _draw, first=reader.first))
    return sinks


def _draw(writer: VideoWriter, prediction: Prediction) -> None:
    from propagate.render.overlay import overlay_masks

    frame = prediction.frame
    assert frame.pts is not None, "readers give every frame a time"
    writer.write(overlay_masks(frame.rgb, prediction.array.astype(int)), frame.pts)
