"""What can go wrong: one family of exceptions, each with the exit code that the command line returns."""

from __future__ import annotations


class PropagateError(Exception):
    """An error that a user can act on: one line of what happened and, if there is one, what to do.

    Args:
        message: what was found, what was expected, and where.
        hint: what to do about it; shown after the message.
    """

    exit_code = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message if hint is None else f"{message} ({hint})")
        self.hint = hint


class InputError(PropagateError):
    """A video, label or other input file that cannot be used."""

    exit_code = 3


class ConfigError(PropagateError):
    """A setting that does not exist, or a value that it cannot take."""

    exit_code = 2


class OutputError(PropagateError):
    """A result that cannot be written: no space, no permission, or files of another run in the way."""

    exit_code = 1


class ConflictError(OutputError):
    """Files in the place of a result that are not of the same run."""

    exit_code = 2


class WeightsError(PropagateError):
    """A checkpoint that is missing, damaged, or does not fit the network."""

    exit_code = 3


class DeviceError(PropagateError):
    """A device that is missing, or has too little memory."""

    exit_code = 1
