"""The options that all benchmarks of `propagate evaluate` share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from propagate.cli.options import Force, Json, Out, Quiet, filled

_PANEL = "What is scored"


@dataclass(frozen=True)
class Asked:
    """What all benchmarks are asked: the options of `_SHARED`."""

    methods: tuple[str, ...]
    results: tuple[Path, ...]
    sweeps: tuple[str, ...]
    out: Path | None
    jobs: int
    limit: int | None
    fail_under: float | None
    force: bool
    json: bool
    quiet: bool


_SHARED: dict[str, Any] = {
    "method": Annotated[
        list[str] | None,
        typer.Option(
            "--method",
            "-m",
            metavar="METHOD",
            help="identity, flow, flow-first, siftflow, or ENCODER[:WEIGHTS]\\[@PRESET]; repeatable.",
            rich_help_panel=_PANEL,
            show_default=False,
        ),
    ],
    "results": Annotated[
        list[Path] | None,
        typer.Option(metavar="DIR", help="Results of any tool, in the official layout.", rich_help_panel=_PANEL),
    ],
    "sweep": Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=A,B", help="Try a setting's values: radius=4,8,full.", rich_help_panel=_PANEL),
    ],
    "limit": Annotated[
        int | None, typer.Option(min=1, help="Only the first sequences.", rich_help_panel=_PANEL, show_default=False)
    ],
    "jobs": Annotated[int | None, typer.Option("--jobs", "-j", min=1, help="Processes.", show_default=False)],
    "out": Out,
    "fail_under": Annotated[
        float | None, typer.Option(help="Exit with 5 when a method's headline score is worse.", show_default=False)
    ],
    "force": Force,
    "json": Json,
    "quiet": Quiet,
}


def _read_asked(given: dict[str, Any]) -> Asked:
    return Asked(
        methods=tuple(given["method"] or ()),
        results=tuple(given["results"] or ()),
        sweeps=tuple(given["sweep"] or ()),
        out=given["out"],
        jobs=given["jobs"] or 1,
        limit=given["limit"],
        fail_under=given["fail_under"],
        force=bool(given["force"]),
        json=bool(given["json"]),
        quiet=bool(given["quiet"]),
    )


def takes_shared(command: Callable[..., None]) -> Callable[..., None]:
    """Return a command whose parameter `asked` is filled from the options that all benchmarks share."""
    return filled(command, "asked", _SHARED, _read_asked)
