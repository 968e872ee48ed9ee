"""`propagate texture`."""

from __future__ import annotations

from typing import Annotated

import typer

from propagate.cli.options import End, Force, Json, Out, Quiet, Settings, Start, Video, request_of, takes_settings
from propagate.cli.run_command import carry
from propagate.cli.video_options import CodecName, Crf, PixFmt, video_options

Paint = Annotated[str, typer.Argument(metavar="PAINT", help="An RGBA picture painted over frame 0, or FRAME=PICTURE.")]


@takes_settings
def texture(
    video: Video,
    paint: Paint,
    *,
    out: Out = None,
    codec: CodecName = "h264",
    crf: Crf = 16,
    pix_fmt: PixFmt = None,
    start: Start = None,
    end: End = None,
    force: Force = False,
    json: Json = False,
    quiet: Quiet = False,
    settings: Settings,
) -> None:
    """Make paint stick to a surface: OUT.mp4, or a folder of PNGs when OUT has no suffix.

    What is transparent in the picture is not painted. Times and sound are copied.

    Example:  propagate texture clip.mp4 paint.png -o painted.mp4
    """
    from propagate.commands.texture import open_texture

    options = video_options(codec, crf, pix_fmt)
    carry(
        lambda stop: open_texture(
            request_of(video, out, start=start, end=end, force=force, settings=settings, stop=stop),
            paint,
            options=options,
        ),
        as_json=json,
        quiet=quiet,
    )
