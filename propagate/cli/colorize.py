"""`propagate colorize`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from propagate.cli.options import CodecName, Crf, PixFmt, Video, takes_settings, video_options
from propagate.cli.run_command import RunOptions, execute, takes_run_options
from propagate.runs.settings import SettingLayers

if TYPE_CHECKING:
    from propagate.runs.finished import FinishedRun
    from propagate.runs.run import Run

References = Annotated[
    list[str],
    typer.Argument(
        metavar="REFERENCE",
        help="The first frame in colour; FRAME=PICTURE for another frame; or a folder of pictures that are named like "
        "the frames.",
    ),
]


@takes_settings
@takes_run_options
def colorize(
    video: Video,
    references: References,
    *,
    codec: CodecName = "h264",
    crf: Crf = 16,
    pix_fmt: PixFmt = None,
    run: RunOptions,
    settings: SettingLayers,
) -> None:
    """Colour a video from coloured frames of it: OUT.mp4, or a folder of PNGs when OUT has no suffix.

    The video's own colours are ignored and its brightness is kept; times, sound and colour tags are copied.

    Example:  propagate colorize grey.mp4 first.png 120=later.png -o colour.mp4
    """
    from propagate.commands.colorize import open_colorize

    options = video_options(codec, crf, pix_fmt)
    execute(
        lambda request: open_colorize(request, references, options=options),
        video,
        run=run,
        settings=settings,
        remark=_saturation,
    )


def _saturation(run: Run | FinishedRun) -> str | None:
    """Return how saturated the result is beside the references: averaging must not grey the picture."""
    import yaml

    found = yaml.safe_load(run.folder.record_path.read_text(encoding="utf-8")).get("saturation")
    return f"mean saturation {found['mean']}, the reference has {found['reference']}" if found is not None else None
