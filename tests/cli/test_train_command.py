"""`propagate train` from the command line: what it skips, what it refuses, and weights that the other commands take."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from cli.forked import Forks
from PIL import Image
from training.small_footage import numbered, panned

SMALL = ("--objective", "propagate", "--size", "32", "--batch", "2", "--threads", "1", "--dtype", "float32")


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    for seed in range(2):
        numbered(tmp_path / f"videos/clip{seed}", panned(12, seed=seed, size=(64, 80)))
    (tmp_path / "videos/notes.txt").write_text("no video", encoding="utf-8")
    (tmp_path / "videos/corrupt.mp4").write_bytes(b"\0" * 2000)
    (tmp_path / "videos/empty").mkdir()
    Image.fromarray(np.zeros((64, 80, 3), np.uint8)).save(tmp_path / "videos/one.png")
    return tmp_path


def test_weights_of_a_run_carry_masks(videos: Path, propagate: Forks) -> None:
    words = ("train", "videos", *SMALL, "--steps", "2", "--prepare", "small", "--side", "64", "-o", "run")
    result = propagate(*words, cwd=videos)
    assert result.code == 0, result.err
    assert result.out.strip() == "run/best.safetensors"
    assert "corrupt.mp4" in result.err
    mask = np.zeros((64, 80), np.uint8)
    mask[20:40, 20:40] = 1
    Image.fromarray(mask).save(videos / "mask.png")
    carried = propagate("masks", "videos/clip0", "mask.png", "--weights", "run/best.safetensors", "-o", "o", cwd=videos)
    assert (carried.code, len(list((videos / "o/masks").iterdir()))) == (0, 12), carried.err
    again = propagate(*words, cwd=videos)
    assert (again.code, "this run is finished" in again.err) == (0, True)


def test_nothing_to_learn_from_is_refused(tmp_path: Path, propagate: Forks) -> None:
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos/notes.txt").write_text("no video", encoding="utf-8")
    result = propagate("train", "videos", *SMALL, "--steps", "2", cwd=tmp_path)
    assert (result.code, "Traceback" in result.err) == (3, False)
    assert len([line for line in result.err.splitlines() if "error:" in line]) == 1


def test_a_recipe_that_cannot_be_is_one_line(videos: Path, propagate: Forks) -> None:
    result = propagate("train", "videos", *SMALL, "--steps", "2", "--recipe", "wrap:1", cwd=videos)
    assert (result.code, "wrap" in result.err, "Traceback" in result.err) == (2, True, False)
