"""`propagate masks`."""

from __future__ import annotations

from typing import Annotated

import typer

from propagate.cli.options import (
    End,
    FailUnder,
    Force,
    Json,
    Out,
    Overlay,
    Quiet,
    Settings,
    Start,
    Video,
    request_of,
    takes_settings,
)
from propagate.cli.run_command import carry

Labels = Annotated[
    list[str],
    typer.Argument(
        metavar="LABEL", help="A mask of frame 0, FRAME=FILE, FRAME!=FILE (ends other objects), or a folder."
    ),
]


@takes_settings
def masks(
    video: Video,
    labels: Labels,
    *,
    out: Out = None,
    overlay: Overlay = None,
    soft: Annotated[bool, typer.Option("--soft", help="Also write probabilities: OUT/soft/*.npz.")] = False,
    binary: Annotated[bool, typer.Option("--binary", help="Grey masks hold one object.")] = False,
    ids: Annotated[bool, typer.Option("--ids", help="Grey values of masks are ids.")] = False,
    resize_labels: Annotated[bool, typer.Option("--resize-labels", help="Bring masks to the video's size.")] = False,
    start: Start = None,
    end: End = None,
    force: Force = False,
    json: Json = False,
    quiet: Quiet = False,
    fail_under: FailUnder = None,
    settings: Settings,
) -> None:
    """Carry masks through a video: OUT/masks/*.png, OUT/results.jsonl, OUT/run.yaml.

    Example:  propagate masks clip.mp4 first_mask.png 120=fix.png -o out --overlay out/overlay.mp4
    """
    if binary and ids:
        raise typer.BadParameter("--binary and --ids exclude each other")
    from propagate.commands.masks import MaskOptions, open_masks

    options = MaskOptions(overlay, soft, "binary" if binary else "ids" if ids else "auto", resize_labels)
    carry(
        lambda stop: open_masks(
            request_of(video, out, start=start, end=end, force=force, settings=settings, stop=stop),
            labels,
            options=options,
        ),
        as_json=json,
        quiet=quiet,
        fail_under=fail_under,
    )
