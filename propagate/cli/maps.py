"""`propagate maps`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from propagate.cli.options import Video, takes_settings
from propagate.cli.run_command import RunOptions, execute, takes_run_options
from propagate.runs.settings import SettingLayers

if TYPE_CHECKING:
    from propagate.values import Kind

Maps = Annotated[
    list[str],
    typer.Argument(
        metavar="MAP",
        help="A .npz or .npy file for the first frame; FRAME=FILE for another frame; FRAME!=FILE when the categories "
        "that it lacks have ended; or a folder of files that are named like the frames.",
    ),
]
Categories = Annotated[bool, typer.Option("--categories", help="Read all maps as categories.")]
Values = Annotated[bool, typer.Option("--values", help="Read all maps as values, also whole numbers.")]


@takes_settings
@takes_run_options
def maps(
    video: Video,
    files: Maps,
    *,
    categories: Categories = False,
    values: Values = False,
    run: RunOptions,
    settings: SettingLayers,
) -> None:
    """Propagate maps of any values through a video: OUT/maps/*.npz, OUT/results.jsonl, OUT/run.yaml.

    A map has the height and width of the video. Whole numbers are categories, such as parts; channels that sum to 1
    are probabilities; anything else is values, such as depth.

    Example:  propagate maps clip.mp4 parts_and_depth.npz -o out
    """
    if categories and values:
        raise typer.BadParameter("--categories and --values exclude each other")
    from propagate.commands.maps import open_maps

    kind: Kind | None = "probability" if categories else "value" if values else None
    execute(lambda request: open_maps(request, files, kind=kind), video, run=run, settings=settings)
