"""`propagate next`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from propagate.cli import console
from propagate.cli.options import Json
from propagate.errors import InputError

Folder = Annotated[Path, typer.Argument(metavar="OUT", help="The folder of a run of masks or keypoints.")]
Count = Annotated[int, typer.Option("-n", "--count", min=1, help="How many frames.")]


def next_(folder: Folder, *, count: Count = 1, json: Json = False) -> None:
    """Say which frames of a run to label next, and why.

    The best comes first. A frame is worth a label where errors are to be expected around it: little confidence,
    flags, jumps, and far from what you labelled.

    Example:  propagate next out -n 5
    """
    from propagate.formats import results
    from propagate.runs.choice import next_frames

    path = folder / "results.jsonl"
    if not path.is_file():
        raise InputError(f"{path}: there is none", hint="name the folder that masks or keypoints wrote to")
    found = next_frames(results.read(path), count=count)
    if json:
        console.show_json({"next": [asdict(one) for one in found]})
        return
    for one in found:
        objects = f"  objects {', '.join(map(str, one.objects))}" if one.objects else ""
        console.show(f"frame {one.frame}{objects}  ({'; '.join(one.reasons)})")
    if not found:
        console.say("nothing is left to label")
