"""The family of errors: one line, a hint, and an exit code each."""

from __future__ import annotations

import csv
import errno
import io
import json
import os
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
import safetensors
import yaml
from PIL import Image

from propagate import errors
from propagate.errors import (
    ConfigError,
    ConflictError,
    DeviceError,
    InputError,
    OutputError,
    PropagateError,
    WeightsError,
    translated,
)

CODES = {
    PropagateError: 1,
    OutputError: 1,
    DeviceError: 1,
    ConfigError: 2,
    ConflictError: 2,
    InputError: 3,
    WeightsError: 3,
}


def caught(fault: Callable[[], object]) -> Exception:
    """Return what a call raises."""
    try:
        fault()
    except Exception as error:
        return error
    raise AssertionError("nothing was raised")


# What any other exception becomes: the class says the exit code, the text names the file.
def read_missing(path: Path) -> object:
    return (path / "none").read_text()


def read_folder(path: Path) -> object:
    return path.read_text()


def read_loop(path: Path) -> object:
    (path / "loop").symlink_to(path / "loop")
    return (path / "loop").read_bytes()


def resolve_loop(path: Path) -> object:
    (path / "loop").symlink_to(path / "loop")
    return (path / "loop").resolve()


def read_long_name(path: Path) -> object:
    return (path / ("n" * 300)).read_bytes()


def list_a_file(path: Path) -> object:
    (path / "file").touch()
    return list((path / "file").iterdir())


def write_beneath_a_file(path: Path) -> object:
    (path / "file").touch()
    return (path / "file" / "out").mkdir()


def write_over_a_folder(path: Path) -> object:
    return path.write_text("")


def write_long_name(path: Path) -> object:
    return (path / ("n" * 300)).write_text("")


def rename_to_nowhere(path: Path) -> object:
    (path / "file").touch()
    return (path / "file").replace(path / "none" / "file")


def raised(number: int) -> Callable[[Path], object]:
    def fail(path: Path) -> object:
        raise OSError(number, os.strerror(number), str(path))

    return fail


SYSTEM: list[tuple[Callable[[Path], object], int, str]] = [
    (read_missing, 3, "none: cannot be read: No such file or directory"),
    (read_folder, 3, "cannot be read: Is a directory"),
    (read_loop, 3, "loop: cannot be read: Too many levels of symbolic links (a link leads back to itself)"),
    (resolve_loop, 3, "a link leads back to itself"),
    (read_long_name, 3, "cannot be read: File name too long (give a shorter name)"),
    (list_a_file, 3, "file: cannot be read: Not a directory"),
    (write_beneath_a_file, 1, "cannot be written: Not a directory"),
    (write_over_a_folder, 1, "cannot be written: Is a directory"),
    (write_long_name, 1, "cannot be written: File name too long"),
    (rename_to_nowhere, 1, "none/file: cannot be written: No such file or directory"),
    (raised(errno.ENOSPC), 1, "cannot be written: No space left on device (make room; the same command continues)"),
    (raised(errno.EDQUOT), 1, "cannot be written: Disk quota exceeded"),
    (raised(errno.EROFS), 1, "cannot be written: Read-only file system"),
    (
        raised(errno.EACCES),
        3,
        "cannot be read: Permission denied (check the permissions of the file and of its folder)",
    ),
    (raised(errno.EIO), 3, "cannot be read: Input/output error"),
    (raised(errno.EMFILE), 1, "cannot be opened: Too many open files (raise the limit"),
]


@pytest.mark.parametrize(("fault", "code", "said"), SYSTEM, ids=lambda value: getattr(value, "__name__", None))
def test_an_error_of_the_system_names_the_file_and_the_direction(
    fault: Callable[[Path], object], code: int, said: str, tmp_path: Path
) -> None:
    known = translated(caught(lambda: fault(tmp_path)))
    assert known.exit_code == code
    assert str(tmp_path) in str(known)[: len(str(tmp_path)) + 1]
    assert said in str(known)


def deep() -> object:
    return json.loads("[" * 200_000)


CONTENT: list[tuple[Callable[[], object], str]] = [
    (b"\xff".decode, "is not text in UTF-8"),
    ("\udce9".encode, "has a name that cannot be written"),
    (deep, "is nested too deeply"),
    (lambda: 2.0**10_000, "holds a number that is too large"),
    (lambda: json.loads("{"), "is not valid JSON"),
    (lambda: yaml.safe_load("a: ["), "is not valid YAML"),
    (lambda: list(csv.reader(["a" * 200_000])), "is not a table that can be read"),
    (lambda: zipfile.ZipFile(io.BytesIO(b"PK")), "is a damaged archive"),
    (lambda: zlib.decompress(b"none"), "is a damaged archive"),
    (lambda: Image.open(io.BytesIO(b"none")), "is not a picture that can be read"),
    (lambda: struct.unpack("<q", b"1"), "ends too early, or is damaged"),
    (lambda: safetensors.deserialize(b"none"), "is not a file of weights that can be read"),
]


@pytest.mark.parametrize(("fault", "said"), CONTENT, ids=[said for _, said in CONTENT])
def test_what_a_parser_raises_is_bad_input(fault: Callable[[], object], said: str) -> None:
    known = translated(caught(fault))
    assert isinstance(known, InputError)
    assert str(known).partition(": ")[0] in (f"an input {said}", f"a file {said}")
    assert "\n" not in str(known)
    assert len(str(known)) < 500


def test_a_video_that_cannot_be_read(tmp_path: Path) -> None:
    import av

    (tmp_path / "a.mp4").write_bytes(bytes(1000))
    known = translated(caught(lambda: av.open(str(tmp_path / "a.mp4"))))
    assert (type(known), str(known).startswith(f"{tmp_path}/a.mp4 is not a video")) == (InputError, True)


def test_the_file_is_found_in_our_own_code_where_the_error_does_not_name_it(tmp_path: Path) -> None:
    def fail(data: bytes) -> None:
        raise RecursionError

    scope = {"__name__": "propagate.formats.example", "fail": fail}
    exec("def read(path):\n    fail(path.name)", scope)
    known = translated(caught(lambda: scope["read"](tmp_path / "a.json")))  # type: ignore[operator]
    assert str(known).startswith(f"{tmp_path / 'a.json'} is nested too deeply")


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("CUDA out of memory. Tried"), RuntimeError("x can't allocate memory: y")]
)
def test_too_little_memory_is_said_so(error: Exception) -> None:
    known = translated(error)
    assert (type(known), str(known).partition(" (")[0]) == (DeviceError, "out of memory")


def test_a_fault_of_ours_says_how_to_see_more() -> None:
    known = translated(KeyError("a" * 1000))
    assert (known.exit_code, type(known)) == (1, PropagateError)
    assert "run with --debug" in str(known)
    assert len(str(known)) < 500


def test_our_own_errors_stay_as_they_are() -> None:
    error = ConfigError("topk is 0")
    assert translated(error) is error


@pytest.mark.parametrize(("kind", "code"), CODES.items(), ids=lambda value: getattr(value, "__name__", None))
def test_each_kind_has_the_exit_code_of_the_table(kind, code):
    assert kind("what happened").exit_code == code
    assert issubclass(kind, PropagateError)


def test_the_table_names_every_kind():
    kinds = {value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, Exception)}
    assert kinds == set(CODES)


def test_the_hint_follows_the_message():
    error = InputError("mask.png: empty", hint="draw something")
    assert str(error) == "mask.png: empty (draw something)"
    assert error.hint == "draw something"


def test_without_a_hint_there_are_no_brackets():
    assert str(ConfigError("topk is 0")) == "topk is 0"
    assert ConfigError("topk is 0").hint is None
