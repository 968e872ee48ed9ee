"""`propagate keypoints`."""

from __future__ import annotations

from pathlib import Path
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

Points = Annotated[
    Path, typer.Argument(metavar="POINTS", help="CSV, JSON, JSONL or DeepLabCut; recognised by content.")
]
Form = Annotated[str, typer.Option("--format", metavar="NAME", help="csv, csv-wide, json, jsonl or deeplabcut.")]
Joins = Annotated[str, typer.Option(metavar="A-B,B-C", help="Points that the overlay joins.", show_default=False)]


@takes_settings
def keypoints(
    video: Video,
    points: Points,
    *,
    out: Out = None,
    form: Form = "csv",
    skeleton: Joins = "",
    overlay: Overlay = None,
    start: Start = None,
    end: End = None,
    force: Force = False,
    json: Json = False,
    quiet: Quiet = False,
    fail_under: FailUnder = None,
    settings: Settings,
) -> None:
    """Carry points through a video: OUT/keypoints.csv (or another format), OUT/results.jsonl, OUT/run.yaml.

    Example:  propagate keypoints clip.mp4 points.csv -o out --skeleton hip-knee,knee-foot --overlay out/overlay.mp4
    """
    from propagate.commands.keypoints import PointOptions, open_keypoints, parse_skeleton

    options = PointOptions(form, overlay, parse_skeleton(skeleton))
    carry(
        lambda stop: open_keypoints(
            request_of(video, out, start=start, end=end, force=force, settings=settings, stop=stop),
            points,
            options=options,
        ),
        as_json=json,
        quiet=quiet,
        fail_under=fail_under,
    )
