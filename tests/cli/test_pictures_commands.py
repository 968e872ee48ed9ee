"""`propagate colorize`, `texture`, `labels` and `visualize` as typed: names of results, messages, exit codes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml
from cli.forked import Forks
from PIL import Image

from propagate.video import probe
from rendered import Clip

QUICK = ("--context", "2")


@pytest.fixture(scope="session")
def pictures(project: Path, clip: Clip) -> Path:
    """Return the project's folder with first.png in colour, paint.png, and map.npz."""
    Image.fromarray(clip.frames[0]).save(project / "first.png")
    paint = np.zeros((96, 128, 4), np.uint8)
    paint[clip.masks[0] > 0] = (255, 0, 255, 255)
    Image.fromarray(paint).save(project / "paint.png")
    np.savez(project / "map.npz", parts=clip.masks[0])
    return project


@pytest.mark.parametrize(
    ("words", "out", "said"),
    [
        (("colorize", "clip.mp4", "first.png"), "clip.colorized.mp4", "propagate: frame 0: first.png\n"),
        (("texture", "clip.mp4", "paint.png"), "clip.textured.mp4", "frame 0: paint.png: paint on "),
        (("maps", "clip.mp4", "map.npz"), "clip.maps", "parts: 2 categories (0, 1)"),
        (("visualize", "clip.mp4"), "clip.embedding.mp4", "features of the first 12 frames vary most"),
        (("visualize", "clip.mp4", "--point", "60,50"), "clip.pointing.png", ""),
    ],
)
def test_results_are_called_after_the_video(
    pictures: Path, propagate: Forks, words: tuple[str, ...], out: str, said: str
) -> None:
    result = propagate(*words, *QUICK, cwd=pictures)
    assert (result.code, result.out) == (0, f"{out}\n"), result.err
    assert said in result.err
    record = pictures / out / "run.yaml" if out.endswith("maps") else pictures / f"{out}.run.yaml"
    assert yaml.safe_load(record.read_text())["settings"]["context"] == 2
    if out.endswith(".mp4"):
        assert probe(pictures / out).pts == probe(pictures / "clip.mp4").pts


def test_saturation_is_said(pictures: Path, propagate: Forks) -> None:
    result = propagate("colorize", "clip.mp4", "first.png", "-o", "said.mp4", "--end", "3", *QUICK, cwd=pictures)
    assert "propagate: mean saturation " in result.err
    assert (
        propagate("colorize", "clip.mp4", "first.png", "-o", "said.mp4", "--end", "3", "-q", *QUICK, cwd=pictures).err
        == ""
    )


def test_the_codec_names_the_file(pictures: Path, propagate: Forks) -> None:
    result = propagate("colorize", "clip.mp4", "first.png", "--codec", "ffv1", "--end", "2", *QUICK, cwd=pictures)
    assert result.out == "clip.colorized.mkv\n"
    assert probe(pictures / "clip.colorized.mkv").codec == "ffv1"


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("colorize", "clip.mp4", "nothing.png"), 3, "nothing.png: there is no such file"),
        (("colorize", "clip.mp4", "first.png", "--codec", "av1"), 2, "no codec is called 'av1'"),
        (("colorize", "clip.mp4", "first.png", "--pix-fmt", "bgr0", "--codec", "ffv1"), 2, "cannot keep the luma"),
        (("texture", "clip.mp4", "paint.png", "--pix-fmt", "none"), 2, "h264 cannot store none"),
        (("colorize", "clip.mp4", "first.png", "-o", "out.avi"), 2, "cannot write a video ending in '.avi'"),
        (("texture", "clip.mp4", "50=paint.png"), 3, "there is no frame 50"),
        (("maps", "clip.mp4", "first.png"), 3, "not a .npy or .npz file"),
        (("visualize", "clip.mp4", "--point", "900,0"), 2, "outside of the video, which is 128x96"),
    ],
)
def test_what_is_refused_in_one_line(
    pictures: Path, propagate: Forks, words: tuple[str, ...], code: int, said: str
) -> None:
    before = sorted(pictures.iterdir())
    result = propagate(*words, cwd=pictures)
    assert (result.code, result.out) == (code, "")
    assert result.err.count("\n") == 1
    assert said in result.err
    assert sorted(pictures.iterdir()) == before
