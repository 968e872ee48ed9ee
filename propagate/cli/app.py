"""`propagate`: the commands, and the one place where an error becomes a line on stderr and an exit code."""

from __future__ import annotations

import os
import sys
import traceback
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

import propagate
from propagate.cli import console
from propagate.cli.colorize import colorize
from propagate.cli.doctor import doctor, say_versions
from propagate.cli.evaluate import evaluate
from propagate.cli.info import info
from propagate.cli.keypoints import keypoints
from propagate.cli.maps import labels
from propagate.cli.masks import masks
from propagate.cli.options import register
from propagate.cli.texture import texture
from propagate.cli.train import train
from propagate.cli.visualize import visualize
from propagate.cli.weights import weights
from propagate.errors import PropagateError

USAGE = 2
BROKEN_PIPE = 141  # 128 + SIGPIPE, as a shell reports it


class _Commands(TyperGroup):
    """The group of commands: takes `--debug` anywhere, and turns errors into one line and an exit code."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Take `--debug` out of the arguments, wherever it stands before a `--`; without any, show the help."""
        if not args and not ctx.resilient_parsing:
            console.show(ctx.get_help())  # typer shows nothing here when the help is plain text
            raise typer.Exit(USAGE)
        end = args.index("--") if "--" in args else len(args)
        ctx.meta["debug"] = "--debug" in args[:end]
        rest: list[str] = super().parse_args(ctx, [word for word in args[:end] if word != "--debug"] + args[end:])
        return rest

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the list of commands as plain text: drawing it with rich would double the time it takes."""
        self.rich_markup_mode = None
        super().format_help(ctx, formatter)

    def invoke(self, ctx: Any) -> Any:
        """Run the command; this is the one `except` of the command line."""
        try:
            return super().invoke(ctx)
        except _PASSED_ON:
            raise
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nothing is left to flush into the pipe
            raise typer.Exit(BROKEN_PIPE) from None
        except (Exception, KeyboardInterrupt) as error:
            text, code = _said(error)
            console.say_error(text)
            if ctx.meta["debug"]:
                traceback.print_exc()
            raise typer.Exit(code) from error


def _said(error: BaseException) -> tuple[str, int]:
    """Return what to say of an error, and the exit code."""
    if isinstance(error, PropagateError):
        return str(error), error.exit_code
    if isinstance(error, KeyboardInterrupt):
        return "interrupted", 130
    return f"{type(error).__name__}: {error} (run with --debug for the traceback)", 1


# What typer handles itself: usage errors (all its own errors derive from the grandparent of this one), exits, aborts.
_USAGE: Any = typer.BadParameter.__mro__[2]
_PASSED_ON: tuple[type[BaseException], ...] = (_USAGE, typer.Exit, typer.Abort)

app = typer.Typer(
    name="propagate",
    cls=_Commands,
    help="Example:  propagate masks clip.mp4 first_mask.png -o out\n\n"
    "Carry masks, keypoints, colours and textures through a video.",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for _command in (masks, keypoints, colorize, texture, labels, visualize, train, info, doctor):
    register(app, _command)
app.add_typer(evaluate, name="evaluate")
app.add_typer(weights, name="weights")


@app.callback(invoke_without_command=True)
def _options(
    ctx: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version; with -v of all parts.")] = False,
    verbose: Annotated[
        bool, typer.Option("-v", "--verbose", help="With --version: also torch, PyAV and others.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    console.log_to_stderr()
    if version or (verbose and ctx.invoked_subcommand is None):
        console.show(f"propagate {propagate.__version__}")
        if verbose:
            say_versions()
        raise typer.Exit


def main() -> None:
    """Run the command line."""
    # Before torch is imported: threads that spin while they wait starve each other when another process is busy. Seen
    # at 480p on 2 loaded cores: 0.4 to 12 s a frame with torch's usual spins, 0.2 s with short ones; alone, alike.
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    app()
