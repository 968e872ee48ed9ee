"""What can go wrong: one family of exceptions, each with its exit code, and what any other exception becomes of it."""

from __future__ import annotations

import errno
import os
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import FrameType


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


# Errors of the system that only writing meets. ENOENT, EACCES and others say nothing of the direction.
_WRITING = {
    getattr(errno, name)
    for name in ("ENOSPC", "EDQUOT", "EROFS", "EFBIG", "EEXIST", "ENOTEMPTY", "ETXTBSY")
    if hasattr(errno, name)
}
_WRITERS = (
    "write",
    "save",
    "mkdir",
    "make",
    "touch",
    "unlink",
    "remove",
    "rmtree",
    "rename",
    "replace",
    "lock",
    "append",
)
_HINTS = {
    errno.EACCES: "check the permissions of the file and of its folder",
    errno.EPERM: "check the permissions of the file and of its folder",
    errno.ENOSPC: "make room; the same command continues",
    errno.EROFS: "give a place that can be written",
    errno.ELOOP: "a link leads back to itself",
    errno.ENAMETOOLONG: "give a shorter name",
    errno.EMFILE: "raise the limit of open files: ulimit -n 4096",
    errno.ENFILE: "close other programs",
}
# What the packages that read our inputs raise, by the package that defines the exception.
_CONTENT = {
    "PIL": "is not a picture that can be read",
    "av": "is not a video that can be read",
    "json": "is not valid JSON",
    "yaml": "is not valid YAML",
    "csv": "is not a table that can be read",
    "_csv": "is not a table that can be read",
    "zipfile": "is a damaged archive",
    "zlib": "is a damaged archive",
    "lzma": "is a damaged archive",
    "_lzma": "is a damaged archive",
    "pickle": "is not a checkpoint that can be read",
    "_pickle": "is not a checkpoint that can be read",
    "safetensors": "is not a file of weights that can be read",
    "safetensors_rust": "is not a file of weights that can be read",
    "tokenize": "is not text that can be read",
    "struct": "ends too early, or is damaged",
}
_MEMORY = ("out of memory", "can't allocate memory", "not enough memory", "cannot allocate memory")
_LONGEST = 300  # characters of another program's message that are repeated
_NAMES_OF_FILES = ("path", "file", "source", "video", "folder", "target", "filename")


def translated(error: BaseException) -> PropagateError:
    """Return any exception as one of the family: what happened, to which file, and what to do.

    What our own code raises on purpose is returned as it is. This is the one place for everything else: errors of the
    operating system, of parsers and of decoders, and what is a fault of ours.

    Args:
        error: as it was caught, with its traceback: the file is looked up there where the error does not name it.
    """
    if isinstance(error, PropagateError):
        return error
    if isinstance(error, MemoryError) or any(text in str(error).lower() for text in _MEMORY):
        return DeviceError("out of memory", hint="a smaller --size or --context needs less, other programs have some")
    if (found := _content(error)) is not None:
        return InputError(f"{_subject(error)} {found}: {_brief(error)}")
    if isinstance(error, OSError):
        return _of_the_system(error)
    if str(error).startswith("Symlink loop from "):  # of Path.resolve, before Python 3.13
        return InputError(f"{str(error).split(' from ')[1]}: cannot be read: {_HINTS[errno.ELOOP]}")
    if isinstance(error, ImportError):
        hint = "install propagate again: pip install --force-reinstall ."
        return PropagateError(f"a package cannot be loaded: {_brief(error)}", hint=hint)
    return PropagateError(f"{type(error).__name__}: {_brief(error)}", hint="run with --debug for the traceback")


def _content(error: BaseException) -> str | None:
    """Return what is wrong with the content of a file, None for errors that are not about content."""
    if isinstance(error, OSError) and error.errno is not None and 0 < error.errno < 1000:
        return None  # also the decoders' own "no such file"
    if isinstance(error, UnicodeError):
        return "is not text in UTF-8" if isinstance(error, UnicodeDecodeError) else "has a name that cannot be written"
    if isinstance(error, RecursionError):
        return "is nested too deeply"
    if isinstance(error, OverflowError):
        return "holds a number that is too large"
    if isinstance(error, EOFError):
        return "ends too early"
    rooms = (kind.__module__.partition(".")[0] for kind in type(error).__mro__)
    return next((_CONTENT[room] for room in rooms if room in _CONTENT), None)


def _of_the_system(error: OSError) -> PropagateError:
    """Return an error of the operating system: 3 for what cannot be read, 1 for what cannot be written."""
    reason = error.strerror or _brief(error)
    hint = _HINTS.get(error.errno or 0)
    if _was_writing(error):
        return OutputError(f"{_subject(error)}: cannot be written: {reason}", hint=hint)
    if error.errno in (errno.EMFILE, errno.ENFILE):
        return OutputError(f"{_subject(error)}: cannot be opened: {reason}", hint=hint)
    return InputError(f"{_subject(error)}: cannot be read: {reason}", hint=hint)


def _was_writing(error: OSError) -> bool:
    """Return whether something was being written: by the error's number, else by who was called."""
    if error.errno in _WRITING:
        return True
    for frame in _frames(error):
        if frame.f_code.co_name.lstrip("_").startswith(_WRITERS):
            return True
        if frame.f_code.co_name == "open" and set(str(frame.f_locals.get("mode", "r"))) & set("wax+"):
            return True
    return False


def _subject(error: BaseException) -> str:
    """Return the file that an error is about: the one that it names, else the one that our code had at hand."""
    for name in (getattr(error, "filename2", None), getattr(error, "filename", None)):
        if isinstance(name, str | bytes | os.PathLike) and name:
            return os.fsdecode(name)
    for frame in _frames(error):
        if frame.f_globals.get("__name__", "").startswith("propagate."):
            for name in _NAMES_OF_FILES:
                value = frame.f_locals.get(name)
                if isinstance(value, Path) or (isinstance(value, str) and value):
                    return str(value)
    return "a file" if isinstance(error, OSError) else "an input"


def _frames(error: BaseException) -> Iterator[FrameType]:
    """Yield the frames that an error came through, the innermost first."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    yield from reversed(frames)


def _brief(error: BaseException) -> str:
    """Return an error's own words in one line that is not too long."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
