"""Options of the commands whose result is a video."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, cast

import typer

from propagate.errors import ConfigError

if TYPE_CHECKING:
    from propagate.commands.video_results import VideoOptions
    from propagate.video.encoder import CodecName as Codec

CodecName = Annotated[str, typer.Option("--codec", metavar="NAME", help="h264, prores or ffv1 (without loss).")]
Crf = Annotated[int, typer.Option(min=0, max=51, help="Quality of h264: 0 is lossless, 51 the worst.")]
PixFmt = Annotated[
    str | None,
    typer.Option(
        "--pix-fmt", metavar="NAME", help="Stored pixel format, such as yuv420p; without it as deep as the source."
    ),
]
_CODECS = ("h264", "prores", "ffv1")


def video_options(codec: str, crf: int, pix_fmt: str | None) -> VideoOptions:
    """Return how a video is written.

    Raises:
        ConfigError: there is no such codec.
    """
    from propagate.commands.video_results import VideoOptions

    if codec not in _CODECS:
        raise ConfigError(f"no codec is called {codec!r}", hint=f"one of: {', '.join(_CODECS)}")
    return VideoOptions(cast("Codec", codec), crf, pix_fmt)
