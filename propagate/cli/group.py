"""The commands of `propagate`: what each is for and where it lies. One is imported when it is asked for."""

from __future__ import annotations

import math
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

import typer
from typer.core import TyperGroup
from typer.main import get_command

import propagate
from propagate.cli import console
from propagate.cli.repeat import repeated
from propagate.errors import ConfigError
from propagate.registry import Registry


@dataclass(frozen=True)
class Entry:
    """One command.

    Attributes:
        place: "module:object", a function or a `typer.Typer` with commands of its own.
        purpose: the heading of the help under which it stands.
        says: its line there, which is the first sentence of its own help (a test holds them equal).
    """

    place: str
    purpose: str
    says: str


_LABEL, _LOOK, _LEARN, _CHECK = "Label a video", "Look at a video", "Measure and train", "Check the installation"
COMMANDS = {
    "masks": Entry("propagate.cli.masks:masks", _LABEL, "Track objects through a video from masks"),
    "keypoints": Entry("propagate.cli.keypoints:keypoints", _LABEL, "Track points through a video"),
    "colorize": Entry("propagate.cli.colorize:colorize", _LABEL, "Colour a video from coloured frames of it"),
    "texture": Entry("propagate.cli.texture:texture", _LABEL, "Paint on a surface, and let the paint follow it"),
    "maps": Entry("propagate.cli.maps:maps", _LABEL, "Propagate maps of any values through a video"),
    "info": Entry("propagate.cli.info:info", _LOOK, "Say what a video is and what is unusual about it"),
    "next": Entry("propagate.cli.next:next_", _LOOK, "Say which frames of a run to label next, and why"),
    "visualize": Entry("propagate.cli.visualize:visualize", _LOOK, "Show what the encoder sees"),
    "evaluate": Entry("propagate.cli.evaluate:evaluate", _LEARN, "Score trackers on a benchmark"),
    "train": Entry("propagate.cli.train:train", _LEARN, "Learn to track from raw video"),
    "weights": Entry("propagate.cli.weights:weights", _LEARN, "List, show, check, import and pack weights"),
    "doctor": Entry("propagate.cli.doctor:doctor", _CHECK, "Check that everything works on this machine"),
}
_FORMER = {"labels": "maps"}  # names of the release before, which still work
_HELP = ["-h", "--help"]
_PLACES = Registry("command", {name: entry.place for name, entry in COMMANDS.items()})


class _Commands(TyperGroup):
    """The group of commands: imports the one that is asked for, and lists them all without importing any."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Take the group's own options; without any argument show the help."""
        if not args and not ctx.resilient_parsing:
            console.show(ctx.get_help())  # typer shows nothing here when the help is plain text
            raise typer.Exit(ConfigError.exit_code)
        rest: list[str] = super().parse_args(ctx, args)
        return rest

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of the commands, in the order of the help."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return a command.

        Raises:
            ConfigError: there is none of that name; the nearest is suggested.
        """
        if cmd_name in _FORMER:
            console.say(f"note: {cmd_name} is called {_FORMER[cmd_name]} now")
            cmd_name = _FORMER[cmd_name]
        if cmd_name not in COMMANDS and ctx.resilient_parsing:
            return None
        return load_command(cmd_name)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help as plain text: drawing it with rich would double the time it takes."""
        self.rich_markup_mode = None
        super().format_help(ctx, formatter)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the commands by purpose."""
        for purpose in dict.fromkeys(entry.purpose for entry in COMMANDS.values()):
            with formatter.section(purpose):
                formatter.write_dl(
                    [(name.ljust(9), entry.says) for name, entry in COMMANDS.items() if entry.purpose == purpose]
                )


def load_command(name: str) -> Any:
    """Return the command of a name, imported.

    Raises:
        ConfigError: there is none of that name; the nearest is suggested.
    """
    from propagate.cli.options import register

    found = _PLACES[name]
    if isinstance(found, typer.Typer):
        return _with_plain_words(get_command(found))
    alone = typer.Typer(add_completion=False)
    register(alone, found, name)
    return _with_plain_words(get_command(alone))


def _with_plain_words(command: Any) -> Any:
    """Return a command whose words are read here, where typer would load pydantic for it: 0.1 s of every command.

    The door used is typer's own cache; a typer without it reads the words itself, as without this function.
    """
    context = typer.Context(command, help_option_names=_HELP)
    for param in (*command.params, command.get_help_option(context)):
        described: Any = getattr(param, "type_descriptor", None)
        info: Any = getattr(described, "parameter_info", None)
        kind = None if info is None else _element(described.annotation)
        if kind is bool:
            param.metavar = ""  # or the help would name a value that a flag does not take
        if kind in (str, int, float, bool, Path) and hasattr(param, "_runtime_param") and info.parser is None:
            param._runtime_param = _Words(kind, low=info.min, high=info.max)
    for inner in getattr(command, "commands", {}).values():
        _with_plain_words(inner)
    return command


def _element(annotation: Any) -> Any:
    """Return the type of one word: of `list[str]` and of `str`, `str`."""
    return get_args(annotation)[0] if get_origin(annotation) is list else annotation


@dataclass(frozen=True)
class _Words:
    """Reads the words of one option or argument: text, paths and numbers, such as people write them.

    Attributes:
        kind: str, int, float, bool (which typer has read already) or Path.
        low: the least number, None without one.
        high: the greatest.
    """

    kind: Any
    low: float | None
    high: float | None

    def coerce(self, value: Any, param: Any, ctx: Any) -> Any:
        """Return the value of a word, of several words in a list; typer calls this.

        Raises:
            BadParameter: it is no number, or out of range.
        """
        several = param.multiple or param.nargs == -1
        if value is None:
            return () if several else None
        if several:
            return [self._one(word, param, ctx) for word in value]
        return self._one(value, param, ctx)

    def _one(self, word: Any, param: Any, ctx: Any) -> Any:
        if not isinstance(word, str) or self.kind in (str, bool):
            return word
        if self.kind is Path:
            return Path(word)
        number = self._number(word)
        if number is None or number < self._low or number > self._high:
            raise typer.BadParameter(f"{word[:40]!r}, expected {self._expected()}", ctx=ctx, param=param)
        return number

    @property
    def _low(self) -> float:
        return -math.inf if self.low is None else self.low

    @property
    def _high(self) -> float:
        return math.inf if self.high is None else self.high

    def _expected(self) -> str:
        """Return what is expected: "a whole number from 0 to 51"."""
        noun = "a whole number" if self.kind is int else "a number"
        if self.high is not None:
            return f"{noun} from {self._low:g} to {self.high:g}"
        return noun if self.low is None else f"{noun} of at least {self.low:g}"

    def _number(self, word: str) -> int | float | None:
        """Return a number, None for what is none: neither "1_000", nor "nan", nor a word of 5,000 digits."""
        if not re.fullmatch(r"[-+0-9.eE]{1,40}", word):
            return None
        try:
            number: int | float = self.kind(word)
        except ValueError:
            return None
        return number if math.isfinite(number) else None


app = typer.Typer(
    name="propagate",
    cls=_Commands,
    help="Example:  propagate masks clip.mp4 first_mask.png -o out\n\n"
    "Label one frame of a video; propagate follows the labels through all the others: masks, keypoints, colours, "
    "paint, or maps of any values.",
    context_settings={"help_option_names": _HELP},
)


@app.callback(invoke_without_command=True)
def _options(
    ctx: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version; with -v those of all parts.")] = False,
    verbose: Annotated[
        bool, typer.Option("-v", "--verbose", help="With --version: also torch, PyAV and others.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error, with any command.")] = False,
) -> None:
    console.log_to_stderr()
    if version or (verbose and ctx.invoked_subcommand is None):
        console.show(f"propagate {propagate.__version__}")
        if verbose:
            from propagate.cli.doctor import say_versions

            say_versions()
        raise typer.Exit
    if ctx.invoked_subcommand is None:
        raise ConfigError("no command is given", hint="propagate --help lists them")


def invoke(words: list[str]) -> int:
    """Run a command line and return its exit code; what goes wrong is raised as it is.

    Where the inputs are missing, they are taken from the record that `--config` names.

    Args:
        words: the arguments, without the program's name.
    """
    try:
        return _invoke(words)
    except Exception as error:
        if type(error).__name__ != "MissingParameter" or (more := repeated(words)) is None:
            raise
    return _invoke(more)


def _invoke(words: list[str]) -> int:
    command: Any = _with_plain_words(get_command(app))
    if "_PROPAGATE_COMPLETE" in os.environ:  # a shell asks what could follow
        command.main(prog_name="propagate")
    try:
        with command.make_context("propagate", words) as ctx:
            command.invoke(ctx)
    except typer.Exit as end:
        return end.exit_code
    return 0
