"""`propagate labels`."""

from __future__ import annotations

from typing import Annotated

import typer

from propagate.cli.options import End, Force, Json, Out, Quiet, Settings, Start, Video, request_of, takes_settings
from propagate.cli.run_command import carry

Maps = Annotated[
    list[str],
    typer.Argument(metavar="MAP...", help="A .npz or .npy of frame 0, FRAME=FILE, FRAME!=FILE, or a folder."),
]


@takes_settings
def labels(
    video: Video,
    maps: Maps,
    *,
    out: Out = None,
    categories: Annotated[bool, typer.Option("--categories", help="All planes are categories.")] = False,
    values: Annotated[bool, typer.Option("--values", help="All planes are values, also whole numbers.")] = False,
    start: Start = None,
    end: End = None,
    force: Force = False,
    json: Json = False,
    quiet: Quiet = False,
    settings: Settings,
) -> None:
    """Carry maps of any planes through a video: OUT/maps/*.npz, OUT/results.jsonl, OUT/run.yaml.

    Whole numbers (H, W) are categories; channels that sum to 1 are probabilities; anything else is values.

    Example:  propagate labels clip.mp4 parts_and_depth.npz -o out
    """
    if categories and values:
        raise typer.BadParameter("--categories and --values exclude each other")
    from propagate.commands.maps import open_maps

    carry(
        lambda stop: open_maps(
            request_of(video, out, start=start, end=end, force=force, settings=settings, stop=stop),
            maps,
            kind="probability" if categories else "value" if values else None,
        ),
        as_json=json,
        quiet=quiet,
    )
