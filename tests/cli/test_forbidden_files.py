"""Files that exist and may not be read, places that may not be written, and too many open files: the cause is said."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from cli.forked import Forks
from PIL import Image

NOBODY = 65534
USER = {"user": NOBODY} if hasattr(os, "geteuid") and os.geteuid() == 0 else {}  # root may read everything


@pytest.fixture
def desk(project: Path) -> Iterator[Path]:
    """Return a folder that anybody may write, with inputs of all kinds; pytest's own is private."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o777)
    for name in ("clip.mp4", "mask.png", "points.csv"):
        shutil.copy(project / name, folder)
    np.savez(folder / "map.npz", parts=np.zeros((96, 128), np.uint8))
    (folder / "set.yaml").write_text("context: 2\n")
    (folder / "w.safetensors").write_bytes(b"none")
    for name in ("frames", "labels", "closed"):
        (folder / name).mkdir()
    Image.new("RGB", (128, 96)).save(folder / "frames/00000.png")
    shutil.copy(folder / "mask.png", folder / "labels/00000.png")
    yield folder
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o777)
    shutil.rmtree(folder)


READING = [
    (("masks", "clip.mp4", "mask.png"), "clip.mp4", 3),
    (("masks", "clip.mp4", "mask.png"), "mask.png", 3),
    (("masks", "frames", "mask.png"), "frames", 3),
    (("masks", "frames", "mask.png"), "frames/00000.png", 3),
    (("masks", "clip.mp4", "labels"), "labels", 3),
    (("masks", "clip.mp4", "labels"), "labels/00000.png", 3),
    (("keypoints", "clip.mp4", "points.csv"), "points.csv", 3),
    (("maps", "clip.mp4", "map.npz"), "map.npz", 3),
    (("masks", "clip.mp4", "mask.png", "--weights", "w.safetensors", "--encoder", "resnet18"), "w.safetensors", 3),
    (("masks", "clip.mp4", "mask.png", "--config", "set.yaml"), "set.yaml", 2),
    (("info", "clip.mp4"), "clip.mp4", 3),
]


@pytest.mark.parametrize(
    ("words", "name", "code"), READING, ids=lambda value: value if isinstance(value, str) else None
)
def test_what_may_not_be_read(words: tuple[str, ...], name: str, code: int, desk: Path, propagate: Forks) -> None:
    (desk / name).chmod(0)
    flags = () if words[0] == "info" else ("-o", "out", *(() if "--encoder" in words else ("--encoder", "rawcolor")))
    ended = propagate(*words, *flags, cwd=desk, **USER)
    lines = ended.err.splitlines()
    assert ended.code == code, ended.err
    assert lines[-1].startswith("propagate: error: ")
    assert Path(name).name in lines[-1]
    assert "permission" in lines[-1].lower()
    assert not (desk / "out").exists()


@pytest.mark.parametrize("out", ["closed/out", "closed"])
def test_where_nothing_may_be_written(out: str, desk: Path, propagate: Forks) -> None:
    (desk / "closed").chmod(0o555)
    ended = propagate("masks", "clip.mp4", "mask.png", "-o", out, "--encoder", "rawcolor", cwd=desk, **USER)
    assert (ended.code, "cannot be written: Permission denied" in ended.err) == (1, True), ended.err


def test_names_that_are_too_long(desk: Path, propagate: Forks) -> None:
    for words in [
        ("masks", "n" * 300 + ".mp4", "mask.png"),
        ("masks", "clip.mp4", "n" * 300 + ".png"),
        ("masks", "clip.mp4", "mask.png", "-o", "n" * 300),
        ("info", "n" * 5000),
    ]:
        ended = propagate(*words, cwd=desk)
        assert ended.code in (1, 2, 3), ended.err
        assert "too long" in ended.err or "longer than" in ended.err
        assert ended.err.count("propagate: error:") == 1


def test_links_in_a_circle(desk: Path, propagate: Forks) -> None:
    (desk / "a").symlink_to("b")
    (desk / "b").symlink_to("a")
    for words in [
        ("info", "a"),
        ("masks", "clip.mp4", "a"),
        ("keypoints", "clip.mp4", "b"),
        ("masks", "a", "mask.png"),
    ]:
        ended = propagate(*words, cwd=desk)
        assert (ended.code, ended.err.count("propagate: error:")) == (3, 1), ended.err
