"""Label files that are not what their names promise: refused in one line, before anything large is read."""

from __future__ import annotations

import io
import os
import resource
import struct
import time
import zipfile
import zlib
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from propagate.errors import ConfigError, InputError, OutputError
from propagate.formats.annotations import read_masks
from propagate.formats.atomic import encode, make_folder, write_text
from propagate.formats.images import read_picture
from propagate.formats.indexed_png import read_mask
from propagate.formats.label_words import parse_label
from propagate.formats.maps import read_maps
from propagate.formats.points import read_points
from propagate.formats.results import read as read_results
from propagate.formats.tables import decode

FRAMES = ["frame_001", "frame_003", "frame_004", "frame_010"]
NUMBERS = [f"{index:05d}" for index in range(30)]


def mask(path: Path) -> Path:
    Image.fromarray(np.eye(4, 6, dtype=np.uint8) * 255).save(path)
    return path


def frame_of(word: str, *, stems: list[str], from_folder: bool) -> int:
    found = read_masks([word], size=(4, 6), stems=stems, frame_count=len(stems), from_folder=from_folder)
    return found.annotations[0].frame


def test_a_file_named_after_a_frame_of_a_folder_belongs_to_it(tmp_path: Path) -> None:
    path = mask(tmp_path / "frame_003.png")
    assert frame_of(str(path), stems=FRAMES, from_folder=True) == 1
    assert frame_of(f"1={path}", stems=FRAMES, from_folder=True) == 1
    with pytest.raises(InputError, match=r"after frame 1 \(frame_003\) but would be put on frame 3 \(frame_010\)"):
        frame_of(f"3={path}", stems=FRAMES, from_folder=True)
    with pytest.raises(InputError, match=r"frame 0 \(frame_001\).*write 1=.*mask_003.png, or 0="):
        frame_of(str(mask(tmp_path / "mask_003.png")), stems=FRAMES, from_folder=True)
    assert frame_of(f"0={tmp_path / 'mask_003.png'}", stems=FRAMES, from_folder=True) == 0


def test_numbers_of_a_label_for_a_video_are_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert frame_of(str(mask(tmp_path / "cat.png")), stems=NUMBERS, from_folder=False) == 0
    assert frame_of(f"22={mask(tmp_path / 'frame22.png')}", stems=NUMBERS, from_folder=False) == 22
    assert not caplog.records
    assert frame_of(str(tmp_path / "frame22.png"), stems=NUMBERS, from_folder=False) == 0
    assert "is put on frame 0 (00000); if it belongs to 00022, write 22=frame22.png" in caplog.text
    with pytest.raises(InputError, match=r"named after frame 3 \(00003\).*write 3="):
        frame_of(str(mask(tmp_path / "00003.png")), stems=NUMBERS, from_folder=False)
    assert frame_of(f"0={tmp_path / '00003.png'}", stems=NUMBERS, from_folder=False) == 0


def objects(folder: Path, *names: str) -> list[str]:
    """Return files of one object each, which don't cover one another."""
    for row, name in enumerate(names):
        picture = np.zeros((4, 6), np.uint8)
        picture[row] = 255
        Image.fromarray(picture).save(folder / name)
    return [str(folder / name) for name in names]


def test_numbered_objects_of_one_frame_are_no_frames(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    words = objects(tmp_path, "object_001.png", "object_002.png")
    found = read_masks(words, size=(4, 6), stems=FRAMES, frame_count=4, from_folder=True)
    assert [(a.frame, a.ids) for a in found.annotations] == [(0, (1, 2))]
    for names in (("a.png", "b.png"), ("cup_0.png", "cup_1.png"), ("cup_7.png", "b.png"), ("cup_7.png", "b99.png")):
        read_masks(objects(tmp_path, *names), size=(4, 6), stems=NUMBERS, frame_count=30)
    assert not caplog.records


def test_files_of_one_frame_that_are_numbered_as_frames_are_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    words = objects(tmp_path, "frame_0006.png", "frame_0012.png")
    found = read_masks(words, size=(4, 6), stems=NUMBERS, frame_count=30)
    assert [a.frame for a in found.annotations] == [0]
    (said,) = [record.getMessage() for record in caplog.records]
    assert said.startswith("frame_0006.png, frame_0012.png are put on frame 0")
    assert said.endswith("write 6=frame_0006.png 12=frame_0012.png")


def frames_by_step(folder: Path, *names: str, step: int, stems: list[str] = NUMBERS) -> list[int]:
    for name in names:
        folder.mkdir(exist_ok=True)
        mask(folder / f"{name}.png")
    found = read_masks([str(folder)], size=(4, 6), stems=stems, frame_count=len(stems), step=step)
    return [a.frame for a in found.annotations]


@pytest.mark.parametrize(
    ("names", "step", "stems"),
    [
        (("a", "b", "c"), 3, NUMBERS),
        (("m0", "m1", "m2"), 3, NUMBERS),  # files counted from 0
        (("m1", "m2", "m3"), 3, NUMBERS),  # and from 1
        (("m0", "m3", "m6"), 3, NUMBERS),  # frames
        (("m99", "m100", "m101"), 14, ["x"] * 30),  # natural order; the video's frames have no numbers
        (("m100", "m250", "m260"), 3, NUMBERS),  # no numbers of frames
        (("m11", "m13", "m15"), 2, [f"f{number}" for number in range(11, 30)]),
    ],
)
def test_masks_of_every_nth_frame(
    tmp_path: Path, names: tuple[str, ...], step: int, stems: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    assert frames_by_step(tmp_path / "m", *names, step=step, stems=stems) == [0, step, 2 * step]
    assert not caplog.records


@pytest.mark.parametrize(
    ("names", "step", "cause"),
    [
        (("m6", "m9", "m12"), 3, "m6 speaks of frame 6, but is the mask of frame 0 by --label-step 3"),
        (("m0", "m5", "m10"), 10, "m5 speaks of frame 5, but is the mask of frame 10"),
        (("m0", "m3", "m9"), 3, "m9 speaks of frame 9, but is the mask of frame 6"),  # m6 is missing
        (("m7",), 3, "m7 speaks of frame 7, but is the mask of frame 0"),
        (("a", "b", "c"), 15, r"c.png: there is no frame 30"),
    ],
)
def test_masks_of_every_nth_frame_whose_names_contradict_their_order(
    tmp_path: Path, names: tuple[str, ...], step: int, cause: str
) -> None:
    with pytest.raises(InputError, match=cause):
        frames_by_step(tmp_path / "m", *names, step=step)


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (("m01", "m04", "m07"), "m01 speaks of frame 1, but is the mask of frame 0"),  # counted from 1, as ffmpeg does
        (("a", "b7", "c"), "b7 speaks of frame 7, but is the mask of frame 3"),
    ],
)
def test_one_line_says_that_names_and_order_differ(
    tmp_path: Path, names: tuple[str, ...], said: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert frames_by_step(tmp_path / "m", *names, step=3) == [0, 3, 6]
    (record,) = caplog.records
    assert said in record.getMessage()


def test_a_step_is_for_a_folder(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"for a folder of masks, and none is given"):
        read_masks([str(mask(tmp_path / "m.png"))], size=(4, 6), step=3)


def test_a_folder_of_labels_is_matched_by_the_numbers_of_the_frames(tmp_path: Path) -> None:
    for name in ("mask_003.png", "mask_010.png"):
        mask(tmp_path / name)
    found = read_masks([str(tmp_path)], size=(4, 6), stems=FRAMES, frame_count=4, from_folder=True)
    assert [a.frame for a in found.annotations] == [1, 3]
    mask(tmp_path / "mask_002.png")
    with pytest.raises(InputError, match=r"none has the number 2 .*called frame_001 to frame_010"):
        read_masks([str(tmp_path)], size=(4, 6), stems=FRAMES, frame_count=4, from_folder=True)


@pytest.mark.parametrize(
    ("word", "cause"),
    [
        ("5s=m.png", r"by its index, not by seconds \(5s\)"),
        ("1.5s=m.png", "not by seconds"),
        ("-1=m.png", "-1 is no frame"),
        ("1.5=m.png", "1.5 is no frame"),
        ("last=m.png", "last is no frame"),
        ("1" * 5000 + "=m.png", "a frame index of 5000 digits"),
    ],
)
def test_places_that_are_no_frames(word: str, cause: str) -> None:
    with pytest.raises(InputError, match=cause):
        parse_label(word)


def test_files_may_be_called_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    mask(tmp_path / "5s=m.png")
    assert parse_label("5s=m.png").path == Path("5s=m.png")


@pytest.mark.parametrize("suffix", [".png", ".gif", ".tif", ".webp"])
def test_several_pictures_in_one_file_are_refused(tmp_path: Path, suffix: str) -> None:
    pictures = [Image.fromarray(np.eye(8, dtype=np.uint8) * value) for value in (250, 200, 150)]
    path = tmp_path / f"mask{suffix}"
    pictures[0].save(path, save_all=True, append_images=pictures[1:])
    for read in (read_mask, read_picture):
        with pytest.raises(InputError, match="holds 3 (pages|pictures of an animation), not one picture"):
            read(path)


def png(width: int, height: int, *, depth: int, kind: int, rows: bytes) -> bytes:
    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


@pytest.mark.parametrize(("kind", "channels"), [(2, 3), (6, 4), (4, 2)])
def test_deep_colours_could_merge_and_are_refused(tmp_path: Path, kind: int, channels: int) -> None:
    path = tmp_path / "mask.png"
    path.write_bytes(png(2, 2, depth=16, kind=kind, rows=(b"\0" + bytes(4 * channels)) * 2))
    with pytest.raises(InputError, match="16 bits a channel in colour or with alpha, two ids could become one"):
        read_mask(path)


@pytest.mark.parametrize("side", [13000, 30000])
def test_the_size_is_compared_before_pixels_are_read(tmp_path: Path, side: int) -> None:
    path = tmp_path / "mask.png"
    path.write_bytes(png(side, side, depth=8, kind=2, rows=b""))
    before = time.perf_counter()
    with pytest.raises(InputError, match=f"mask is {side}x{side} but the video is 6x4|over 178956970 pixels"):
        read_masks([str(path)], size=(4, 6))
    with pytest.raises(InputError, match=f"picture is {side}x{side} but the video is 6x4|over 178956970 pixels"):
        read_picture(path, size=(4, 6))
    assert time.perf_counter() - before < 1


def test_a_mask_of_twelve_megapixels_is_read_in_small_strips(tmp_path: Path) -> None:
    picture = np.zeros((3000, 4000, 3), np.uint8)
    picture[500:900, 300:2000], picture[1000:2000, 300:2000] = (250, 10, 10), (10, 10, 250)
    Image.fromarray(picture).save(tmp_path / "mask.png", compress_level=1)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert read_mask(tmp_path / "mask.png").objects == (1, 2)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300 * 1024


def test_transparency_that_is_dropped_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    Image.new("RGBA", (4, 4), (9, 9, 9, 255)).save(tmp_path / "opaque.png")
    read_picture(tmp_path / "opaque.png")
    assert not caplog.records
    Image.new("RGBA", (4, 4), (9, 9, 9, 100)).save(tmp_path / "clear.png")
    read_picture(tmp_path / "clear.png")
    assert "transparency is ignored" in caplog.text
    assert read_mask(tmp_path / "clear.png").form.endswith("half transparent pixels taken whole")


def test_a_video_in_the_place_of_a_label(tmp_path: Path) -> None:
    (tmp_path / "clip.mp4").write_bytes(b"\0\0\0\x18ftypmp42")
    with pytest.raises(InputError, match="a video where a picture is expected .*VIDEO LABEL"):
        read_masks([str(tmp_path / "clip.mp4")], size=(4, 6))
    with pytest.raises(InputError, match="a video where a file of points is expected .*VIDEO POINTS"):
        read_points(tmp_path / "clip.mp4")
    with pytest.raises(InputError, match="a folder, not a CSV or JSON file of points"):
        read_points(tmp_path)


def test_a_picture_damaged_anywhere_is_one_line(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for suffix in (".png", ".tif", ".bmp", ".webp", ".gif"):
        picture = Image.fromarray(np.eye(20, dtype=np.uint8) * 200)
        buffer = io.BytesIO()
        picture.save(buffer, {".tif": "TIFF"}.get(suffix, suffix[1:].upper()))
        for _ in range(40):
            data = bytearray(buffer.getvalue())
            for place in random.integers(0, len(data), 4):
                data[place] = random.integers(256)
            path = tmp_path / f"mask{suffix}"
            path.write_bytes(data[: random.integers(len(data) // 2, len(data) + 1)])
            with suppress(InputError):
                read_masks([str(path)], size=(20, 20))


@pytest.mark.parametrize(
    "cell",
    [
        "1_000",
        "0x10",
        "１２",
        "nan",
        "inf",
        "-Infinity",
        "1e400",
        "9" * 400,
        "9" * 5000,
        "1,5",
        "1 2",
        "+-3",
        "1e",
        "²",
    ],
)
def test_numbers_that_people_do_not_mean_are_refused(tmp_path: Path, cell: str) -> None:
    path = tmp_path / "points.csv"
    path.write_text(f'frame,name,x,y\n0,a,"{cell}",2\n', encoding="utf-8")
    with pytest.raises(InputError, match=r"points\.csv, line 2: x of a is (not a number|infinite)") as caught:
        read_points(path)
    assert len(str(caught.value)) < 250 + len(str(path))


@pytest.mark.parametrize("cell", ["1_0", "0x10", "1e1", "３", "-2", "1.5", "nan", "inf", "9" * 5000, "1" * 30])
def test_frames_that_are_no_index_are_refused(tmp_path: Path, cell: str) -> None:
    path = tmp_path / "points.csv"
    path.write_text(f"frame,name,x,y\n0,a,1,2\n{cell},a,1,2\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"points\.csv, line 3: .* is no frame"):
        read_points(path, stems=NUMBERS, frame_count=30)


def test_a_stem_that_python_takes_for_a_number_is_a_stem(tmp_path: Path) -> None:
    path = tmp_path / "points.csv"
    path.write_text("frame,name,x,y\n1_2,a,1,2\n", encoding="utf-8")
    assert read_points(path, stems=["1_1", "1_2"]).annotations[0].frame == 1


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("[" * 200000, "nest too deeply"),
        ('{"0": {"a": ' + "[" * 200000, "nest too deeply"),
        ('{"0": {"a": [NaN, 1]}}', "NaN is not JSON"),
        ('{"0": {"a": [1, Infinity]}}', "Infinity is not JSON"),
        ('{"0": {"a": [1, 1e999]}}', "not a number: '1e999'"),
        ('{"0": {"a": [1, ' + "9" * 400 + "]}}", "not a number: '999"),
        ('{"0": {"a": [1, ' + "9" * 5000 + "]}}", r"not a number: '999.*\(5002 characters\)"),
        ('{"frame": 1, "points": {"a": [1, 2]}}\n{"frame": 2, "points": {"a": [NaN, 2]}}', "line 2: NaN is not JSON"),
    ],
)
def test_json_that_no_one_means_is_refused(tmp_path: Path, text: str, cause: str) -> None:
    path = tmp_path / "points.json"
    path.write_text(text)
    with pytest.raises(InputError, match=f"points.json.*{cause}"):
        read_points(path)


def test_deeplabcut_may_write_nan(tmp_path: Path) -> None:
    path = tmp_path / "points.csv"
    path.write_text("scorer,S,S\nbodyparts,a,a\ncoords,x,y\n0,1,2\n1,NaN,nan\n")
    assert [a.frame for a in read_points(path).annotations] == [0]


def test_points_far_outside_are_refused_with_their_line(tmp_path: Path) -> None:
    path = tmp_path / "points.csv"
    path.write_text("frame,name,x,y\n0,a,1,2\n1,a,900,2\n")
    with pytest.raises(InputError, match=r"line 3: the point a of frame 1 at .* is far outside the 10x5 picture"):
        read_points(path, size=(5, 10))


def npy(shape: str, data: bytes, *, descr: str = "<f4") -> bytes:
    head = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head.encode() + data


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        (npy("(99999, 99999)", b"\0" * 24), "the map 'map' is 99999x99999 but the video is 3x2"),
        (npy("(2, 3, 99999999999)", b"\0" * 24), "bytes, but holds 24"),
        (npy("(2, 3)", b"\0" * 20), "24 bytes, but holds 20"),
        (npy("(2, 3)", b"\0" * 48), "24 bytes, but holds 48"),
        (npy("(2, -3)", b"\0" * 24), r"must be \(H, W\) or \(H, W, d\), not \(2, -3\)"),
        (npy("(" + "1, " * 40 + ")", b"\0" * 4), "not an array of 40 axes"),
        (npy("(2, 3)", b"\0" * 48, descr="|O"), "holds Python objects"),
        (npy("(2, 'x')", b"\0" * 24), "not a .npy or .npz file of numbers"),
        (b"\x93NUMPY\x01\x00\xff\xff", "not a .npy or .npz file of numbers"),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_heads_that_lie(tmp_path: Path, content: bytes, cause: str, packed: bool) -> None:
    path = tmp_path / "map.npz"
    if packed:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("map.npy", content)
    else:
        path.write_bytes(content)
    with pytest.raises(InputError, match=cause):
        read_maps(path, size=(2, 3))


def test_members_that_unpack_to_gigabytes_are_not_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "map.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("map.npy", "w") as member:
        member.write(npy("(2, 3, 2000000)", b""))
        for _ in range(48):
            member.write(bytes(1000000))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(InputError, match="is 3x2 but the video is 4x4"):
        read_maps(path, size=(4, 4))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20 * 1024


def test_names_that_are_not_utf8_are_written_and_come_back(tmp_path: Path) -> None:
    stem = os.fsdecode(b"caf\xe9")
    write_text(tmp_path / "a.csv", f"frame,name,x,y\n{stem},a,1,2\n")
    assert (tmp_path / "a.csv").read_bytes().decode().splitlines()[1] == r"caf\udce9,a,1,2"
    assert read_points(tmp_path / "a.csv", stems=["x", stem]).annotations[0].frame == 1
    assert decode(encode(stem).decode()) == stem
    (tmp_path / "r.jsonl").write_bytes(encode(f'{{"index": 0, "stem": "{stem}"}}\n'))
    assert read_results(tmp_path / "r.jsonl")[0]["stem"] == stem


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    assert make_folder(tmp_path / "a" / "b").is_dir()
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="file: cannot be made: File exists"):
        make_folder(tmp_path / "file")
