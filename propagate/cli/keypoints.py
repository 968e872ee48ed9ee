"""`propagate keypoints`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from propagate.cli.options import Absent, FailUnder, Overlay, Video, takes_settings
from propagate.cli.run_command import RunOptions, execute, takes_run_options
from propagate.runs.settings import SettingLayers

Points = Annotated[
    Path,
    typer.Argument(
        metavar="POINTS", help="A file of points with their frames: CSV, JSON, JSONL or DeepLabCut, told by content."
    ),
]
Form = Annotated[
    str, typer.Option("--format", metavar="NAME", help="The file to write: csv, csv-wide, json, jsonl or deeplabcut.")
]
Joins = Annotated[
    str, typer.Option(metavar="A-B,B-C", help="Points that the overlay joins with lines.", show_default=False)
]


@takes_settings
@takes_run_options
def keypoints(
    video: Video,
    points: Points,
    *,
    form: Form = "csv",
    skeleton: Joins = "",
    overlay: Overlay = None,
    absent: Absent = None,
    fail_under: FailUnder = None,
    run: RunOptions,
    settings: SettingLayers,
) -> None:
    """Track points through a video: OUT/keypoints.csv (or another format), OUT/results.jsonl, OUT/run.yaml.

    Example:  propagate keypoints clip.mp4 points.csv -o out --skeleton hip-knee,knee-foot --overlay out/overlay.mp4
    """
    from propagate.commands.keypoints import PointOptions, open_keypoints, parse_skeleton
    from propagate.formats.label_words import read_absences

    options = PointOptions(form, overlay, parse_skeleton(skeleton), read_absences(absent or ()))
    execute(
        lambda request: open_keypoints(request, points, options=options),
        video,
        run=run,
        settings=settings,
        fail_under=fail_under,
    )
