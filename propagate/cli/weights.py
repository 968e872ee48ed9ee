"""`propagate weights list|show|verify|import|pack|card`."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from propagate.cli import console
from propagate.cli.options import Force, Json, parse_sweep, register
from propagate.errors import ConfigError, ConflictError

if TYPE_CHECKING:
    from propagate.encoders.library import WeightsInfo

weights = typer.Typer(
    short_help="List, show, check, import and pack weights",
    help="Example:  propagate weights list\n\nList, show, check and import weights; pack those of a training run.",
    no_args_is_help=True,
    add_completion=False,
)
Name = Annotated[str, typer.Argument(metavar="WEIGHTS", help="A name, or the path of a .safetensors file.")]


def list_(*, json: Json = False) -> None:
    """List the weights that have a name.

    Example:  propagate weights list
    """
    from propagate.cards.facts import brief_licence
    from propagate.encoders.library import list_weights

    found = list_weights()
    for one in found:
        if json:
            console.show_json(as_json(one))
        else:
            line = f"{one.path.stem:<24} {one.header.encoder:<14} {one.size / 1e6:6.1f} MB  {brief_licence(one)}"
            console.show(line.rstrip())
    if not found:
        console.say("no weights are installed: use --encoder rawcolor, which needs none, or --weights random")


def show(name: Name, *, json: Json = False) -> None:
    """Show what a file of weights says of itself: its licence, network, settings, training and data.

    Example:  propagate weights show weights/crw.safetensors
    """
    from propagate.encoders.library import describe, find_weights

    _show(describe(find_weights(name)), json)


def verify_(name: Name, *, json: Json = False) -> None:
    """Check that a file of weights is undamaged, holds finite numbers only, and fits its encoder.

    Example:  propagate weights verify weights/crw.safetensors
    """
    from propagate.encoders.library import find_weights
    from propagate.encoders.weights import verify

    _show(verify(find_weights(name)), json)


def import_(
    source: Annotated[Path, typer.Argument(metavar="CHECKPOINT", help="A public checkpoint, known by its keys.")],
    target: Annotated[Path, typer.Argument(metavar="FILE", help="The .safetensors file to write.")],
    *,
    form: Annotated[
        str | None, typer.Option("--from", metavar="NAME", help="Whose checkpoint it is, such as corrflow or mast.")
    ] = None,
    force: Force = False,
) -> None:
    """Convert a public checkpoint of CRW, CorrFlow, MAST, TimeCycle, UVC, VFS or torchvision.

    Example:  propagate weights import crw.pth weights/crw.safetensors
    """
    if target.exists() and not force:
        raise ConflictError(f"{target}: already exists", hint="give another name, or --force to replace it")
    from propagate.encoders.weights import import_weights

    report = import_weights(source, target, source=form)
    console.say(f"{source}: {report.source}'s {report.encoder}, {report.used} tensors")
    if report.note:
        console.say(report.note)
    for name in report.dropped:
        console.say(f"left out: {name}")
    console.show(str(target))


def pack(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a training run.")],
    target: Annotated[Path, typer.Argument(metavar="FILE", help="The .safetensors file to write.")],
    videos: Annotated[
        list[str] | None,
        typer.Argument(metavar="[VIDEOS]...", help="The videos of the run, for the table of its data."),
    ] = None,
    *,
    prepare: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="The run's prepared footage.", show_default=False),
    ] = None,
    best: Annotated[bool, typer.Option("--best", help="Pack the best validated weights, not the last.")] = False,
    license_: Annotated[
        str | None,
        typer.Option("--license", metavar="TEXT", help="What they may be used for.", show_default=False),
    ] = None,
    hardware: Annotated[
        str | None,
        typer.Option(metavar="TEXT", help="The machine that trained them.", show_default=False),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            "-s",
            metavar="NAME=VALUE",
            help="A setting of their preset; repeatable.",
            show_default=False,
        ),
    ] = None,
    force: Force = False,
) -> None:
    """Write the weights of a training run in float16, half the size, with a record of how they were trained.

    Example:  propagate weights pack run weights/mine.safetensors videos/ --license "research only" -s radius=16
    """
    from propagate.cards.pack import PackRequest
    from propagate.cards.pack import pack as pack_run
    from propagate.cli.train import train

    request = PackRequest(
        run,
        target,
        videos=tuple(videos or ()),
        prepared=prepare,
        best=best,
        license=license_,
        hardware=hardware,
        preset=dict(_preset_value(text) for text in set_ or ()),
        options=frozenset(inspect.signature(train).parameters),
        force=force,
    )
    for note in pack_run(request):
        console.say(note)
    console.show(str(target))


def card(
    names: Annotated[list[str], typer.Argument(metavar="WEIGHTS...", help="Names, or paths of .safetensors files.")],
    *,
    scores: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FOLDER",
            help="A folder that `propagate evaluate -o` wrote.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="FILE", help="A file to write, not stdout.", show_default=False),
    ] = None,
    force: Force = False,
) -> None:
    """Write the model card of weights in Markdown: licence, network, data, training and scores.

    Example:  propagate weights card dropped_channel --scores scores/ -o weights/README.md
    """
    if out is not None and out.exists() and not force:
        raise ConflictError(f"{out}: already exists", hint="give another name, or --force to replace it")
    from propagate.cards.card import card as card_of
    from propagate.cards.card import read_scores
    from propagate.encoders.library import describe, find_weights
    from propagate.formats.atomic import write_text

    infos = [describe(find_weights(name)) for name in names]
    text = card_of(infos, [read_scores(folder) for folder in scores or ()])
    if out is None:
        console.show(text.rstrip("\n"))
        return
    write_text(out, text)
    console.show(str(out))


def as_json(one: WeightsInfo) -> dict[str, Any]:
    """Return what is known of a file of weights as plain data."""
    from dataclasses import asdict

    return {
        "path": str(one.path),
        "sha256": one.digest,
        "parameters": one.parameters,
        "bytes": one.size,
        "dtype": one.dtype,
        **asdict(one.header),
    }


def _preset_value(text: str) -> tuple[str, Any]:
    """Return the setting of `NAME=VALUE` and its value.

    Raises:
        ConfigError: it is not one, or the setting cannot take the value.
    """
    _, _, word = text.partition("=")
    if not word.strip() or "," in word:
        raise ConfigError(f"--set {text!r}: expected NAME=VALUE", hint="such as radius=16, or radius=full")
    name, ((_, value),) = parse_sweep(text)
    return name, value


def _show(one: WeightsInfo, json: bool) -> None:
    if json:
        console.show_json(as_json(one))
        return
    from propagate.cards.facts import swatches, weights_lines

    for line in weights_lines(one):
        console.show(line)
    console.show_swatches(swatches(one.header.training))


for _name, _command in (
    ("list", list_),
    ("show", show),
    ("verify", verify_),
    ("import", import_),
    ("pack", pack),
    ("card", card),
):
    register(weights, _command, _name)
