"""`propagate masks`: a video and label files in, a mask a frame out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from propagate.files import IMAGE_SUFFIXES
from propagate.runs.finished import FinishedRun
from propagate.runs.folder import RunFolder
from propagate.runs.inputs import LabelFile, absent_frames, label_files, stems_of, within
from propagate.runs.request import (
    Asked,
    Request,
    Work,
    ask,
    begin,
    earlier_choices,
    earlier_overlay,
    finished,
    open_model,
)

if TYPE_CHECKING:
    from propagate.formats.annotations import MaskSet
    from propagate.formats.mask_forms import Grey
    from propagate.runs.outputs import FrameFiles, Whole
    from propagate.runs.run import Run
    from propagate.values import Absence, Prediction
    from propagate.video import VideoReader, VideoWriter


@dataclass(frozen=True)
class MaskOptions:
    """What `propagate masks` is told besides the request.

    Attributes:
        overlay: a video to draw the masks in.
        soft: also write soft/STEM.npz, the probabilities on the label grid.
        grey: what doubtful grey values mean.
        resize: bring masks of another size to the video's.
        absences: objects that are not in the picture on some frames.
        label_step: a folder's masks were made on every so many frames, in their order.
    """

    overlay: Path | None = None
    soft: bool = False
    grey: Grey = "auto"
    resize: bool = False
    absences: tuple[Absence, ...] = ()
    label_step: int | None = None


def open_masks(request: Request, labels: Sequence[str], *, options: MaskOptions | None = None) -> Run | FinishedRun:
    """Return the run that propagates masks through a video; nothing is written when an input is refused.

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
    folder = RunFolder.folder(request.out_or("masks"))
    options = _with_earlier(options or MaskOptions(), request, folder)
    files = label_files(labels, suffixes=IMAGE_SUFFIXES)
    wholes = [options.overlay] if options.overlay else []
    plain = {**asdict(options), "overlay": [folder.name_of(options.overlay)] if options.overlay else []}
    asked = ask(request, "masks", folder, labels=files, options=plain, wholes=wholes)
    if (done := finished(request, asked)) is not None:
        return done
    if options.overlay is not None:
        from propagate.commands.video_results import check_suffix

        check_suffix(options.overlay)
    reader = request.open_video()
    try:
        return _begin(request, labels, options, asked=asked, files=files, reader=reader)
    except BaseException:
        reader.close()
        raise


def _with_earlier(options: MaskOptions, request: Request, folder: RunFolder) -> MaskOptions:
    """Return the options with what an earlier run made here too: it stays up to date."""
    earlier = earlier_choices(request, folder)
    overlay = options.overlay or earlier_overlay(request, folder)
    return replace(options, soft=options.soft or bool(earlier.get("soft")), overlay=overlay)


def _begin(
    request: Request,
    labels: Sequence[str],
    options: MaskOptions,
    *,
    asked: Asked,
    files: Sequence[LabelFile],
    reader: VideoReader,
) -> Run:
    from propagate.formats.annotations import read_masks
    from propagate.labels.masks import MaskLabels

    found = read_masks(
        labels,
        size=reader.info.size,
        stems=stems_of(reader),
        frame_count=len(reader.info.pts),
        from_folder=reader.info.kind == "folder",
        grey=options.grey,
        resize=options.resize,
        step=options.label_step,
    )
    annotations, notes = within(found.annotations, reader)
    label_type = MaskLabels(found.ids)
    absent = absent_frames(
        options.absences, label_type=label_type, annotations=annotations, frame_count=len(reader.info.pts)
    )
    model = open_model(request, asked, luma=False, size=reader.info.size)
    work = Work(
        command="masks",
        annotations=annotations,
        label_type=label_type,
        labels=files,
        options={"grey": options.grey, "resize_labels": options.resize},
        choices={
            "overlay": asked.content["wholes"],
            "soft": options.soft,
            "label_step": options.label_step,
            "absent": [absence.word for absence in options.absences],
        },
        described=_described(found),
        notes=(*found.descriptions, *notes),
        files=_frame_files(options),
        wholes=_wholes(reader, options, checkpoint=model.config.checkpoint),
        absent=absent,
    )
    return begin(request, work, asked=asked, reader=reader, model=model)


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


def _frame_files(options: MaskOptions) -> list[FrameFiles]:
    from propagate.runs.outputs import FrameFiles, encode_mask, encode_soft

    soft = [FrameFiles("soft", ".npz", encode_soft)] if options.soft else []
    return [FrameFiles("masks", ".png", encode_mask), *soft]


def _wholes(reader: VideoReader, options: MaskOptions, *, checkpoint: int) -> list[Whole]:
    from propagate.commands.video_results import overlay_file

    if options.overlay is None:
        return []
    key = " ".join(absence.word for absence in options.absences)
    return [overlay_file(options.overlay, reader, _draw, checkpoint=checkpoint, key=key)]


def _draw(writer: VideoWriter, prediction: Prediction) -> None:
    from propagate.render.overlay import overlay_masks

    frame = prediction.frame
    assert frame.pts is not None, "readers give every frame a time"
    writer.write(overlay_masks(frame.rgb, prediction.array.astype(int)), frame.pts)
