"""Ctrl-C, SIGTERM and SIGHUP: one line and an exit code at any moment; for a run, a question asked after every frame.

Nothing heavy is imported here: this is the first that the command line does.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False  # `typing` itself takes longer to import than all that is here
if TYPE_CHECKING:
    import signal
    from types import FrameType, TracebackType
    from typing import Any, Self
else:
    import _signal as signal  # what `signal` is made of; its enums would take most of the time until `main` is reached

_NAMES = {getattr(signal, name): name for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)}
ENDING = tuple(_NAMES)  # Windows has no SIGHUP


class Stopped(SystemExit):
    """A signal has ended the command; the exit code is 128 more than its number.

    No `Exception`, so that nothing on the way takes it for a failure of its own.
    """

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)
        self.number = number


def stopped_by(error: BaseException | None) -> int | None:
    """Return the signal that an error comes from, None for other errors: an import may have made another one of it."""
    while error is not None and not isinstance(error, Stopped):
        error = error.__cause__ or error.__context__
    return None if error is None else error.number


def line_of(number: int) -> str:
    """Return what is said when a signal has ended the command."""
    return "interrupted" if number == signal.SIGINT else f"stopped by {_NAMES.get(number, number)}"


def end_at_once() -> None:
    """From now on a signal ends the process with one line: for the time in which modules are imported.

    An exception would be lost in an import that is under way, or come out of it as another one.
    """
    _handle(_end)


def end_with_cleanup() -> None:
    """From now on a signal raises `Stopped`, so that files are closed; the second one kills the process."""
    _handle(_raise)


def ignore() -> None:
    """From now on signals are passed over: the work is done, and the process about to end."""
    _handle(signal.SIG_IGN)


def _handle(handler: Any) -> None:
    for number in ENDING:
        if signal.getsignal(number) != signal.SIG_IGN:  # nohup, or in the background of a script: so it stays
            signal.signal(number, handler)


def _end(number: int, frame: FrameType | None) -> None:
    try:
        os.write(2, f"propagate: error: {line_of(number)}\n".encode())
    finally:
        os._exit(128 + number)


def _raise(number: int, frame: FrameType | None) -> None:
    _handle(signal.SIG_DFL)
    raise Stopped(number)


class StopRequest:
    """Remembers a signal while it is entered; called, it returns the signal's number, or None.

    The second signal is handled as usual again: a run that hangs can be interrupted at once.
    """

    def __init__(self) -> None:
        self._asked: int | None = None
        self._before: dict[int, Any] = {}

    def __call__(self) -> int | None:
        """Return the number of the signal that came, None while there was none."""
        return self._asked

    def __enter__(self) -> Self:
        import threading

        if threading.current_thread() is threading.main_thread():
            for number in ENDING:
                if signal.getsignal(number) != signal.SIG_IGN:
                    self._before[number] = signal.signal(number, self._remember)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._restore()

    def _remember(self, number: int, frame: FrameType | None) -> None:
        self._asked = number
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before.clear()
