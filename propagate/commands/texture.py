"""`propagate texture`: a video and a picture painted over one frame in, the painted video out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from propagate.commands.video_results import (
    SUFFIX,
    VideoOptions,
    check_video,
    folder_of,
    put_picture,
    result_files,
    result_videos,
)
from propagate.errors import InputError
from propagate.formats.images import SUFFIXES, read_picture
from propagate.runs.finished import FinishedRun
from propagate.runs.inputs import LabelFile, label_files, placed_files, within
from propagate.runs.request import Asked, Request, Work, ask, begin, finished, open_model
from propagate.values import Annotation

if TYPE_CHECKING:
    from propagate.runs.run import Run
    from propagate.video import VideoReader


def open_texture(request: Request, paint: str, *, options: VideoOptions | None = None) -> Run | FinishedRun:
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
    out = request.out_or(f"textured{SUFFIX.get(options.codec, '.mp4')}")
    check_video(out, options)
    folder = folder_of(out)
    files = label_files([paint], suffixes=SUFFIXES)
    wholes = [] if folder.fills_folder else [out]
    asked = ask(request, "texture", folder, labels=files, options=options.record(), wholes=wholes)
    if (done := finished(request, asked)) is not None:
        return done
    reader = request.open_video()
    try:
        return _begin(request, paint, options, asked=asked, files=files, reader=reader)
    except BaseException:
        reader.close()
        raise


def _begin(
    request: Request,
    paint: str,
    options: VideoOptions,
    *,
    asked: Asked,
    files: Sequence[LabelFile],
    reader: VideoReader,
) -> Run:
    placed = placed_files([paint], reader, suffixes=SUFFIXES)
    if len(placed) != 1:
        raise InputError(f"{paint}: holds {len(placed)} pictures, expected one paint", hint="name one file")
    file = placed[0]
    picture = read_picture(file.path, size=reader.info.size, alpha=True)
    painted = float((picture[..., 3] > 0).mean())
    if painted == 0:
        raise InputError(f"{file.path}: nothing is painted: it is transparent everywhere")
    annotations, notes = within([Annotation(file.frame, picture, ("paint",))], reader)
    model = open_model(request, asked, luma=False, size=reader.info.size)
    from propagate.labels.texture import TextureLabels

    work = Work(
        command="texture",
        annotations=annotations,
        label_type=TextureLabels(picture),
        labels=files,
        options={},
        choices=options.record(),
        described={"painted": f"{painted:.1%} of the frame"},
        notes=(f"{file.said}: paint on {painted:.1%} of the frame", *notes),
        files=result_files(asked.folder),
        wholes=result_videos(asked.folder, reader, options, put_picture, checkpoint=model.config.checkpoint),
    )
    return begin(request, work, asked=asked, reader=reader, model=model)
