"""The job of `propagate texture`: a video and a picture painted over one frame in, the painted video out."""

from __future__ import annotations

from propagate.commands.video_results import (
    SUFFIX,
    VideoOptions,
    is_video,
    open_result,
    picture_sinks,
    place_of,
    put_picture,
    video_sink,
)
from propagate.errors import InputError
from propagate.formats.images import SUFFIXES, read_picture
from propagate.runs.folder import Place
from propagate.runs.inputs import placed_files, within
from propagate.runs.outputs import Sink
from propagate.runs.record import identify_files
from propagate.runs.request import Request, Work, begin
from propagate.runs.run import Run
from propagate.values import Annotation
from propagate.video import VideoReader


def open_texture(request: Request, paint: str, *, options: VideoOptions | None = None) -> Run:
    """Return the run that carries paint through a video; nothing is written when an input is refused.

    Args:
        request: the video, the file (./STEM.textured.mp4 by default) or folder for the result, settings.
        paint: `PICTURE` on frame 0, or `FRAME=PICTURE`; what is transparent is not painted.
        options: how the video is written.

    Raises:
        InputError: an input that cannot be used.
        ConfigError: a setting that cannot be.
        ConflictError: something else is in the result's place.
        OutputError: the place cannot be written.
    """
    options = options or VideoOptions()
    place = place_of(request.out_or(f"textured{SUFFIX.get(options.codec, '.mp4')}"), options)
    reader = request.open_video()
    try:
        return _begin(request, paint, options, reader, place=place)
    except BaseException:
        reader.close()
        raise


def _begin(request: Request, paint: str, options: VideoOptions, reader: VideoReader, *, place: Place) -> Run:
    files = placed_files([paint], reader, suffixes=SUFFIXES)
    if len(files) != 1:
        raise InputError(f"{paint}: holds {len(files)} pictures, expected one paint", hint="name one file")
    file = files[0]
    picture = read_picture(file.path, size=reader.info.size, alpha=True)
    painted = float((picture[..., 3] > 0).mean())
    if painted == 0:
        raise InputError(f"{file.path}: nothing is painted: it is transparent everywhere")
    annotations, notes = within([Annotation(file.frame, picture, ("paint",))], reader)
    settled = request.load_model()
    from propagate.labels.texture import TextureLabels

    work = Work(
        command="texture",
        annotations=annotations,
        label_type=TextureLabels(picture),
        labels=[{"frame": file.frame, **identify_files([file.path])[0]}],
        options=options.record(),
        described={"painted": f"{painted:.1%} of the frame"},
        notes=(f"{file.said}: paint on {painted:.1%} of the frame", *notes),
        sinks=lambda: _sinks(place, reader, options, checkpoint=settled.config.checkpoint),
    )
    return begin(request, work, reader=reader, place=place, settled=settled)


def _sinks(place: Place, reader: VideoReader, options: VideoOptions, *, checkpoint: int) -> list[Sink]:
    if not is_video(place):
        return list(picture_sinks(place, reader))
    writer = open_result(place, reader, options, checkpoint=checkpoint)
    return [video_sink(writer, put_picture, reader=reader)]
