"""`propagate weights list|show|verify|import`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from propagate.cli import console
from propagate.cli.options import Force, Json, register
from propagate.errors import ConflictError

if TYPE_CHECKING:
    from propagate.encoders.library import WeightsInfo

weights = typer.Typer(
    short_help="List, show, check and import weights",
    help="Example:  propagate weights list\n\nList, show, check and import weights.",
    no_args_is_help=True,
)
Name = Annotated[str, typer.Argument(metavar="WEIGHTS", help="A name, or the path of a .safetensors file.")]


def list_(*, json: Json = False) -> None:
    """List the weights that have a name.

    Example:  propagate weights list
    """
    from propagate.encoders.library import list_weights

    found = list_weights()
    for one in found:
        if json:
            console.show_json(as_json(one))
        else:
            console.show(f"{one.path.stem:<24} {one.header.encoder:<14} {one.size / 1e6:6.1f} MB")
    if not found:
        console.say("no weights are installed; rawcolor needs none, --weights random runs any encoder untrained")


def show(name: Name, *, json: Json = False) -> None:
    """Show the header of a file of weights: encoder, settings, training record.

    Example:  propagate weights show weights/crw.safetensors
    """
    from propagate.encoders.library import describe, find_weights

    _show(describe(find_weights(name)), json)


def verify_(name: Name, *, json: Json = False) -> None:
    """Check that a file of weights is undamaged, finite, and fits its encoder.

    Example:  propagate weights verify weights/crw.safetensors
    """
    from propagate.encoders.library import find_weights
    from propagate.encoders.weights import verify

    _show(verify(find_weights(name)), json)


def import_(
    source: Annotated[Path, typer.Argument(metavar="CHECKPOINT", help="A public checkpoint, recognised by its keys.")],
    target: Annotated[Path, typer.Argument(metavar="FILE", help="The .safetensors file to write.")],
    *,
    form: Annotated[
        str | None, typer.Option("--from", metavar="NAME", help="Read it as this source's, such as corrflow or mast.")
    ] = None,
    force: Force = False,
) -> None:
    """Convert a public checkpoint of CRW, CorrFlow, MAST, TimeCycle, UVC, VFS or torchvision.

    Example:  propagate weights import crw.pth weights/crw.safetensors
    """
    if target.exists() and not force:
        raise ConflictError(f"{target}: is there already", hint="give another name, or --force")
    from propagate.encoders.convert import import_weights

    report = import_weights(source, target, source=form)
    console.say(f"{source}: {report.source}'s {report.encoder}, {report.used} tensors")
    if report.note:
        console.say(report.note)
    for name in report.dropped:
        console.say(f"left out: {name}")
    console.show(str(target))


def as_json(one: WeightsInfo) -> dict[str, Any]:
    """Return what is known of a file of weights as plain data."""
    from dataclasses import asdict

    return {
        "path": str(one.path),
        "sha256": one.digest,
        "parameters": one.parameters,
        "bytes": one.size,
        **asdict(one.header),
    }


def _show(one: WeightsInfo, json: bool) -> None:
    if json:
        console.show_json(as_json(one))
        return
    for name, value in as_json(one).items():
        console.show(f"{name:<14} {value}")


for _name, _command in (("list", list_), ("show", show), ("verify", verify_), ("import", import_)):
    register(weights, _command, _name)
