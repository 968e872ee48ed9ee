"""`propagate colorize`: a video and coloured frames of it in, the video's own luma in colour out."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from propagate.commands.video_results import (
    SUFFIX,
    VideoOptions,
    check_video,
    folder_of,
    result_files,
    result_videos,
)
from propagate.formats.images import SUFFIXES, read_picture
from propagate.runs.finished import FinishedRun
from propagate.runs.inputs import LabelFile, label_files, placed_files, within
from propagate.runs.request import Asked, Request, Work, ask, begin, finished, open_model
from propagate.values import Annotation, Frame, Prediction
from propagate.video.chroma import ChromaWriter, check_keeps_luma, grey_frame, luma_note
from propagate.video.color import luma_weights

if TYPE_CHECKING:
    from propagate.runs.run import Run
    from propagate.video import VideoReader, VideoWriter

log = logging.getLogger(__name__)
EVERY = 4  # pixels along either axis, of which one is looked at
FADED = 0.7  # of the reference's saturation: below it is worth a warning


ALIKE = 0.5  # correlation of two lumas below which a reference is hardly that frame
SEEN = 4  # pixels along either axis, of which one is compared


def open_colorize(
    request: Request, references: Sequence[str], *, options: VideoOptions | None = None
) -> Run | FinishedRun:
    """Return the run that colours a video; nothing is written when an input is refused.

    Args:
        request: the video, the file (./STEM.colorized.mp4 by default) or folder for the result, settings.
        references: `PICTURE` of frame 0, `FRAME=PICTURE`, or a folder: the frames themselves, coloured.
        options: how the video is written.

    Raises:
        InputError: an input that cannot be used.
        ConfigError: a setting that cannot be.
        ConflictError: something else is in the result's place.
        OutputError: the place cannot be written.
    """
    options = options or VideoOptions()
    out = request.out_or(f"colorized{SUFFIX.get(options.codec, '.mp4')}")
    check_video(out, options)
    if options.pix_fmt is not None:
        check_keeps_luma(options.pix_fmt)
    folder = folder_of(out)
    files = label_files(references, suffixes=SUFFIXES)
    wholes = [] if folder.fills_folder else [out]
    asked = ask(request, "colorize", folder, labels=files, options=options.record(), wholes=wholes)
    if (done := finished(request, asked)) is not None:
        return done
    reader = request.open_video(luma=True)
    try:
        return _begin(request, references, options, asked=asked, files=files, reader=reader)
    except BaseException:
        reader.close()
        raise


def _begin(
    request: Request,
    references: Sequence[str],
    options: VideoOptions,
    *,
    asked: Asked,
    files: Sequence[LabelFile],
    reader: VideoReader,
) -> Run:
    placed = placed_files(references, reader, suffixes=SUFFIXES)
    from propagate.labels.colors import ColorLabels

    label_type = ColorLabels(luma=luma_weights(reader.info.color))
    pictures = [(file.frame, read_picture(file.path, size=reader.info.size)) for file in placed]
    annotations, notes = within([Annotation(frame, picture, label_type.ids) for frame, picture in pictures], reader)
    model = open_model(request, asked, luma=True, size=reader.info.size)
    chroma: list[ChromaWriter] = []  # made when the first frame is written

    def put(writer: VideoWriter, prediction: Prediction) -> None:
        if not chroma:
            chroma.append(ChromaWriter(writer, reader.info))
        chroma[0].write(prediction.frame, prediction.array.astype(np.uint8))

    work = Work(
        command="colorize",
        annotations=annotations,
        label_type=label_type,
        labels=files,
        options={},
        choices=options.record(),
        described={"references": [file.said for file in placed]},
        notes=(*(file.said for file in placed), *notes, *_luma_notes(asked, options, reader)),
        files=result_files(asked.folder),
        wholes=result_videos(asked.folder, reader, options, put, checkpoint=model.config.checkpoint),
        figures=_saturation,
        summarize=partial(_mean_saturation, reference=_saturation_of(annotations)),
        see=_seen(annotations, reader),
    )
    return begin(request, work, asked=asked, reader=reader, model=model)


def _luma_notes(asked: Asked, options: VideoOptions, reader: VideoReader) -> Sequence[str]:
    """Return what a video's codec does to the luma; a folder of pictures is without loss."""
    note = luma_note(options.codec, reader.info, crf=options.crf, pix_fmt=options.pix_fmt)
    return [note] if note and not asked.folder.fills_folder else []


def _saturation(prediction: Prediction) -> Mapping[str, float | None]:
    """Return the mean chroma of a frame; None for one that nothing has coloured yet."""
    from propagate.labels.colors import saturation

    seen = prediction.array[::EVERY, ::EVERY]
    return {"saturation": None if prediction.source == "none" else saturation(seen)}


def _saturation_of(references: Sequence[Annotation]) -> float:
    from propagate.labels.colors import saturation

    return float(np.mean([saturation(annotation.array[::EVERY, ::EVERY]) for annotation in references]))


def _mean_saturation(figures: Iterator[Mapping[str, float | None]], *, reference: float) -> Mapping[str, Any]:
    """Return the mean chroma of all frames beside that of the references, in Lab units; warn of a faded video."""
    values = [value for figure in figures if (value := figure.get("saturation")) is not None]
    mean = sum(values) / max(len(values), 1)
    if mean < FADED * reference:
        log.warning("the colours faded: mean saturation %.1f, the reference has %.1f", mean, reference)
    return {"saturation": {"mean": round(mean, 2), "reference": round(reference, 2)}}


def _seen(annotations: Sequence[Annotation], reader: VideoReader) -> Callable[[Frame], Frame]:
    """Return what shows the engine a frame's luma only, and warns of a reference that is not its frame."""
    pictures: dict[int, NDArray[np.generic]] = {annotation.frame: annotation.array for annotation in annotations}

    def seen(frame: Frame) -> Frame:
        grey = grey_frame(frame, reader.info)
        if frame.index in pictures and not frame.undecodable:
            _check_alike(pictures[frame.index], grey)
        return grey

    return seen


def _check_alike(picture: NDArray[np.generic], frame: Frame) -> None:
    from propagate.labels.colors import correlation

    found = correlation(picture[::SEEN, ::SEEN], frame.rgb[::SEEN, ::SEEN])
    if found < ALIKE:
        log.warning(
            "the reference on frame %d hardly looks like that frame: their lumas correlate by %.2f",
            frame.index,
            found,
        )
