"""Frames as the reader gives them: upright, at their own index and time, in their own colours."""

import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.testing import assert_array_equal
from PIL import Image
from video.video_clips import RATE, cut, damage, make_clip, packet_times, picture

from propagate.errors import ConfigError, InputError
from propagate.values import Frame
from propagate.video import read_video
from propagate.video.reader import locate
from rendered import render


def frames_of(path: Path, **options: object) -> list[Frame]:
    with read_video(path, **options) as reader:  # type: ignore[arg-type]
        return list(reader)


def error(left: np.ndarray, right: np.ndarray) -> float:  # type: ignore[type-arg]
    return float(np.abs(left.astype(float) - right.astype(float)).mean())


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov"])
def test_every_frame_comes_once_in_order(tmp_path: Path, suffix: str) -> None:
    frames = frames_of(make_clip(tmp_path / f"a{suffix}"))
    assert [frame.index for frame in frames] == list(range(12))
    assert [frame.stem for frame in frames][:2] == ["00000", "00001"]
    assert [frame.time for frame in frames] == pytest.approx([index / RATE for index in range(12)])
    assert all(error(frame.rgb, picture(frame.index)) < 4 for frame in frames)


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt"),
    [
        ("a.avi", "libx264", "yuv420p"),  # B-frames without times of their own
        ("a.h264", "libx264", "yuv420p"),  # no times at all
        ("a.ts", "libx264", "yuv420p"),  # a clock that starts at 1.4 s
        ("a.webm", "libvpx", "yuv420p"),
        ("a.y4m", "rawvideo", "yuv420p"),
        ("a.avi", "rawvideo", "yuyv422"),
        ("a.nut", "rawvideo", "nv12"),
    ],
)
@pytest.mark.parametrize("start", [0, 7])
def test_other_containers_lose_nothing(tmp_path: Path, name: str, codec: str, pix_fmt: str, start: int) -> None:
    path = make_clip(tmp_path / name, codec=codec, pix_fmt=pix_fmt)
    with read_video(path, start=start, luma=True) as reader:
        frames = list(reader)
    assert reader.missing == []
    assert [frame.index for frame in frames] == list(range(start, 12))
    assert all(error(frame.rgb, picture(frame.index)) < 7 for frame in frames)
    assert frames[-1].time - frames[0].time == pytest.approx((11 - start) / RATE)


def test_times_of_a_variable_rate_are_the_packets_own(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.mp4", frames=5, stamps=[0, 512, 700, 4000, 4100])
    assert [frame.time for frame in frames_of(path)] == pytest.approx([float(time) for time in packet_times(path)])


def test_frames_with_one_time_are_all_given(tmp_path: Path) -> None:
    frames = frames_of(make_clip(tmp_path / "a.mkv", frames=5, stamps=[0, 2, 4, 1400, 2000]))
    assert [(frame.index, frame.undecodable) for frame in frames] == [(index, False) for index in range(5)]


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
@pytest.mark.parametrize("mirrored", [False, True])
def test_pictures_are_turned_as_displayed(tmp_path: Path, rotation: int, mirrored: bool) -> None:
    path = make_clip(tmp_path / "a.mp4", frames=1, rotation=rotation, mirrored=mirrored)
    wanted = np.rot90(picture(0), rotation // 90)
    wanted = wanted[:, ::-1] if mirrored else wanted  # PyAV's set_display_rotation mirrors after the turn
    (frame,) = frames_of(path, luma=True)
    assert error(frame.rgb, wanted) < 4
    assert frame.luma is not None
    assert frame.luma.shape == wanted.shape[:2]
    assert frame.luma[wanted.min(axis=2) == 255].mean() > 225
    assert error(frames_of(path, autorotate=False)[0].rgb, picture(0)) < 4


@pytest.mark.parametrize(("matrix", "height"), [(1, 48), (6, 48), (9, 48), (6, 720), (1, 720)])
@pytest.mark.parametrize("span", [1, 2])
def test_a_known_colour_comes_back_under_every_tag(tmp_path: Path, matrix: int, height: int, span: int) -> None:
    path = make_clip(tmp_path / "a.mp4", frames=1, height=height, width=16, color=(matrix, span), patch=(200, 30, 60))
    assert np.abs(frames_of(path)[0].rgb.astype(int) - (200, 30, 60)).max() <= 2


def test_untagged_709_of_a_small_picture_needs_the_matrix_named(tmp_path: Path) -> None:
    import av

    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("ffv1", rate=25)
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        rgb = av.VideoFrame.from_ndarray(np.full((48, 64, 3), (200, 30, 60), np.uint8))
        out.mux(stream.encode(rgb.reformat(format="yuv420p", dst_colorspace=1, dst_color_range=1)))
        out.mux(stream.encode())
    assert np.abs(frames_of(path, matrix="709")[0].rgb.astype(int) - (200, 30, 60)).max() <= 2
    assert np.abs(frames_of(path)[0].rgb.astype(int) - (200, 30, 60)).max() > 8


@pytest.mark.parametrize(("pix_fmt", "top", "dtype"), [("yuv420p", 235, np.uint8), ("yuv420p10le", 940, np.uint16)])
def test_luma_is_the_streams_own_plane(tmp_path: Path, pix_fmt: str, top: int, dtype: type) -> None:
    (frame,) = frames_of(make_clip(tmp_path / "a.mp4", frames=1, pix_fmt=pix_fmt, patch=(255, 255, 255)), luma=True)
    assert frame.luma is not None
    assert frame.luma.dtype == dtype
    assert np.abs(frame.luma.astype(int) - top).max() <= 1  # white in limited range
    assert frame.rgb.min() >= 253


def test_luma_of_rgb_is_computed_in_full_range(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.mkv", frames=1, codec="ffv1", pix_fmt="bgr0", patch=(200, 30, 60))
    (frame,) = frames_of(path, luma=True)
    assert frame.luma is not None
    assert np.unique(frame.luma).tolist() == [84]  # 0.299 * 200 + 0.587 * 30 + 0.114 * 60 = 84.25


def test_odd_sizes_are_read(tmp_path: Path) -> None:
    (frame,) = frames_of(
        make_clip(tmp_path / "a.mkv", frames=1, height=47, width=63, codec="ffv1", pix_fmt="yuv420p"), luma=True
    )
    assert frame.luma is not None
    assert (frame.size, frame.luma.shape) == ((47, 63), (47, 63))


@pytest.mark.parametrize("start", [1, 6, 7, 11])
def test_a_part_has_the_frames_of_the_whole(tmp_path: Path, start: int) -> None:
    path = make_clip(tmp_path / "a.mp4")
    whole, part = frames_of(path), frames_of(path, start=start, end=12)
    assert [frame.index for frame in part] == list(range(start, 12))
    for frame in part:
        assert_array_equal(frame.rgb, whole[frame.index].rgb)


def write_rendered(path: Path, *, rotation: int) -> Path:
    """Write a rendered clip, and return its path."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=RATE)
        stream.height, stream.width, stream.pix_fmt = 96, 128, "yuv420p"
        stream.codec_context.gop_size = 6
        stream.codec_context.options = {"crf": "18", "preset": "ultrafast", "bf": "2"}
        if rotation:
            stream.set_display_rotation(rotation)
        for rgb in render(size=(96, 128), frames=25).frames:
            out.mux(stream.encode(av.VideoFrame.from_ndarray(rgb).reformat(format="yuv420p")))
        out.mux(stream.encode())
    return path


def as_folder(frames: list[Frame], folder: Path) -> Path:
    """Save frames as pictures, and return their folder."""
    folder.mkdir()
    for frame in frames:
        Image.fromarray(frame.rgb).save(folder / f"{frame.index}.png")
    return folder


@pytest.fixture(scope="module", params=["file", "turned", "folder"])
def clip(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a rendered clip of 25 frames, with B-frames and a keyframe every sixth; or its pictures."""
    place = tmp_path_factory.mktemp("clip")
    rotation = 90 if request.param == "turned" else 0
    path = write_rendered(place / "a.mp4", rotation=rotation)
    return as_folder(frames_of(path), place / "pictures") if request.param == "folder" else path


def assert_same(frames: list[Frame], others: list[Frame]) -> None:
    """Hold frames equal in all that they say, and to the last bit of their pictures."""
    assert [frame.index for frame in frames] == [frame.index for frame in others]
    for frame, other in zip(frames, others, strict=True):
        for name in ("time", "stem", "pts", "undecodable"):
            assert getattr(frame, name) == getattr(other, name)
        assert_array_equal(frame.rgb, other.rgb)
        assert (frame.luma is None) == (other.luma is None)
        assert frame.luma is None or other.luma is None or (frame.luma == other.luma).all()


@pytest.mark.parametrize("luma", [False, True])
def test_parts_and_single_frames_are_those_of_the_whole(clip: Path, luma: bool) -> None:
    whole = frames_of(clip, luma=luma)
    assert len({frame.rgb.tobytes() for frame in whole}) == len(whole) == 25
    with read_video(clip, luma=luma) as reader:
        for first, last in [(0, 25), (0, 1), (5, 9), (6, 7), (11, 13), (20, 25), (24, 25), (7, 7)]:
            assert_same(list(reader.part(first, last)), whole[first:last])
        assert_same([reader.frame(index) for index in reversed(range(25))], whole[::-1])


@pytest.mark.parametrize("held", [1, 4, 10, 1000])
def test_backward_is_forward_the_other_way(clip: Path, held: int, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = frames_of(clip)
    monkeypatch.setattr("propagate.video.reader.HELD", held * whole[0].rgb.nbytes)
    with read_video(clip) as reader:
        for first, last in [(0, 25), (3, 17), (24, 25), (7, 7)]:
            assert_same(list(reader.backward(first, last)), whole[first:last][::-1])


def test_backward_holds_a_short_part_at_a_time(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with read_video(clip) as reader:
        height, width = reader.info.size
        monkeypatch.setattr("propagate.video.reader.HELD", 4 * 3 * height * width)
        asked: list[tuple[int, int]] = []
        part = reader.part
        monkeypatch.setattr(reader, "part", lambda first, last: asked.append((first, last)) or part(first, last))
        assert len(list(reader.backward(2, 12))) == 10
    assert asked == [(8, 12), (4, 8), (2, 4)]


def test_reading_at_other_places_says_nothing_of_what_is_missing(tmp_path: Path) -> None:
    path = damage(make_clip(tmp_path / "a.mp4", frames=60, noise=True), 0.4, 0.5)
    with read_video(path) as reader:
        whole = list(reader)
        missing, patched = list(reader.missing), list(reader.patched)
        single = [reader.frame(index) for index in range(60)]
        behind = list(reader.backward(0, 60))[::-1]
        assert (reader.missing, reader.patched) == (missing, patched)
    assert missing
    for found in (single, behind):
        assert [frame.index for frame in found if frame.undecodable] == missing
        assert_same(
            [one for one in found if one.index not in {*missing, *patched}],
            [one for one in whole if one.index not in {*missing, *patched}],
        )


TWICE = """
import sys
from contextlib import closing
from propagate.engine.ahead import ahead
from propagate.video import read_video

with read_video(sys.argv[1]) as reader:
    whole = [frame.rgb.copy() for frame in reader]
    with closing(ahead(frame for _ in range(2) for frame in reader)) as frames:
        for frame in frames:  # decoded in another thread
            index = 7 * frame.index % len(whole)
            assert (frame.rgb == whole[frame.index]).all()
            assert (reader.frame(index).rgb == whole[index]).all()
"""


def test_a_frame_can_be_read_while_the_video_is_being_read(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.mp4", frames=20, height=480, width=856, noise=True)
    done = subprocess.run([sys.executable, "-X", "faulthandler", "-c", TWICE, path], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()  # a crash in another process does not end the tests


def test_seconds_choose_frames(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.mp4")
    assert [frame.index for frame in frames_of(path, start=0.08, end=0.2)] == [2, 3, 4]
    with pytest.raises(ConfigError, match=r"the video has 12 frames in 0\.48 s"):
        read_video(path, start=12)


def test_a_reader_can_be_read_twice(tmp_path: Path) -> None:
    with read_video(make_clip(tmp_path / "a.mp4")) as reader:
        assert len(list(reader)) == len(list(reader)) == len(reader) == 12


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_damage_in_the_middle_shifts_nothing(tmp_path: Path, suffix: str) -> None:
    path = make_clip(tmp_path / f"a{suffix}", frames=60, noise=True)
    sound = frames_of(path)
    with read_video(damage(path, 0.4, 0.5)) as reader:
        frames = list(reader)
    last = {frame.index: frame for frame in frames}
    assert [frame.index for frame in frames] == list(range(reader.info.frames or 0))
    assert error(frames[-1].rgb, sound[-1].rgb) == 0  # the last group of pictures is whole, and where it was
    assert reader.missing == [frame.index for frame in frames if frame.undecodable]
    if suffix == ".mp4":  # its index knows the packets that are gone; an mkv loses them with their bytes
        assert len(frames) == 60
        assert reader.missing
        assert reader.damaged
        first = reader.missing[0]
        assert_array_equal(last[first].rgb, last[first - 1].rgb)


def test_pictures_are_placed_by_their_time() -> None:
    table = (0, 10, 10, 20, 40)
    assert [locate(table, stamp, following=0) for stamp in (0, 10, 40)] == [0, 1, 4]
    assert locate(table, 10, following=2) == 2  # the second of two with one time
    assert locate(table, 10, following=3) is None  # a third one was never in the file
    assert locate(table, 39, following=4) == 4  # a strange time takes the next place
    assert locate(table, None, following=3) == 3


def test_damage_at_the_start_is_black(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.mp4", frames=60, noise=True, faststart=False)
    with read_video(damage(path, 0.001, 0.15)) as reader:
        frames = list(reader)
    assert reader.missing[0] == 0
    assert not frames[0].rgb.any()
    assert len(frames) == 60


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_cut_file_gives_what_it_has(tmp_path: Path, suffix: str) -> None:
    with read_video(cut(make_clip(tmp_path / f"a{suffix}", frames=50, noise=True), 0.5)) as reader:
        frames = list(reader)
    assert 15 < len(frames) < 30
    assert reader.damaged
    assert not frames[10].undecodable


SCRIPT = """
from propagate.video import read_video
from propagate.video.reader import locate
with read_video("-") as reader:
    print(reader.info.kind, reader.info.frames, sum(1 for _ in reader), reader.missing, reader._path)
"""


@pytest.mark.parametrize(("name", "faststart"), [("a.mkv", True), ("a.mp4", True), ("a.mp4", False)])
def test_standard_input_is_read(tmp_path: Path, name: str, faststart: bool) -> None:
    data = make_clip(tmp_path / name, faststart=faststart).read_bytes()
    done = subprocess.run([sys.executable, "-c", SCRIPT], input=data, capture_output=True, check=True)
    kind, count, given, missing, copy = done.stdout.decode().split()
    assert (kind, count, given, missing) == ("stdin", "12", "12", "[]")
    assert not Path(copy).exists()


def test_empty_standard_input_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    import io

    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"")))
    with pytest.raises(InputError, match="the pipe gave no bytes"):
        read_video("-")


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc")
def test_memory_does_not_grow_with_length(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.mp4", frames=240, height=240, width=320, gop=60)  # 55 MB as RGB
    page = 4096 / 2**20
    with read_video(path) as reader:
        sizes = [int(Path("/proc/self/statm").read_text().split()[1]) * page for _ in reader]
    assert sizes[-1] - sizes[60] < 15
