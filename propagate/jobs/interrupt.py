"""A run that was asked to stop: it has saved its state, and says how to go on."""

from __future__ import annotations

from propagate.errors import PropagateError


class StoppedError(PropagateError):
    """The run was stopped by a signal between two frames.

    Args:
        signal: the signal's number; the exit code is 128 more (130 for Ctrl-C, 143 for SIGTERM).
        done: how many frames are done.
        total: how many there are.
    """

    def __init__(self, signal: int, *, done: int, total: int) -> None:
        super().__init__(f"stopped after {done} of {total} frames", hint="the same command continues")
        self.exit_code = 128 + signal
