"""`propagate texture`."""

from __future__ import annotations

from typing import Annotated

import typer

from propagate.cli.options import CodecName, Crf, PixFmt, Video, takes_settings, video_options
from propagate.cli.run_command import RunOptions, execute, takes_run_options
from propagate.runs.settings import SettingLayers

Paint = Annotated[
    str,
    typer.Argument(
        metavar="PAINT",
        help="A picture with transparency (RGBA), painted over the first frame; FRAME=PICTURE for another frame.",
    ),
]


@takes_settings
@takes_run_options
def texture(
    video: Video,
    paint: Paint,
    *,
    codec: CodecName = "h264",
    crf: Crf = 16,
    pix_fmt: PixFmt = None,
    run: RunOptions,
    settings: SettingLayers,
) -> None:
    """Paint on a surface, and let the paint follow it: OUT.mp4, or a folder of PNGs when OUT has no suffix.

    Where the picture is transparent the video stays as it is. Times and sound are copied.

    Example:  propagate texture clip.mp4 paint.png -o painted.mp4
    """
    from propagate.commands.texture import open_texture

    options = video_options(codec, crf, pix_fmt)
    execute(lambda request: open_texture(request, paint, options=options), video, run=run, settings=settings)
