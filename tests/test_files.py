"""Files as people leave them: what counts in a folder, and the true cause of what cannot be read."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

import pytest

from propagate.errors import InputError
from propagate.files import (
    cannot_read,
    check_file,
    files_in,
    is_folder,
    list_folder,
    natural_key,
    others_in,
    read_bytes,
)

POSIX = pytest.mark.skipif(sys.platform == "win32", reason="pipes and links of POSIX")


def test_numbers_sort_as_numbers_and_case_does_not_matter() -> None:
    names = ["img10", "img2", "IMG1", "a", "10", "9", "01", "1"]
    assert sorted(names, key=natural_key) == ["01", "1", "9", "10", "a", "IMG1", "img2", "img10"]


def test_a_stem_goes_before_longer_ones_whatever_the_suffix(tmp_path: Path) -> None:
    for name in ("01a.png", "1.png", "1-a.png", "b10.png", "B9.jpg"):
        (tmp_path / name).touch()
    assert [path.name for path in list_folder(tmp_path)] == ["1.png", "1-a.png", "01a.png", "B9.jpg", "b10.png"]


def test_what_desktops_leave_behind_does_not_count(tmp_path: Path) -> None:
    for name in (".DS_Store", "._a.png", "Thumbs.db", "desktop.ini", "a.png", "b.PNG", "notes.txt"):
        (tmp_path / name).touch()
    (tmp_path / "__MACOSX").mkdir()
    assert [path.name for path in list_folder(tmp_path)] == ["a.png", "b.PNG", "notes.txt"]
    assert [path.name for path in files_in(tmp_path, (".png",))] == ["a.png", "b.PNG"]


@POSIX
def test_what_is_called_like_a_file_but_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # a socket's whole name is at most 100 bytes long
    (tmp_path / "a.png").mkdir()
    os.mkfifo(tmp_path / "b.png")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("c.png")
    (tmp_path / "d.png").symlink_to("nowhere.png")
    (tmp_path / "e.png").symlink_to("e.png")
    assert [path.name for path in others_in(tmp_path, (".png",))] == ["a.png", "b.png", "c.png"]
    assert [path.name for path in files_in(tmp_path, (".png",))] == ["d.png", "e.png"]
    causes = {
        "a.png": "a folder, not a picture",
        "b.png": "a pipe, not a picture",
        "c.png": "a socket, not a picture",
        "d.png": r"a link to a file that is not there \(it names nowhere.png\)",
        "e.png": "its links lead back to themselves",
        "f.png": "there is no such file",
        "x" * 300: "the name is longer than a file's can be",
        "d.png/inside": "there is no such file",
        "nul\0": "no file can have this name",
    }
    for name, cause in causes.items():
        with pytest.raises(InputError, match=cause):
            check_file(tmp_path / name, wanted="a picture")
        with pytest.raises(InputError, match=cause.replace("a picture", "a file")):
            read_bytes(tmp_path / name)
    assert is_folder(tmp_path)
    assert not is_folder(tmp_path / "f.png")
    with pytest.raises(InputError, match="lead back"):
        is_folder(tmp_path / "e.png")


def test_a_missing_permission_is_said_as_such(tmp_path: Path) -> None:
    error = cannot_read(tmp_path, PermissionError(13, "Permission denied"))
    assert "no permission to read it (change the permissions" in str(error)
    if os.geteuid():
        tmp_path.chmod(0)
        for look in (list_folder, lambda folder: is_folder(folder / "a"), lambda folder: check_file(folder / "a")):
            with pytest.raises(InputError, match="no permission"):
                look(tmp_path)
        tmp_path.chmod(0o755)
