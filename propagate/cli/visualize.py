"""`propagate visualize`."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Annotated

import typer

from propagate.cli import console
from propagate.cli.options import End, Force, Out, Quiet, Start, Video, request_of, takes_settings
from propagate.cli.run_command import PARTLY
from propagate.cli.signals import StopRequest
from propagate.runs.settings import SettingLayers

if TYPE_CHECKING:
    from propagate.commands.visualize import Embedding

Point = Annotated[
    str | None,
    typer.Option(metavar="X,Y", help="Instead of the video, draw where the engine looks for this pixel of a frame."),
]
At = Annotated[int | None, typer.Option("--frame", metavar="T", help="The frame of --point; the last by default.")]


@takes_settings
def visualize(
    video: Video,
    *,
    out: Out = None,
    point: Point = None,
    frame: At = None,
    start: Start = None,
    end: End = None,
    force: Force = False,
    quiet: Quiet = False,
    settings: SettingLayers,
) -> None:
    """Show what the encoder sees: its features as colours, OUT.mp4; or with --point where a pixel looks, OUT.png.

    Places of the same colour look alike to the encoder. The colours are the three directions in which the features
    of the first 32 frames vary most.

    Example:  propagate visualize clip.mp4 -o features.mp4
    """
    if frame is not None and point is None:
        raise typer.BadParameter("--frame needs --point")
    stop = StopRequest()
    request = request_of(video, out, start=start, end=end, force=force, settings=settings, stop=stop)
    if point is not None:
        from propagate.commands.visualize import draw_pointing, parse_point

        console.show(str(draw_pointing(request, parse_point(point), frame=frame)))
        return
    from propagate.commands.visualize import open_embedding

    with closing(open_embedding(request)) as work, stop:
        _embed(work, quiet=quiet)


def _embed(work: Embedding, *, quiet: bool) -> None:
    for note in work.notes:
        console.say(note, quiet=quiet)
    for _ in console.progress(work, done=work.done, total=work.total, what="frames", quiet=quiet):
        pass
    console.show(str(work.folder.out))
    if work.reader.damaged:
        lost = sorted([*work.reader.missing, *work.reader.patched])
        console.say(f"warning: damaged: {console.frames(lost) if lost else 'the file ends early'}")
        raise typer.Exit(PARTLY)
