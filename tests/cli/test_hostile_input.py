"""Bad input gets one line, the right exit code and no file; odd but good input works."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from cli.forked import Forks, Result
from PIL import Image, ImageDraw, ImageFilter
from video.video_clips import TICKS, cut, damage, make_clip, scribble

MASKS = {
    "mask of another size": ("other.png", "mask is 64x48 but the video is 128x96"),
    "empty mask": ("empty.png", "no object, the mask is all background"),
    "anti-aliased mask": ("soft.png", "look like anti-aliasing"),
    "JPEG": ("mask.jpg", "a JPEG cannot be a mask"),
    "300 colours": ("colours.png", "colours are too many for a mask"),
    "missing file": ("none.png", "none.png"),
    "missing frame": ("99=mask.png", "there is no frame 99, the video has 12 frames"),
}
VIDEOS = {
    "empty file": ("empty.mp4", "the file is empty"),
    "text file": ("text.mp4", "looks like a text file"),
    "mp4 without its index": ("cut.mp4", "without its index"),
    "folder without images": ("nothing", "a folder without images"),
    "missing video": ("nowhere.mp4", "no such file"),
}


@pytest.fixture(scope="module")
def hostile(project: Path) -> Path:
    """Return a folder of hostile masks and videos beside the good ones."""
    _masks(project)
    (project / "empty.mp4").touch()
    (project / "text.mp4").write_text("this is no video\n" * 50)
    (project / "nothing").mkdir()
    cut(make_clip(project / "cut.mp4", faststart=False), 0.5)
    return project


def _masks(folder: Path) -> None:
    Image.new("L", (64, 48), 255).save(folder / "other.png")
    Image.new("L", (128, 96)).save(folder / "empty.png")
    disc = Image.new("L", (128, 96))
    ImageDraw.Draw(disc).ellipse((30, 30, 70, 70), fill=255)
    disc.filter(ImageFilter.GaussianBlur(2)).save(folder / "soft.png")
    disc.save(folder / "mask.jpg")
    codes = np.arange(128 * 96).reshape(96, 128) // 40 % 301
    Image.fromarray(np.stack([codes % 256, codes // 256 * 90, codes % 7], -1).astype(np.uint8)).save(
        folder / "colours.png"
    )
    Image.fromarray((np.arange(128 * 96).reshape(96, 128) // 40 % 301).astype(np.uint16)).save(folder / "ids.png")


def refused(result: Result, text: str, *, code: int = 3) -> None:
    """Check that a command line ended with one line of error that holds `text`."""
    errors = [line for line in result.err.splitlines() if line.startswith("propagate: error: ")]
    assert (result.code, len(errors), result.out) == (code, 1, ""), result.err
    assert text in errors[0]
    assert "Traceback" not in result.err


@pytest.mark.parametrize("case", MASKS)
def test_a_bad_mask_is_refused(case: str, hostile: Path, propagate: Forks) -> None:
    word, text = MASKS[case]
    refused(propagate("masks", "clip.mp4", word, "-o", "refused", cwd=hostile), text)
    assert not (hostile / "refused").exists()


@pytest.mark.parametrize("case", VIDEOS)
def test_a_bad_video_is_refused(case: str, hostile: Path, propagate: Forks) -> None:
    name, text = VIDEOS[case]
    refused(propagate("masks", name, "mask.png", "-o", "refused", cwd=hostile), text)
    assert not (hostile / "refused").exists()


def test_300_ids_come_out_as_16_bit(hostile: Path, propagate: Forks) -> None:
    result = propagate("masks", "clip.mp4", "ids.png", "-o", "ids", "--end", "2", cwd=hostile)
    assert result.code == 0, result.err
    with Image.open(hostile / "ids/masks/00000.png") as first, Image.open(hostile / "ids.png") as given:
        assert np.array_equal(np.asarray(first), np.asarray(given))


def test_a_place_that_cannot_be_written(hostile: Path, propagate: Forks) -> None:
    result = propagate("masks", "clip.mp4", "mask.png", "-o", "mask.png/out", cwd=hostile)
    refused(result, "mask.png/out: cannot be written", code=1)


def _whole_mask(folder: Path, *, height: int = 48, width: int = 64) -> Path:
    mask = np.zeros((height, width), np.uint8)
    mask[: height // 4, : width // 4] = 255
    Image.fromarray(mask).save(folder / "corner.png")
    return folder


def _sizes(folder: Path) -> set[tuple[int, int]]:
    sizes = set()
    for path in (folder / "masks").iterdir():
        with Image.open(path) as image:
            sizes.add(image.size)
    return sizes


def test_a_video_corrupt_in_the_middle_is_done_and_says_so(tmp_path: Path, propagate: Forks) -> None:
    damage(make_clip(tmp_path / "a.mp4", frames=50, noise=True), 0.4, 0.5)
    result = propagate("masks", "a.mp4", "corner.png", "-o", "out", "--json", cwd=_whole_mask(tmp_path))
    lines = [json.loads(line) for line in result.out.splitlines()]
    lost = lines[-1]["missing"]
    assert (result.code, len(lines), bool(lost)) == (4, 51, True)
    assert [line["index"] for line in lines[:-1] if line["source"] == "undecodable"] == lost
    assert f"{', '.join(map(str, lost[:20]))}" in result.err
    assert len(list((tmp_path / "out/masks").iterdir())) == 50


def test_a_picture_that_the_decoder_patched_is_named(tmp_path: Path, propagate: Forks) -> None:
    scribble(make_clip(tmp_path / "a.mp4", frames=30, noise=True), 0.3)
    result = propagate("masks", "a.mp4", "corner.png", "-o", "out", "--json", cwd=_whole_mask(tmp_path))
    summary = json.loads(result.out.splitlines()[-1])
    assert (result.code, summary["exit"], bool(summary["patched"])) == (4, 4, True), result.err
    assert "are damaged, shown as far as they decode" in result.err


def test_an_overlay_that_cannot_be_written_is_refused_at_once(hostile: Path, propagate: Forks) -> None:
    words = ("masks", "clip.mp4", "mask.png", "-o", "refused", "--overlay", "mask.png/o.mp4")
    refused(propagate(*words, cwd=hostile), "mask.png/o.mp4: cannot be written", code=1)
    assert not (hostile / "refused").exists()


def test_a_truncated_video_is_done_as_far_as_it_goes(tmp_path: Path, propagate: Forks) -> None:
    cut(make_clip(tmp_path / "a.mkv", frames=50, noise=True), 0.5)
    result = propagate("masks", "a.mkv", "corner.png", "-o", "out", cwd=_whole_mask(tmp_path))
    assert (result.code, "ends early" in result.err) == (4, True)


def test_odd_size_variable_rate_and_rotation_work(tmp_path: Path, propagate: Forks) -> None:
    stamps = [index * TICKS + index % 3 * 100 for index in range(6)]
    make_clip(tmp_path / "a.mkv", frames=6, height=47, width=65, pix_fmt="yuv444p", stamps=stamps, rotation=90)
    words = ("masks", "a.mkv", "corner.png", "-o", "out", "--overlay", "o.mp4")
    result = propagate(*words, cwd=_whole_mask(tmp_path, height=65, width=47))
    times = [json.loads(line)["time"] for line in (tmp_path / "out/results.jsonl").read_text().splitlines()]
    assert (result.code, _sizes(tmp_path / "out")) == (0, {(47, 65)}), result.err
    assert np.allclose(times, np.array(stamps) / TICKS / 25, atol=0.001)
    assert (tmp_path / "o.mp4").stat().st_size > 0


def test_standard_input_may_have_its_index_at_the_end(tmp_path: Path, propagate: Forks) -> None:
    make_clip(tmp_path / "a.mp4", frames=6, faststart=False)
    words = ("masks", "-", "corner.png", "-o", "out")
    first = propagate(*words, cwd=_whole_mask(tmp_path), stdin=tmp_path / "a.mp4")
    again = propagate(*words, cwd=tmp_path, stdin=tmp_path / "a.mp4")
    assert (first.code, len(list((tmp_path / "out/masks").iterdir()))) == (0, 6)
    assert "finished before" in again.err


def test_a_folder_of_images_keeps_its_stems(project: Path, clip: object, propagate: Forks, tmp_path: Path) -> None:
    frames = clip.frames  # type: ignore[attr-defined]
    (tmp_path / "frames").mkdir()
    for index, rgb in enumerate(frames[:4]):
        Image.fromarray(rgb).save(tmp_path / "frames" / f"img{8 + index}.png")
    shutil.copy(project / "mask.png", tmp_path / "img9.png")
    (tmp_path / "labels").mkdir()
    shutil.move(tmp_path / "img9.png", tmp_path / "labels/img9.png")
    result = propagate("masks", "frames", "labels", "--direction", "forward", cwd=tmp_path)
    assert sorted(path.name for path in (tmp_path / "frames.masks/masks").iterdir()) == [
        "img10.png",
        "img11.png",
        "img8.png",
        "img9.png",
    ]
    assert "1 frame before the first label (frame 1) stay empty" in result.err
