"""Options that several commands share, written once. `takes_settings` gives a command those of every setting."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from propagate.config import MODEL, TOOL, PropagateConfig
from propagate.errors import ConfigError
from propagate.runs.settings import SettingLayers, read_layers
from propagate.settings import Setting, current_names, known_name, parse_word, settings_of

if TYPE_CHECKING:
    from propagate.commands.video_results import VideoOptions
    from propagate.runs.request import Request
    from propagate.video.encoder import CodecName as Codec

VIDEO = typer.Argument(metavar="VIDEO", help="A video file, a folder of images, or - for standard input.")
Video = Annotated[str, VIDEO]
Out = Annotated[
    Path | None,
    typer.Option(
        "--out", "-o", help="Where the results go; without it a name made of the video's.", show_default=False
    ),
]
Overlay = Annotated[Path | None, typer.Option(help="Also draw the result over the video: .mp4, .mkv or .mov.")]
Start = Annotated[str | None, typer.Option(metavar="PLACE", help="First frame: an index, or seconds such as 12.5s.")]
Cuts = Annotated[
    str | None,
    typer.Option(
        metavar="auto|off|FILE", help="Where shots begin: found (the default), nowhere, or 120,300 or a file."
    ),
]
End = Annotated[str | None, typer.Option(metavar="PLACE", help="Where to stop, exclusive: an index, or 12.5s.")]
Force = Annotated[bool, typer.Option("--force", help="Replace the files of another run of propagate.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON lines on standard output.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but errors.")]
Absent = Annotated[
    list[str] | None,
    typer.Option(
        "--absent",
        metavar="ID@FIRST:LAST",
        help="An object or point that is not in the picture, which needs no drawing: ID@120, or ID@120:180 for frames "
        "120 to 180, both included; or a file with one of these a line. Repeatable. Nothing else changes.",
        show_default=False,
    ),
]
FailUnder = Annotated[
    float | None, typer.Option(min=0, max=1, help="Exit with 5 when an object's mean confidence is lower.")
]
CodecName = Annotated[str, typer.Option("--codec", metavar="NAME", help="h264, prores or ffv1 (without loss).")]
Crf = Annotated[int, typer.Option(min=0, max=51, help="Quality of h264: 0 is lossless, 51 the worst.")]
PixFmt = Annotated[
    str | None,
    typer.Option(
        "--pix-fmt", metavar="NAME", help="Stored pixel format, such as yuv420p; without it as deep as the source."
    ),
]
_CODECS = ("h264", "prores", "ffv1")


def setting_options(
    kind: type, *, defaults: Mapping[str, Any], first: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return the options of a dataclass of settings: name to annotated type, as `filled` takes them.

    Args:
        kind: such as `PropagateConfig`.
        defaults: what the help calls the default, where that is not the field's own.
        first: options that stand before them.
    """
    options = dict(first or {})
    for name, known in settings_of(kind).items():
        if not known.panel:
            continue
        options[name] = Annotated[bool | None if known.kind is bool else str | None, _option(name, known, defaults)]
        if known.former:
            former = known.former
            options[former] = Annotated[bool | None if known.kind is bool else str | None, _hidden(former, known)]
    return options


def _option(name: str, known: Setting, defaults: Mapping[str, Any]) -> Any:
    default = known.spelled(defaults.get(name, known.default))
    text = f"{known.help} Default: {default}." if default else known.help
    return typer.Option(
        _flags(name, known),
        metavar=None if known.kind is bool else _plain(known.value_name()),
        help=_plain(text),
        rich_help_panel=known.panel,
        show_default=False,
    )


def _plain(text: str) -> str:
    """Return text in which rich sees no markup; its own `escape` takes 30 ms to import, in every command."""
    return text.replace("[", "\\[")


def _hidden(name: str, known: Setting) -> Any:
    return typer.Option(_flags(name, known), hidden=True)


def _flags(name: str, known: Setting) -> str:
    word = name.replace("_", "-")
    return f"--{word}/--no-{word}" if known.kind is bool else f"--{word}"


def config_file(panel: str) -> Any:
    """Return the option `--config`."""
    text = (
        "Settings from a YAML file. A run.yaml brings its inputs too: --config OUT/run.yaml alone repeats a run, "
        "without the arguments above. Options override the file; -o says where the results go."
    )
    return Annotated[
        Path | None, typer.Option("--config", metavar="FILE", help=text, rich_help_panel=panel, show_default=False)
    ]


def _named(name: str, text: str) -> Any:
    return Annotated[
        str | None, typer.Option(name, metavar="NAME", help=text, rich_help_panel=MODEL, show_default=False)
    ]


_SETTINGS = setting_options(
    PropagateConfig,
    defaults=TOOL,
    first={
        "preset": _named("--preset", "tool: settings chosen here; paper: the encoder's published ones."),
        "quality": _named("--quality", "fast, balanced or best: speed against accuracy. Default: balanced."),
        "config": config_file(MODEL),
    },
)


def request_of(
    video: str,
    out: Path | None,
    *,
    start: str | None,
    end: str | None,
    force: bool,
    settings: SettingLayers,
    stop: Callable[[], int | None],
    cuts: str = "auto",
) -> Request:
    """Return what a job is asked for, from the options that all commands share."""
    from propagate.runs.request import Request

    return Request(
        video,
        out,
        start=start,
        end=end,
        force=force,
        layers=settings,
        stop=stop,
        cuts=cuts,
    )


def register(app: typer.Typer, command: Callable[..., None], name: str | None = None) -> None:
    """Add a command whose help leads with the example that its docstring ends with."""
    paragraphs = inspect.cleandoc(command.__doc__ or "").split("\n\n")
    example = [part for part in paragraphs if part.startswith("Example:")]
    rest = [part for part in paragraphs if part not in example]
    app.command(name, help="\n\n".join([*example, *rest]), short_help=rest[0].partition(":")[0].rstrip("."))(command)


def takes_settings(command: Callable[..., None]) -> Callable[..., None]:
    """Return a command whose parameter `settings` is filled from an option for every setting that it has."""
    known = settings_of(PropagateConfig)
    without = {name for name in known if known[name].only and command.__name__ not in known[name].only}
    options = {name: option for name, option in _SETTINGS.items() if name not in without}
    return filled(command, "settings", options, read_flags)


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


def read_flags(given: dict[str, Any]) -> SettingLayers:
    """Return what options, the file that they name and the environment say of the settings.

    Raises:
        ConfigError: a word that says nothing that its setting can be, or a file that cannot be read.
    """
    given = {name: value for name, value in given.items() if value is not None}
    preset, quality, file = (given.pop(name, None) for name in ("preset", "quality", "config"))
    return read_layers(read_words(PropagateConfig, given), file=file, preset=preset, quality=quality)


def read_words(kind: type, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of settings that were given as words, under the names of today.

    Raises:
        ConfigError: a word that says nothing that the setting can be, or a setting given by two names.
    """
    values = {
        name: parse_word(kind, name, value) if isinstance(value, str) else value
        for name, value in given.items()
        if value is not None
    }
    return current_names(kind, values)


def parse_sweep(text: str) -> tuple[str, tuple[tuple[str, Any], ...]]:
    """Return the setting of `NAME=VALUE,VALUE,...` and its values beside the words they were given in.

    Raises:
        ConfigError: no such setting, no value, or one that it cannot take.
    """
    name, equals, words = text.partition("=")
    if not equals or not words.strip():
        raise ConfigError(f"--sweep {text!r}: expected NAME=VALUE,VALUE,...", hint="such as radius=4,8,12,full")
    name = known_name(PropagateConfig, name.strip().replace("-", "_"))
    given = tuple(word.strip() for word in words.split(","))
    return name, tuple((word, parse_word(PropagateConfig, name, word, option=name)) for word in given)


def video_options(codec: str, crf: int, pix_fmt: str | None) -> VideoOptions:
    """Return how a video is written.

    Raises:
        ConfigError: there is no such codec.
    """
    from propagate.commands.video_results import VideoOptions

    if codec not in _CODECS:
        raise ConfigError(f"no codec is called {codec!r}", hint=f"one of: {', '.join(_CODECS)}")
    return VideoOptions(cast("Codec", codec), crf, pix_fmt)
