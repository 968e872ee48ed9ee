"""Folders of images as videos."""

import os
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from PIL import Image
from video.video_clips import cut, picture

from propagate.errors import InputError
from propagate.files import natural_key
from propagate.values import Frame
from propagate.video import probe, read_video
from propagate.video.folder import missing_numbers


def save(folder: Path, *names: str) -> Path:
    """Save `picture(i)` under the i-th name."""
    for index, name in enumerate(names):
        Image.fromarray(picture(index)).save(folder / name)
    return folder


def frames_of(folder: Path, **options: object) -> list[Frame]:
    with read_video(folder, **options) as reader:  # type: ignore[arg-type]
        return list(reader)


def test_numbers_sort_as_numbers() -> None:
    names = ["frame10", "frame9", "Frame1", "b", "a2", "a10"]
    assert sorted(names, key=natural_key) == ["a2", "a10", "b", "Frame1", "frame9", "frame10"]


def test_mixed_types_and_gaps_keep_their_order_and_stems(tmp_path: Path) -> None:
    frames = frames_of(save(tmp_path, "f2.png", "f9.tif", "f10.bmp", "f30.webp", "f100.jpg"))
    assert [(frame.index, frame.stem) for frame in frames] == [
        (0, "f2"),
        (1, "f9"),
        (2, "f10"),
        (3, "f30"),
        (4, "f100"),
    ]
    assert [frame.time for frame in frames] == [index / 24 for index in range(5)]
    for frame in frames[:3]:
        assert_array_equal(frame.rgb, picture(frame.index))


def test_a_folder_is_described_and_cut(tmp_path: Path) -> None:
    info = probe(save(tmp_path, "1.png", "2.png", "3.png"))
    assert (info.kind, info.frames, info.size, info.codec) == ("folder", 3, (48, 64), "png")
    assert [frame.index for frame in frames_of(tmp_path, start=1, end=2)] == [1]


@pytest.mark.parametrize(("orientation", "turns"), [(3, 2), (6, 3), (8, 1)])
def test_exif_orientation_is_applied(tmp_path: Path, orientation: int, turns: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(picture(0)).save(tmp_path / "a.png", exif=exif)
    assert_array_equal(frames_of(tmp_path)[0].rgb, np.rot90(picture(0), turns))


def test_sixteen_bit_grey_keeps_its_depth_in_the_luma(tmp_path: Path) -> None:
    deep = (np.arange(48 * 64, dtype=np.uint16) * 21).reshape(48, 64)
    Image.fromarray(deep).save(tmp_path / "a.png")
    (frame,) = frames_of(tmp_path, luma=True)
    assert_array_equal(frame.luma, deep)
    assert_array_equal(frame.rgb[..., 1], deep >> 8)


def test_palettes_and_grey_become_rgb(tmp_path: Path) -> None:
    indexed = Image.fromarray(np.full((4, 4), 1, np.uint8))
    indexed.putpalette([0, 0, 0, 200, 30, 60] + [0] * 762)
    indexed.save(tmp_path / "a.png")
    Image.new("L", (4, 4), 99).save(tmp_path / "b.png")
    Image.new("RGBA", (4, 4), (1, 2, 3, 0)).save(tmp_path / "c.png")
    assert [frame.rgb[0, 0].tolist() for frame in frames_of(tmp_path)] == [[200, 30, 60], [99, 99, 99], [1, 2, 3]]


@pytest.mark.parametrize("keep", [0.0, 0.1, 0.6])
def test_a_broken_image_keeps_its_place(tmp_path: Path, keep: float) -> None:
    save(tmp_path, "1.png", "2.png", "3.png")
    cut(tmp_path / "2.png", keep)
    with read_video(tmp_path) as reader:
        frames = list(reader)
    assert reader.missing == [1]
    assert [frame.undecodable for frame in frames] == [False, True, False]
    assert_array_equal(frames[1].rgb, frames[0].rgb)


def test_sizes_that_differ_are_refused(tmp_path: Path) -> None:
    save(tmp_path, "1.png", "2.png")
    Image.new("RGB", (9, 8)).save(tmp_path / "3.png")
    with pytest.raises(InputError, match=r"3\.png is 9x8 but 1\.png is 64x48"):
        read_video(tmp_path)


def test_equal_stems_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a\.jpg and a\.png have the same stem"):
        read_video(save(tmp_path, "a.jpg", "a.png"))


def test_nothing_readable_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"no")
    with pytest.raises(InputError, match="none of its 1 images can be read"):
        probe(tmp_path)


def test_gaps_between_numbers_are_said(tmp_path: Path) -> None:
    info = probe(save(tmp_path, "f_001.png", "f_003.png", "f_004.png", "f_010.png"))
    assert info.notes == info.problems
    assert "numbers are missing between the images' own: 2, 5 to 9" in info.notes[0]


@pytest.mark.parametrize(
    ("stems", "gaps"),
    [
        (["1", "2", "3"], ""),
        (["10", "20", "30", "40"], ""),  # the step is meant
        (["a", "1"], ""),
        (["1", "3", "5", "6"], "2, 4"),
        (["7", "8", "11"], "9 to 10"),
        (
            [str(number) for number in range(0, 30, 3)] + ["28"],
            "1 to 2, 4 to 5, 7 to 8, 10 to 11, 13 to 14 and 4 more gaps",
        ),
    ],
)
def test_which_numbers_are_missing(stems: list[str], gaps: str) -> None:
    assert missing_numbers(stems) == gaps


def test_what_is_no_picture_among_pictures(tmp_path: Path) -> None:
    save(tmp_path, "1.png", "2.png")
    (tmp_path / "3.png").mkdir()
    os.mkfifo(tmp_path / "4.png")
    (tmp_path / "5.png").symlink_to("5.png")
    (tmp_path / ".DS_Store").touch()
    info = probe(tmp_path)
    assert info.frames == 3
    assert any("not pictures, passed over: 3.png, 4.png" in line for line in info.notes)
    assert any("1 image cannot be read, the first is 5.png: its links lead" in line for line in info.notes)
    assert [frame.undecodable for frame in frames_of(tmp_path)] == [False, False, True]


def test_what_is_dropped_from_pictures_is_said(tmp_path: Path) -> None:
    Image.new("RGBA", (8, 8), (1, 2, 3, 4)).save(tmp_path / "1.png")
    Image.new("L", (8, 8)).save(tmp_path / "2.webp", save_all=True, append_images=[Image.new("L", (8, 8), 99)])
    notes = " ".join(probe(tmp_path).notes)
    assert "transparency is dropped" in notes
    assert "only the first picture of files that hold several is used: 2.webp" in notes
