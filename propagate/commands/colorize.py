"""`propagate colorize`: a video and coloured frames of it in, the video's own luma in colour out."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from propagate.commands.video_results import (
    SUFFIX,
    VideoOptions,
    is_video,
    open_result,
    picture_sinks,
    place_of,
    video_sink,
)
from propagate.errors import OutputError
from propagate.formats.atomic import write_text
from propagate.formats.images import SUFFIXES, read_picture
from propagate.labels.colors import saturation
from propagate.runs.folder import Place
from propagate.runs.inputs import Placed, placed_files, within
from propagate.runs.outputs import Sink
from propagate.runs.record import identify_files
from propagate.runs.request import Request, Work, begin
from propagate.runs.run import Run
from propagate.values import Annotation, Frame, Prediction
from propagate.video import VideoReader, VideoWriter
from propagate.video.chroma import ChromaWriter, check_keeps_luma, grey_frame
from propagate.video.color import luma_weights

log = logging.getLogger(__name__)
EVERY = 4  # pixels along either axis, of which one is looked at
FADED = 0.7  # of the reference's saturation: below it is worth a warning


class SaturationLog:
    """The mean chroma of every frame in a file in the run's state; their mean goes into the record at the end.

    Args:
        path: the file.
        record: the run.yaml that the mean is added to, under `saturation`.
        reference: mean chroma of the reference pictures, in Lab units.
        first: index of the run's first frame.
    """

    any_frame = True

    def __init__(self, path: Path, record: Path, *, reference: float, first: int) -> None:
        self.path, self.record, self.reference, self.first = path, record, reference, first

    def reaches(self, index: int) -> bool:
        """Return whether every frame before `index` is in the file."""
        return len(self._read()) >= index - self.first

    def resume(self, index: int) -> None:
        """Drop frame `index` and later ones."""
        write_text(self.path, "".join(f"{value!r}\n" for value in self._read()[: index - self.first]))

    def write(self, prediction: Prediction) -> None:
        """Add a frame; one that nothing has coloured yet counts as NaN."""
        value = saturation(prediction.array[::EVERY, ::EVERY]) if prediction.source != "none" else float("nan")
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(f"{value!r}\n")
        except OSError as error:
            raise OutputError(f"{self.path}: cannot be written: {error.strerror or error}") from error

    def finish(self) -> None:
        """Add the mean to the record."""
        values = [value for value in self._read() if not math.isnan(value)]
        mean = sum(values) / max(len(values), 1)
        content: dict[str, Any] = yaml.safe_load(self.record.read_text(encoding="utf-8"))
        content["saturation"] = {"mean": round(mean, 2), "reference": round(self.reference, 2)}
        write_text(self.record, yaml.safe_dump(content, sort_keys=False, allow_unicode=True))
        if mean < FADED * self.reference:
            log.warning("the colours faded: mean saturation %.1f, the reference has %.1f", mean, self.reference)

    def close(self) -> None:
        """Nothing stays open."""

    def _read(self) -> list[float]:
        """Return the whole lines of the file."""
        if not self.path.is_file():
            return []
        lines = self.path.read_text(encoding="utf-8").split("\n")[:-1]
        return [float(line) for line in lines]


ALIKE = 0.5  # correlation of two lumas below which a reference is hardly that frame
SEEN = 4  # pixels along either axis, of which one is compared


def open_colorize(request: Request, references: Sequence[str], *, options: VideoOptions | None = None) -> Run:
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
    if options.pix_fmt is not None:
        check_keeps_luma(options.pix_fmt)
    place = place_of(request.out_or(f"colorized{SUFFIX.get(options.codec, '.mp4')}"), options)
    reader = request.open_video(luma=True)
    try:
        return _begin(request, references, options, reader, place=place)
    except BaseException:
        reader.close()
        raise


def _begin(
    request: Request, references: Sequence[str], options: VideoOptions, reader: VideoReader, *, place: Place
) -> Run:
    files = placed_files(references, reader, suffixes=SUFFIXES)
    from propagate.labels.colors import ColorLabels

    label_type = ColorLabels(luma=luma_weights(reader.info.color))
    pictures = [(file.frame, read_picture(file.path, size=reader.info.size)) for file in files]
    annotations, notes = within([Annotation(frame, picture, label_type.ids) for frame, picture in pictures], reader)
    settled = request.load_model(luma=True)
    work = Work(
        command="colorize",
        annotations=annotations,
        label_type=label_type,
        labels=_records(files),
        options=options.record(),
        described={"references": [file.said for file in files]},
        notes=(*(file.said for file in files), *notes),
        sinks=lambda: _sinks(place, reader, options, annotations, checkpoint=settled.config.checkpoint),
        see=_seen(annotations, reader),
    )
    return begin(request, work, reader=reader, place=place, settled=settled)


def _records(files: Sequence[Placed]) -> list[dict[str, Any]]:
    return [{"frame": file.frame, **identify_files([file.path])[0]} for file in files]


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


def _sinks(
    place: Place, reader: VideoReader, options: VideoOptions, annotations: Sequence[Annotation], *, checkpoint: int
) -> list[Sink]:
    from propagate.labels.colors import saturation

    reference = float(np.mean([saturation(annotation.array[::EVERY, ::EVERY]) for annotation in annotations]))
    watch = SaturationLog(place.state / "saturation.txt", place.record, reference=reference, first=reader.first)
    if not is_video(place):
        return [*picture_sinks(place, reader), watch]
    writer = open_result(place, reader, options, checkpoint=checkpoint)
    chroma = ChromaWriter(writer, reader.info)

    def put(_: VideoWriter, prediction: Prediction) -> None:
        chroma.write(prediction.frame, prediction.array.astype(np.uint8))

    return [video_sink(writer, put, reader=reader), watch]
