"""Whatever is wrong with what was typed: one line that says so, the right code, and no file or folder left behind."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from cli.forked import Forks
from PIL import Image

QUICK = ("--encoder", "rawcolor")
COMMANDS = {
    "masks": ("masks", "clip.mp4", "mask.png", "-o", "out"),
    "keypoints": ("keypoints", "clip.mp4", "points.csv", "-o", "out"),
    "colorize": ("colorize", "clip.mp4", "first.png", "-o", "out.mp4"),
    "texture": ("texture", "clip.mp4", "paint.png", "-o", "out"),
    "maps": ("maps", "clip.mp4", "map.npz", "-o", "out"),
    "visualize": ("visualize", "clip.mp4", "-o", "out.mp4"),
}
# What every command that takes settings refuses, each with its code.
SETTINGS = [
    (("--stride", "1"), 2),  # rawcolor has cells of 4 pixels
    (("--stride", "0"), 2),
    (("--radius", "-1"), 2),
    (("--radius", "wide"), 2),
    (("--topk", "0"), 2),
    (("--size", "3"), 2),
    (("--size", "12xy"), 2),
    (("--similarity", "likeness"), 2),
    (("--encoder", "resnet81"), 2),
    (("--encoder", "resnet50"), 3),
    (("--weights", "nothing"), 3),
    (("--weights", "clip.mp4"), 3),
    (("--preset", "best"), 2),
    (("--quality", "beste"), 2),
    (("--config", "none.yaml"), 2),
    (("--config", "typo.yaml"), 2),
    (("--config", "clip.mp4"), 2),
    (("--device", "cuda:77"), 1),
    (("--device", "abacus"), 1),
    (("--dtype", "float33"), 2),
    (("--threads", "0"), 2),
    (("--seed", "-1"), 2),
    (("--start", "soon"), 2),
    (("--start", "40"), 2),
    (("--start", "5", "--end", "5"), 2),
    (("--nothing",), 2),
]
# What a command refuses by itself.
OWN = [
    ("masks", ("--binary", "--ids"), 2),
    ("masks", ("--overlay", "o.txt"), 2),
    ("masks", ("--fail-under", "7"), 2),
    ("masks", ("--start", "3"), 3),
    ("keypoints", ("--format", "xml"), 2),
    ("keypoints", ("--skeleton", "p0-p9"), 2),
    ("keypoints", ("--skeleton", "p0"), 2),
    ("keypoints", ("--overlay", "o.txt"), 2),
    ("colorize", ("--codec", "av1"), 2),
    ("colorize", ("--crf", "99"), 2),
    ("colorize", ("--codec", "ffv1", "--pix-fmt", "bgr0"), 2),
    ("colorize", ("-o", "out.avi"), 2),
    ("texture", ("--pix-fmt", "none"), 2),
    ("maps", ("--categories", "--values"), 2),
    ("visualize", ("--frame", "3"), 2),
    ("visualize", ("--point", "900,0"), 2),
    ("visualize", ("--point", "middle"), 2),
    ("visualize", ("--point", "3,3", "--frame", "99"), 2),
]
# Arguments in a wrong place: what is said holds these words.
ARGUMENTS = [
    (("masks", "mask.png", "clip.mp4"), "mask.png: a single picture"),
    (("masks", "clip.mp4", "clip.mp4"), "clip.mp4"),
    (("masks", "clip.mp4", "points.csv"), "points.csv"),
    (("masks", "clip.mp4", "5s=mask.png"), "5s=mask.png"),
    (("masks", "clip.mp4", "5=none.png"), "none.png"),
    (("masks", "clip.mp4", "5="), "5="),
    (("masks", "https://example.org/clip.mp4", "mask.png"), "https://example.org/clip.mp4"),
    (("masks", "none.mp4", "mask.png"), "none.mp4"),
    (("masks", "points.csv", "mask.png"), "points.csv"),
    (("keypoints", "points.csv", "clip.mp4"), "points.csv"),
    (("keypoints", "clip.mp4", "mask.png"), "mask.png"),
    (("keypoints", "clip.mp4", "."), "."),
    (("colorize", "first.png", "clip.mp4"), "first.png: a single picture"),
    (("texture", "clip.mp4", "points.csv"), "points.csv"),
    (("texture", "clip.mp4", "50=paint.png"), "there is no frame 50"),
    (("maps", "clip.mp4", "first.png"), "first.png"),
    (("info", "mask.csv"), "mask.csv"),
    (("visualize", "points.csv"), "points.csv"),
    (("evaluate", "davis", "nowhere", "-m", "identity"), "nowhere"),
    (("evaluate", "davis", "clip.mp4", "-m", "identity"), "clip.mp4"),
    (("evaluate", "colors", "nowhere", "-m", "identity"), "nowhere"),
    (("train", "nowhere"), "nowhere"),
    (("weights", "show", "clip.mp4"), "clip.mp4"),
]


@pytest.fixture(scope="module")
def desk(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with an input of each kind, and nothing else."""
    folder = tmp_path_factory.mktemp("desk")
    for name in ("clip.mp4", "mask.png", "points.csv"):
        shutil.copy(project / name, folder)
    with Image.open(folder / "mask.png") as mask:
        ids = np.array(mask)
    Image.fromarray(np.dstack([ids * 50, ids * 20, 255 - ids])).save(folder / "first.png")
    Image.fromarray(np.dstack([ids * 50, ids * 20, 255 - ids, (ids > 0) * np.uint8(255)])).save(folder / "paint.png")
    np.savez(folder / "map.npz", parts=ids)
    (folder / "typo.yaml").write_text("radios: 3\n")
    return folder


def check_refused(propagate: Forks, desk: Path, *words: str) -> tuple[int, str]:
    """Return code and line of a command line that must leave nothing behind."""
    before = sorted(desk.rglob("*"))
    ended = propagate(*words, cwd=desk)
    left = sorted(path for path in desk.rglob("*") if path not in before)
    for path in reversed(left):
        path.unlink() if path.is_file() else path.rmdir()
    errors = [line for line in ended.err.splitlines() if line.startswith("propagate: error: ")]
    assert (len(errors), ended.out) == (1, ""), ended.err
    assert ended.err.splitlines()[-1] == errors[0]
    assert "Traceback" not in ended.err
    assert "Error:" not in errors[0]
    assert left == []
    return ended.code, errors[0]


@pytest.mark.parametrize(
    ("flags", "code"), SETTINGS, ids=lambda value: " ".join(value) if isinstance(value, tuple) else None
)
def test_a_setting_that_cannot_be(flags: tuple[str, ...], code: int, desk: Path, propagate: Forks) -> None:
    for words in COMMANDS.values():
        assert check_refused(propagate, desk, *words, *QUICK, *flags)[0] == code, words


@pytest.mark.parametrize(("command", "flags", "code"), OWN, ids=str)
def test_an_option_that_cannot_be(
    command: str, flags: tuple[str, ...], code: int, desk: Path, propagate: Forks
) -> None:
    assert check_refused(propagate, desk, *COMMANDS[command], *QUICK, *flags)[0] == code


@pytest.mark.parametrize(("words", "said"), ARGUMENTS, ids=[" ".join(words) for words, _ in ARGUMENTS])
def test_arguments_in_a_wrong_place(words: tuple[str, ...], said: str, desk: Path, propagate: Forks) -> None:
    out = {"info": (), "weights": (), "visualize": ("-o", "out.mp4")}.get(words[0], ("-o", "out"))
    code, line = check_refused(propagate, desk, *words, *out)
    assert (code, said in line) == (3, True), line
