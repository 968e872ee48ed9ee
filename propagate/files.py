"""Files as people leave them on disks: what counts in a folder, in which order, and why one cannot be read.

Every room that opens a file a user named comes here first, so that a pipe never hangs, a folder is never read as a
file, and the cause that is said is the true one.
"""

from __future__ import annotations

import errno
import stat
from collections.abc import Collection, Iterable
from functools import cache
from pathlib import Path
from typing import Any, Protocol

from propagate.errors import InputError

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".webp")
VIDEO_SUFFIXES = (
    *(".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".m2v", ".ts", ".m2ts", ".mts", ".wmv"),
    *(".flv", ".ogv", ".3gp", ".vob", ".mxf", ".y4m", ".nut", ".h264", ".hevc", ".gif"),
)
_LEFT_BY_DESKTOPS = frozenset({"thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "__macosx", "@eadir"})
_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)
_CAUSES = {
    errno.ENOENT: "there is no such file",
    errno.ENOTDIR: "there is no such file",
    errno.EACCES: "no permission to read it",
    errno.EPERM: "no permission to read it",
    errno.ELOOP: "its links lead back to themselves",
    errno.ENAMETOOLONG: "the name is longer than a file's can be",
}
_HINTS = {
    errno.ENOENT: "check the path",
    errno.ENOTDIR: "check the path",
    errno.EACCES: "change the permissions of the file or of a folder above it",
    errno.EPERM: "change the permissions of the file or of a folder above it",
    errno.ELOOP: "remove the link",
}
_ABSENT = (errno.ENOENT, errno.ENOTDIR)


class _Key(Protocol):
    def __call__(self, text: str, /) -> Any: ...


@cache
def _natsort_key() -> _Key:
    from natsort import natsort_keygen, ns  # 40 ms, which `propagate --help` need not wait for

    key: _Key = natsort_keygen(alg=ns.IGNORECASE)
    return key


def natural_key(text: str) -> tuple[Any, str]:
    """Return a sort key that puts "img2" before "IMG10"; texts that differ only in case or zeros keep one order."""
    return _natsort_key()(text), text


def in_natural_order(paths: Iterable[Path]) -> list[Path]:
    """Return paths by their stems in natural order, then by their whole names."""
    found = list(paths)
    if len({len(path.stem) for path in found}) == 1 and all(path.stem.isdecimal() for path in found):
        return sorted(found, key=lambda path: (path.stem, path.name))  # the same, without what natsort takes to import
    return sorted(found, key=lambda path: (natural_key(path.stem), path.name))


def cannot_read(path: Path, error: OSError, *, name: str | None = None) -> InputError:
    """Return what to raise for an error of the system: the file and the cause in plain words.

    Args:
        path: the file or folder.
        error: what the system said.
        name: what the message calls it, its path without one.
    """
    number = error.errno or 0
    cause = _CAUSES.get(number, f"cannot be read: {error.strerror or error}")
    if number in _ABSENT and path.is_symlink():
        return InputError(f"{name or path}: a link to a file that is not there", hint=f"it names {path.readlink()}")
    return InputError(f"{name or path}: {cause}", hint=_HINTS.get(number))


def kind_of(path: Path) -> str:
    """Return "a file", "a folder", "a pipe", "a socket" or "a device"; links are followed.

    Raises:
        InputError: nothing is there, or it may not be looked at.
    """
    try:
        mode = path.stat().st_mode
    except OSError as error:
        raise cannot_read(path, error) from error
    except ValueError as error:  # a NUL in the name
        raise InputError(f"{path}: no file can have this name") from error
    return next((kind for test, kind in _KINDS if test(mode)), "a file")


def is_folder(path: Path) -> bool:
    """Return whether a path is a folder; False where nothing is.

    Raises:
        InputError: it may not be looked at, or its links lead nowhere.
    """
    try:
        return stat.S_ISDIR(path.stat().st_mode)
    except OSError as error:
        if error.errno in _ABSENT:
            return False
        raise cannot_read(path, error) from error
    except ValueError:
        return False


def check_file(path: Path, *, wanted: str = "a file") -> None:
    """Check that a path is an ordinary file, before it is opened: opening a pipe would wait for ever.

    Args:
        path: what is to be read.
        wanted: what was expected, for the message ("a CSV or JSON file").

    Raises:
        InputError: it is missing, something else, or may not be looked at.
    """
    if (kind := kind_of(path)) != "a file":
        raise InputError(f"{path}: {kind}, not {wanted}", hint=f"name {wanted}")


def read_bytes(path: Path, *, wanted: str = "a file") -> bytes:
    """Return the content of an ordinary file.

    Raises:
        InputError: it cannot be read.
    """
    check_file(path, wanted=wanted)
    try:
        return path.read_bytes()
    except OSError as error:
        raise cannot_read(path, error) from error


def list_folder(folder: Path) -> list[Path]:
    """Return what lies in a folder in natural order, without hidden files and those that desktops leave behind.

    Raises:
        InputError: the folder cannot be read.
    """
    try:
        entries = list(folder.iterdir())
    except OSError as error:
        raise cannot_read(folder, error) from error
    return in_natural_order(
        p for p in entries if not p.name.startswith(".") and p.name.lower() not in _LEFT_BY_DESKTOPS
    )


def files_in(folder: Path, suffixes: Collection[str]) -> list[Path]:
    """Return the files of a folder that end in one of `suffixes`, in natural order.

    Links that lead nowhere are files that cannot be read; folders, pipes and sockets are not files, whatever they are
    called.

    Raises:
        InputError: the folder cannot be read.
    """
    return [path for path in list_folder(folder) if path.suffix.lower() in suffixes and not _is_other(path)]


def others_in(folder: Path, suffixes: Collection[str]) -> list[Path]:
    """Return what is called like a file of `suffixes` but is a folder, a pipe, a socket or a device."""
    return [path for path in list_folder(folder) if path.suffix.lower() in suffixes and _is_other(path)]


def _is_other(path: Path) -> bool:
    try:
        return not stat.S_ISREG(path.stat().st_mode)
    except OSError:
        return False


def looks_like_video(path: Path) -> bool:
    """Return whether a file is called like a video."""
    return path.suffix.lower() in VIDEO_SUFFIXES
