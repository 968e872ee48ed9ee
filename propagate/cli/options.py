"""Options that several commands share, written once. `takes_settings` gives a command those of every setting."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from propagate.errors import ConfigError

if TYPE_CHECKING:
    from propagate.runs.request import Request

VIDEO = typer.Argument(metavar="VIDEO", help="A video file, a folder of images, or - for standard input.")
Video = Annotated[str, VIDEO]
Out = Annotated[Path | None, typer.Option("--out", "-o", help="Where the results go.", show_default=False)]
Overlay = Annotated[Path | None, typer.Option(help="Also draw the result over the video: .mp4, .mkv or .mov.")]
Start = Annotated[str | None, typer.Option(metavar="PLACE", help="First frame: an index, or seconds such as 12.5s.")]
End = Annotated[str | None, typer.Option(metavar="PLACE", help="Where to stop, exclusive: an index, or 12.5s.")]
Force = Annotated[bool, typer.Option("--force", help="Replace the files of another run of propagate.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON lines to stdout.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but errors.")]
FailUnder = Annotated[
    float | None, typer.Option(min=0, max=1, help="Exit with 5 when an object's mean confidence is lower.")
]
_MODEL, _WINDOW, _MACHINE = "Features", "Where it looks", "Machine"


def _setting(name: str, panel: str, text: str, *, metavar: str | None = None) -> Any:
    return typer.Option(name, metavar=metavar, help=text, rich_help_panel=panel, show_default=False)


_SETTINGS: dict[str, Any] = {
    "preset": Annotated[
        str | None, _setting("--preset", _MODEL, "tool, or paper: the encoder's published settings.", metavar="NAME")
    ],
    "quality": Annotated[
        str | None, _setting("--quality", _MODEL, "fast, balanced (the default) or best.", metavar="NAME")
    ],
    "config": Annotated[
        Path | None, _setting("--config", _MODEL, "Settings from a YAML file, such as a run.yaml.", metavar="FILE")
    ],
    "encoder": Annotated[str | None, _setting("--encoder", _MODEL, "What computes features.", metavar="NAME")],
    "weights": Annotated[str | None, _setting("--weights", _MODEL, "A name, a path, or random.", metavar="WEIGHTS")],
    "size": Annotated[
        str | None, _setting("--size", _MODEL, "Short side that the encoder sees, or WxH.", metavar="PIXELS")
    ],
    "stride": Annotated[
        str | None,
        _setting("--stride", _MODEL, "Pixels per cell: own, auto, or half the encoder's.", metavar="N|own|auto"),
    ],
    "context": Annotated[int | None, _setting("--context", _WINDOW, "How many recent frames are looked at.")],
    "radius": Annotated[
        str | None, _setting("--radius", _WINDOW, "Cells around a target cell, or full.", metavar="N|full")
    ],
    "annotated_radius": Annotated[
        str | None,
        _setting("--annotated-radius", _WINDOW, "The same in annotated frames.", metavar="N|full|same"),
    ],
    "window": Annotated[str | None, _setting("--window", _WINDOW, "circle or square.", metavar="SHAPE")],
    "keep_annotated": Annotated[
        bool | None,
        typer.Option(
            "--keep-annotated/--no-keep-annotated",
            help="Keep annotated frames in the window.",
            rich_help_panel=_WINDOW,
            show_default=False,
        ),
    ],
    "similarity": Annotated[str | None, _setting("--similarity", _WINDOW, "cosine, dot or distance.", metavar="NAME")],
    "temperature": Annotated[float | None, _setting("--temperature", _WINDOW, "Divides similarity.")],
    "topk": Annotated[str | None, _setting("--topk", _WINDOW, "Candidates kept per cell, or all.", metavar="N|all")],
    "layer_mix": Annotated[
        float | None, _setting("--layer-mix", _MODEL, "Share of the layer before the last in the similarity, 0 to 1.")
    ],
    "center_features": Annotated[
        bool | None,
        typer.Option(
            "--center-features/--no-center-features",
            help="Compare features less their frame's mean; the tool does where cells have 8 pixels.",
            rich_help_panel=_WINDOW,
            show_default=False,
        ),
    ],
    "lab_weight": Annotated[
        str | None,
        _setting(
            "--lab-weight",
            _WINDOW,
            "Weight of colour beside learned features; 0: none; auto: by cells.",
            metavar="WEIGHT|auto",
        ),
    ],
    "patch": Annotated[int | None, _setting("--patch", _WINDOW, "Cells on the side of what is compared, odd.")],
    "label_scale": Annotated[
        int | None, _setting("--label-scale", _WINDOW, "Sub-cells on a cell's side, of masks, keypoints, maps.")
    ],
    "edges": Annotated[
        float | None, _setting("--edges", _WINDOW, "Colour difference that masks' outlines follow; 0: none.")
    ],
    "feedback": Annotated[str | None, _setting("--feedback", _WINDOW, "soft or hard.", metavar="KIND")],
    "device": Annotated[str | None, _setting("--device", _MACHINE, "auto, cpu, cuda, cuda:1 or mps.", metavar="NAME")],
    "dtype": Annotated[str | None, _setting("--dtype", _MACHINE, "auto, float32 or bfloat16.", metavar="NAME")],
    "threads": Annotated[int | None, _setting("--threads", _MACHINE, "CPU threads.")],
    "seed": Annotated[int | None, _setting("--seed", _MACHINE, "Of random weights.")],
}
_WORDS = {"stride": {"own": None}, "radius": {"full": None}, "annotated_radius": {"full": None}, "topk": {"all": None}}


@dataclass(frozen=True)
class Settings:
    """The settings that were given on a command line.

    Attributes:
        preset: `--preset`.
        quality: `--quality`.
        file: `--config`.
        flags: fields of `PropagateConfig` to values, only those that were given.
    """

    preset: str | None = None
    quality: str | None = None
    file: Path | None = None
    flags: dict[str, Any] = field(default_factory=dict)


def request_of(
    video: str,
    out: Path | None,
    *,
    start: str | None,
    end: str | None,
    force: bool,
    settings: Settings,
    stop: Callable[[], int | None],
) -> Request:
    """Return what a job is asked for, from the options that all commands share."""
    from propagate.runs.request import Request

    return Request(
        video,
        out,
        start=start,
        end=end,
        force=force,
        flags=settings.flags,
        settings_file=settings.file,
        preset=settings.preset,
        quality=settings.quality,
        stop=stop,
    )


def register(app: typer.Typer, command: Callable[..., None], name: str | None = None) -> None:
    """Add a command whose help leads with the example that its docstring ends with."""
    paragraphs = inspect.cleandoc(command.__doc__ or "").split("\n\n")
    example = [part for part in paragraphs if part.startswith("Example:")]
    rest = [part for part in paragraphs if part not in example]
    app.command(name, help="\n\n".join([*example, *rest]), short_help=rest[0].partition(":")[0].rstrip("."))(command)


def takes_settings(command: Callable[..., None]) -> Callable[..., None]:
    """Return a command whose parameter `settings` is filled from an option for every setting."""
    return filled(command, "settings", _SETTINGS, read_flags)


def filled(
    command: Callable[..., None], name: str, options: dict[str, Any], read: Callable[[dict[str, Any]], Any]
) -> Callable[..., None]:
    """Return a command with more options, which together fill its parameter `name`.

    Args:
        command: a function of typer, with that parameter.
        name: the parameter; it is no option itself.
        options: their names to their annotated types; all default to None, "not given".
        read: makes the parameter's value of the options' values.
    """
    own = inspect.signature(command, eval_str=True)

    @functools.wraps(command)
    def with_options(*args: Any, **given: Any) -> None:
        taken = {option: given.pop(option) for option in options}
        command(*args, **given, **{name: read(taken)})

    kept = [parameter for key, parameter in own.parameters.items() if key != name]
    added = [
        inspect.Parameter(option, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=kind)
        for option, kind in options.items()
    ]
    signature = own.replace(parameters=[*kept, *added])
    with_options.__signature__ = signature  # type: ignore[attr-defined]
    with_options.__annotations__ = {p.name: p.annotation for p in signature.parameters.values()}
    return with_options


def read_flags(given: dict[str, Any]) -> Settings:
    """Return the settings of options as typed; None means that one was not given.

    Raises:
        ConfigError: a word that is neither a number nor one of the option's own words.
    """
    given = {name: value for name, value in given.items() if value is not None}
    preset, quality, file = (given.pop(name, None) for name in ("preset", "quality", "config"))
    return Settings(preset, quality, file, {name: setting_value(name, value) for name, value in given.items()})


def parse_sweep(text: str) -> tuple[str, tuple[tuple[str, Any], ...]]:
    """Return the setting of `NAME=VALUE,VALUE,...` and its values beside the words they were given in.

    Raises:
        ConfigError: no such setting, no value, or one that it cannot take.
    """
    from propagate.config import resolve

    name, equals, words = text.partition("=")
    name = name.strip().replace("-", "_")
    if not equals or not words.strip():
        raise ConfigError(f"--sweep {text!r}: expected NAME=VALUE,VALUE,...", hint="such as radius=4,8,12,full")
    values = tuple((word.strip(), _swept(name, word.strip())) for word in words.split(","))
    for _, value in values:
        resolve({name: value})
    return name, values


def _swept(name: str, word: str) -> Any:
    """Return the value of a word on the command line, as the setting's own option would take it."""
    import yaml

    if name in _WORDS or name == "size":
        return setting_value(name, word)
    try:
        return float(word) if "e" in word.lower() and word[0].isdigit() else yaml.safe_load(word)  # YAML lacks 1e-3
    except (ValueError, yaml.YAMLError) as error:
        raise ConfigError(f"--sweep {name}: {word!r} is not a value") from error


def setting_value(name: str, value: Any) -> Any:
    """Return a setting's value of its word on a command line: numbers, and None for words such as "full".

    Raises:
        ConfigError: neither a number nor one of the words.
    """
    words: dict[str, None] = _WORDS.get(name, {})
    if value in words:
        return words[value]
    if name == "lab_weight" and value != "auto":
        return _number(name, value)
    if name == "size":
        return int(value) if value.isdecimal() else value
    if name in _WORDS and value not in ("same", "auto"):
        try:
            return int(value)
        except ValueError as error:
            hint = f"a whole number or {' or '.join(words)}"
            raise ConfigError(f"--{name.replace('_', '-')} is {value!r}", hint=hint) from error
    return value


def _number(name: str, value: str) -> float:
    try:
        return float(value)
    except ValueError as error:
        raise ConfigError(f"--{name.replace('_', '-')} is {value!r}", hint="a number or auto") from error
