"""A run that was asked to stop: it has saved its state, and says how to go on."""

from __future__ import annotations

from propagate.errors import PropagateError


class StoppedError(PropagateError):
    """The run was stopped by a signal between two frames, or steps.

    Args:
        signal: the signal's number; the exit code is 128 more (130 for Ctrl-C, 143 for SIGTERM).
        done: how many are done.
        total: how many there are; 0 when only time ends the run.
        kept: how many need not be done again; all that are done unless a video is written, which keeps whole pieces.
        what: what is counted.
    """

    def __init__(self, signal: int, *, done: int, total: int, kept: int, what: str = "frames") -> None:
        after = "" if kept == done else f" after {kept} {what}" if kept else " from the start"
        of = f" of {total}" if total else ""
        super().__init__(f"stopped after {done}{of} {what}", hint=f"the same command continues{after}")
        self.exit_code = 128 + signal
