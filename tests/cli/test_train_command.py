"""`propagate train` from the command line: what it skips, what it refuses, and weights that the other commands take."""

from __future__ import annotations

import re
import shutil
import wave
from pathlib import Path

import numpy as np
import pytest
from cli.forked import Forks
from PIL import Image
from training.small_footage import numbered, panned
from video.video_clips import make_clip

SMALL = ("--size", "32", "--batch", "2", "--threads", "1", "--dtype", "float32", "--rate", "24")


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    for seed in range(2):
        numbered(tmp_path / f"videos/clip{seed}", panned(12, seed=seed, size=(64, 80)))
    (tmp_path / "videos/notes.txt").write_text("no video", encoding="utf-8")
    (tmp_path / "videos/corrupt.mp4").write_bytes(b"\0" * 2000)
    (tmp_path / "videos/empty").mkdir()
    Image.fromarray(np.zeros((64, 80, 3), np.uint8)).save(tmp_path / "videos/one.png")
    make_clip(tmp_path / "videos/short.mp4", frames=1)
    with wave.open(str(tmp_path / "videos/sound.wav"), "wb") as sound:
        sound.setparams((1, 2, 8000, 0, "NONE", "not compressed"))
        sound.writeframes(bytes(8000))
    return tmp_path


HOSTILE = ("notes.txt", "corrupt.mp4", "short.mp4", "sound.wav")  # an empty folder has nothing to skip


def test_weights_of_a_run_carry_masks(videos: Path, propagate: Forks) -> None:
    words = ("train", "videos", *SMALL, "--steps", "2", "--prepare", "small", "--side", "64", "-o", "run")
    result = propagate(*words, cwd=videos)
    assert result.code == 0, result.err
    assert result.out.strip() == "run/best.safetensors"
    assert re.search(
        r"best: L1 \d+\.\d\d at step \d; try: propagate masks .* --weights run/best\.safetensors", result.err
    )
    for name in HOSTILE:
        assert len([line for line in result.err.splitlines() if name in line and "skipped" in line]) == 1, result.err
    mask = np.zeros((64, 80), np.uint8)
    mask[20:40, 20:40] = 1
    Image.fromarray(mask).save(videos / "mask.png")
    carried = propagate("masks", "videos/clip0", "mask.png", "--weights", "run/best.safetensors", "-o", "o", cwd=videos)
    assert (carried.code, len(list((videos / "o/masks").iterdir()))) == (0, 12), carried.err
    again = propagate(*words, cwd=videos)
    assert (again.code, "this run is finished" in again.err, "best: L1" in again.err) == (0, True, True)
    repeated = propagate("train", "--config", "run/run.yaml", "--threads", "1", "-o", "other", "-q", cwd=videos)
    assert (repeated.code, repeated.out.strip()) == (0, "other/best.safetensors"), repeated.err
    assert (videos / "other/best.safetensors").read_bytes() == (videos / "run/best.safetensors").read_bytes()


@pytest.mark.parametrize("prepared", [(), ("--prepare", "small")])
def test_nothing_to_learn_from_is_refused(videos: Path, prepared: tuple[str, ...], propagate: Forks) -> None:
    for seed in range(2):
        shutil.rmtree(videos / f"videos/clip{seed}")
    result = propagate("train", "videos", *SMALL, "--steps", "2", *prepared, cwd=videos)
    assert (result.code, "Traceback" in result.err) == (3, False)
    assert "6 skipped: empty: an empty folder; notes.txt: a text file; sound.wav: a sound file" in result.err
    assert len([line for line in result.err.splitlines() if "error:" in line]) == 1


def test_no_videos_and_no_run_to_repeat_is_a_usage_error(videos: Path, propagate: Forks) -> None:
    result = propagate("train", "--steps", "2", cwd=videos)
    assert (result.code, "no videos are given" in result.err) == (2, True)
    (videos / "plain.yaml").write_text("steps: 2", encoding="utf-8")
    result = propagate("train", "--config", "plain.yaml", cwd=videos)
    assert (result.code, "plain.yaml: names no videos" in result.err) == (2, True)


def test_a_recipe_that_cannot_be_is_one_line(videos: Path, propagate: Forks) -> None:
    result = propagate("train", "videos", *SMALL, "--steps", "2", "--recipe", "wrap:1", cwd=videos)
    assert (result.code, "wrap" in result.err, "Traceback" in result.err) == (2, True, False)


@pytest.mark.parametrize(("word", "kept"), [("full", "null"), ("4", "4")])
def test_attention_that_is_not_restricted_has_a_word(word: str, kept: str, videos: Path, propagate: Forks) -> None:
    words = ("--objective", "corrflow", "--size", "32", "--batch", "1", "--threads", "1", "--steps", "1")
    result = propagate("train", "videos", *words, "--radius", word, "-o", "run", "-q", cwd=videos)
    assert result.code == 0, result.err
    assert f"radius: {kept}\n" in (videos / "run/run.yaml").read_text(encoding="utf-8")
