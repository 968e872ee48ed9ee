"""`propagate colorize`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from propagate.cli import console
from propagate.cli.options import End, Force, Json, Out, Quiet, Settings, Start, Video, request_of, takes_settings
from propagate.cli.run_command import carry
from propagate.cli.signals import StopRequest
from propagate.cli.video_options import CodecName, Crf, PixFmt, video_options

if TYPE_CHECKING:
    from propagate.runs.run import Run

References = Annotated[
    list[str],
    typer.Argument(metavar="REFERENCE...", help="Frame 0 in colour, FRAME=PICTURE, or a folder of such frames."),
]


@takes_settings
def colorize(
    video: Video,
    references: References,
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
    """Colour a video from coloured frames of it: OUT.mp4, or a folder of PNGs when OUT has no suffix.

    The video's own colours are ignored and its luma is kept as it is; times, sound and colour tags are copied.

    Example:  propagate colorize grey.mp4 first.png 120=later.png -o colour.mp4
    """
    from propagate.commands.colorize import open_colorize

    options = video_options(codec, crf, pix_fmt)
    records: list[Path] = []

    def open_run(stop: StopRequest) -> Run:
        request = request_of(video, out, start=start, end=end, force=force, settings=settings, stop=stop)
        run = open_colorize(request, references, options=options)
        records.append(run.place.record)
        return run

    carry(open_run, as_json=json, quiet=quiet)
    _say_saturation(records[0], quiet=quiet)


def _say_saturation(record: Path, *, quiet: bool) -> None:
    import yaml

    found = yaml.safe_load(record.read_text(encoding="utf-8")).get("saturation")
    if found is not None:
        console.say(f"mean saturation {found['mean']}, the reference has {found['reference']}", quiet=quiet)
