"""`propagate` from the first instruction to the exit code: streams, signals, and the one place that ends with an error.

Only the standard library's lightest parts are imported before signals are handled; the rest within `main`.
"""

from __future__ import annotations

import os
import sys

from propagate.cli import signals

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

USAGE = 2


def main() -> None:
    """Run the command line, and end with its exit code."""
    signals.end_at_once()
    try:
        code = _start()
    except (
        Exception
    ) as error:  # what says errors cannot be loaded: no file can be opened, or the installation is broken
        os.write(2, f"propagate: error: {error}\n".encode("ascii", "backslashreplace"))
        code = 1
    signals.ignore()
    sys.exit(code)


def _start() -> int:
    """Make streams and interpreter ready, run the command line, and return its exit code."""
    # Before torch is imported: threads that spin while they wait starve each other when another process is busy. Seen
    # at 480p on 2 loaded cores: 0.4 to 12 s a frame with torch's usual spins, 0.2 s with short ones; alone, alike.
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    from propagate.cli.streams import open_streams

    open_streams()
    words, debug = _without_debug(sys.argv[1:])
    if not debug:
        sys.unraisablehook = lambda _: None  # never "Exception ignored in ..." beside our own line
    return run(words, debug=debug, ready=signals.end_with_cleanup)


def _without_debug(words: list[str]) -> tuple[list[str], bool]:
    """Return the arguments without `--debug`, wherever it stands before a `--`, and whether it was there."""
    end = words.index("--") if "--" in words else len(words)
    return [word for word in words[:end] if word != "--debug"] + words[end:], "--debug" in words[:end]


def run(words: list[str], *, debug: bool = False, ready: Callable[[], None] = lambda: None) -> int:
    """Run one command line and return its exit code; an error becomes one line on standard error.

    Args:
        words: the arguments, without the program's name.
        debug: show the traceback of an error, too.
        ready: called when the command line itself is imported, before the command is.
    """
    try:
        from propagate.cli.group import invoke

        ready()
        code = invoke(words)
        sys.stdout.flush()
    except BaseException as error:  # the one place where the command line ends with an error
        return _end(error, debug=debug)
    return code


def _end(error: BaseException, *, debug: bool) -> int:
    """Say what an error is, in one line, and return the exit code."""
    from propagate.cli import console

    text, code = _said(error)
    if text:
        console.say_error(text)
    if debug and not isinstance(error, SystemExit):
        import traceback

        traceback.print_exception(error)
    return code


def _said(error: BaseException) -> tuple[str, int]:
    """Return what to say of an error, nothing where that is best, and the exit code."""
    from propagate.cli.streams import ReaderGoneError
    from propagate.errors import PropagateError, translated

    if isinstance(error, ReaderGoneError):
        return "", error.exit_code
    if isinstance(error, PropagateError):
        return str(error), error.exit_code
    if (number := signals.stopped_by(error)) is not None:
        return signals.line_of(number), 128 + number
    if isinstance(error, SystemExit):
        return "", error.code if isinstance(error.code, int) else int(error.code is not None)
    if isinstance(error, KeyboardInterrupt):
        return "interrupted", 130
    if hasattr(error, "format_message"):  # typer's own: wrong arguments
        return _usage(error), USAGE
    known = translated(error)
    return str(known), known.exit_code


def _usage(error: BaseException) -> str:
    """Return what is wrong with the arguments, and where they are explained."""
    text = str(error.format_message()).strip().rstrip(".")  # type: ignore[attr-defined]
    context = getattr(error, "ctx", None)
    if not text:  # a group without a command: typer has shown its help
        return ""
    return f"{text} (see {context.command_path} --help)" if context is not None else text
