"""Written video: the same bytes after a kill, the source's own times, its sound, and nothing half done."""

import logging
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.stream import Disposition
from numpy.testing import assert_array_equal
from numpy.typing import NDArray
from video.video_clips import TICKS, TIME_BASE, make_clip, packet_times, picture

from propagate.errors import ConfigError, OutputError
from propagate.video import Color, VideoWriter, open_video_writer, probe, read_video
from propagate.video.encoder import CodecName

FULL = Color("bt709", "full", "bt709", "bt709")


def open_writer(
    path: Path,
    *,
    size: tuple[int, int] = (48, 64),
    codec: CodecName = "h264",
    pix_fmt: str | None = None,
    color: Color | None = None,
    sample_aspect: Fraction | None = None,
    segment_frames: int = 10,
) -> VideoWriter:
    return open_video_writer(
        path,
        size=size,
        time_base=TIME_BASE,
        rate=Fraction(25),
        state=path.parent / "state",
        codec=codec,
        pix_fmt=pix_fmt,
        color=color,
        sample_aspect=sample_aspect,
        segment_frames=segment_frames,
    )


def write(writer: VideoWriter, first: int, last: int) -> None:
    height, width = writer.settings.size
    for index in range(first, last):
        writer.write(picture(index, height=height, width=width), index * TICKS)


def write_repeated(writer: VideoWriter, rgb: NDArray[np.uint8], *, times: int) -> None:
    for index in range(times):
        writer.write(rgb, index)


def kill(writer: VideoWriter) -> None:
    """Leave everything as it lies on the disk, as a kill does."""
    if (file := writer._segments._open) is not None:
        file.close()


@pytest.mark.parametrize(
    ("name", "codec", "color"),
    [
        ("a.mp4", "h264", None),
        ("a.mp4", "h264", FULL),
        ("a.mkv", "h264", None),
        ("a.mov", "prores", None),
        ("a.mkv", "ffv1", None),
    ],
)
@pytest.mark.parametrize("killed", [15, 20])
def test_a_killed_run_ends_with_the_same_bytes(
    tmp_path: Path, name: str, codec: CodecName, color: Color | None, killed: int
) -> None:
    sound = make_clip(tmp_path / "sound.mkv", tone=True)
    with open_writer(tmp_path / name, codec=codec, color=color) as writer:
        write(writer, 0, 25)
        unbroken = writer.finish(sound).read_bytes()
    writer = open_writer(tmp_path / name, codec=codec, color=color)
    write(writer, 0, killed)
    kill(writer)
    writer = open_writer(tmp_path / name, codec=codec, color=color)
    assert writer.frames_done == killed // 10 * 10
    write(writer, writer.frames_done, 25)
    assert writer.finish(sound).read_bytes() == unbroken


def test_segments_of_a_hundred_frames(tmp_path: Path) -> None:
    writer = open_writer(tmp_path / "a.mp4", segment_frames=100)
    write(writer, 0, 250)
    unbroken = writer.finish().read_bytes()
    writer = open_writer(tmp_path / "a.mp4", segment_frames=100)
    write(writer, 0, 150)
    kill(writer)
    resumed = open_writer(tmp_path / "a.mp4", segment_frames=100)
    assert resumed.frames_done == 100
    write(resumed, 100, 250)
    assert resumed.finish().read_bytes() == unbroken


def test_nothing_is_left_beside_the_file(tmp_path: Path) -> None:
    writer = open_writer(tmp_path / "a.mp4")
    write(writer, 0, 12)
    assert not (tmp_path / "a.mp4").exists()
    writer.finish()
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


def test_a_kill_after_the_last_short_segment_is_survived(tmp_path: Path) -> None:
    writer = open_writer(tmp_path / "a.mp4")
    write(writer, 0, 15)
    writer._end_segment()
    assert open_writer(tmp_path / "a.mp4").frames_done == 10


def test_segments_of_other_settings_are_refused(tmp_path: Path) -> None:
    write(open_writer(tmp_path / "a.mp4"), 0, 10)
    with pytest.raises(OutputError, match="written with other settings"):
        open_writer(tmp_path / "a.mp4", pix_fmt="yuv444p")


@pytest.mark.parametrize("name", ["a.mp4", "a.mov", "a.mkv"])
def test_times_of_a_variable_rate_are_kept(tmp_path: Path, name: str) -> None:
    stamps = [640, 1152, 1340, 4640, 4740, 12000]
    writer = open_writer(tmp_path / name, segment_frames=2)
    for index, pts in enumerate(stamps):
        writer.write(picture(index), pts)
    times = packet_times(writer.finish())
    tick = Fraction(1, 1000) if name == "a.mkv" else TIME_BASE
    assert times == [round(pts * TIME_BASE / tick) * tick for pts in stamps]


def test_times_survive_a_round_trip_from_mkv_with_equal_times(tmp_path: Path) -> None:
    with read_video(make_clip(tmp_path / "in.mkv", frames=4, stamps=[0, 2, 1400, 2000])) as reader:
        writer = open_video_writer(
            tmp_path / "out.mp4", size=reader.info.size, time_base=reader.info.time_base, state=tmp_path / "state"
        )
        for frame in reader:
            assert frame.pts is not None
            writer.write(frame.rgb, frame.pts)
    ms = Fraction(1, 1000)
    assert packet_times(writer.finish()) == [
        0,
        ms,
        round(1400 * TIME_BASE / ms) * ms,
        round(2000 * TIME_BASE / ms) * ms,
    ]


def test_pictures_and_tags_come_back(tmp_path: Path) -> None:
    writer = open_writer(tmp_path / "a.mp4", color=FULL, sample_aspect=Fraction(4, 3))
    write(writer, 0, 12)
    with read_video(writer.finish()) as reader:
        assert all(np.abs(f.rgb.astype(int) - picture(f.index)).mean() < 3 for f in reader)
        assert (reader.info.color, reader.info.sample_aspect) == (FULL, Fraction(4, 3))


def test_ffv1_keeps_rgb_without_loss(tmp_path: Path) -> None:
    writer = open_writer(tmp_path / "a.mkv", codec="ffv1", size=(47, 63))
    write(writer, 0, 3)
    with read_video(writer.finish()) as reader:
        for frame in reader:
            assert_array_equal(frame.rgb, picture(frame.index, height=47, width=63))


@pytest.mark.parametrize(("pix_fmt", "size"), [("yuv420p", (48, 64)), ("yuv444p", (47, 63))])
def test_odd_sizes_are_padded_or_kept(tmp_path: Path, pix_fmt: str, size: tuple[int, int]) -> None:
    writer = open_writer(tmp_path / "a.mp4", size=(47, 63), pix_fmt=pix_fmt)
    write(writer, 0, 2)
    info = probe(writer.finish())
    assert (info.size, info.pix_fmt) == (size, pix_fmt)


@pytest.mark.parametrize(
    ("pix_fmt", "dtype", "top", "chroma"),
    [("yuv420p", np.uint8, 256, (24, 32)), ("yuv444p10le", np.uint16, 1024, (47, 63))],
)
def test_planes_are_stored_as_they_are(
    tmp_path: Path, pix_fmt: str, dtype: type[np.uint8 | np.uint16], top: int, chroma: tuple[int, int]
) -> None:
    luma = np.random.default_rng(0).integers(0, top, (47, 63)).astype(dtype)
    grey = np.full(chroma, top // 2, dtype)
    writer = open_writer(tmp_path / "a.mkv", size=(47, 63), codec="ffv1", pix_fmt=pix_fmt)
    writer.write_yuv(luma, grey, grey, 0)
    with read_video(writer.finish(), luma=True) as reader:
        (frame,) = reader
    assert_array_equal(frame.luma, luma)


def test_planes_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    writer = open_writer(tmp_path / "a.mp4")
    y, u = np.zeros((48, 64), np.uint8), np.zeros((48, 64), np.uint8)
    with pytest.raises(ValueError, match="a plane of 32x24 cannot hold samples of shape"):
        writer.write_yuv(y, u, u, 0)
    with pytest.raises(ValueError, match="a picture must be"):
        writer.write(np.zeros((8, 8, 3), np.uint8), 0)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov"])
def test_sound_and_metadata_are_copied(tmp_path: Path, suffix: str) -> None:
    source = make_clip(tmp_path / "in.mkv", frames=25, tone=True, title="a title")
    writer = open_writer(tmp_path / f"out{suffix}")
    write(writer, 0, 25)
    with av.open(str(writer.finish(source))) as out, av.open(str(source)) as old:
        assert out.metadata["title"] == "a title"
        copied, given = ([bytes(p) for p in c.demux(audio=0) if p.size] for c in (out, old))
    assert copied == given


def test_sound_outside_a_span_is_dropped(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mp4", frames=25, tone=True)
    writer = open_writer(tmp_path / "out.mkv")
    write(writer, 0, 10)
    with av.open(str(writer.finish(source, span=(0.0, 0.4)))) as out:
        last = max(float(p.pts * p.time_base) for p in out.demux(audio=0) if p.size)
    assert 0.35 < last < 0.4


def test_sound_that_does_not_fit_is_left_out_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = make_clip(tmp_path / "in.mkv", tone=True, tone_codec="pcm_u8")
    writer = open_writer(tmp_path / "out.mp4")
    write(writer, 0, 3)
    with caplog.at_level(logging.WARNING, logger="propagate"):
        out = writer.finish(source)
    assert "audio pcm_u8 does not fit" in caplog.text
    assert ".mkv" in caplog.text
    assert (probe(out).audio, probe(out).frames) == (0, 3)


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt", "words"),
    [
        ("a.webm", "h264", None, r"ending in '\.webm' \(one of: \.mp4, \.mkv, \.mov\)"),
        ("a.mp4", "prores", None, r"prores does not fit into \.mp4"),
        ("a.mp4", "h264", "bgr0", "h264 cannot store bgr0"),
        ("a.mp4", "vp9", None, "no codec is called 'vp9'"),
    ],
)
def test_settings_that_cannot_be_are_refused(
    tmp_path: Path, name: str, codec: CodecName, pix_fmt: str | None, words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        open_writer(tmp_path / name, codec=codec, pix_fmt=pix_fmt)


@contextmanager
def file_size_limit(limit: int) -> Iterator[None]:
    """A disk that is full after `limit` bytes of a file (Python ignores the signal, so writing fails)."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_at_the_end_leaves_no_half_file_and_the_segments(tmp_path: Path) -> None:
    writer = open_writer(tmp_path / "a.mp4")
    write(writer, 0, 30)
    with file_size_limit(2000), pytest.raises(OutputError, match=r"a\.mp4: cannot be written: .*(large|I/O)"):
        writer.finish()
    assert [path.name for path in tmp_path.iterdir()] == ["state"]
    assert open_writer(tmp_path / "a.mp4").frames_done == 30


def test_a_full_disk_in_a_segment_is_an_output_error(tmp_path: Path) -> None:
    writer = open_writer(tmp_path / "a.mkv", codec="ffv1", pix_fmt="bgr0")
    noise = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    with file_size_limit(20000), pytest.raises(OutputError, match="cannot be written: File too large"):
        write_repeated(writer, noise, times=10)


def test_a_state_that_is_a_file_is_an_output_error(tmp_path: Path) -> None:
    (tmp_path / "state").touch()
    with pytest.raises(OutputError, match="state: cannot be written: File exists"):
        open_writer(tmp_path / "a.mp4")


def test_a_missing_folder_is_an_output_error(tmp_path: Path) -> None:
    writer = open_video_writer(tmp_path / "no" / "a.mp4", size=(48, 64), time_base=TIME_BASE, state=tmp_path / "state")
    write(writer, 0, 2)
    with pytest.raises(OutputError, match="No such file"):
        writer.finish()


def test_a_video_without_frames_is_a_mistake_of_the_caller(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no frame was written"):
        open_writer(tmp_path / "a.mp4").finish()


def with_attachments(path: Path) -> Path:
    """Write an mkv with sound, a font and a cover picture."""
    plain = make_clip(path.with_name("plain.mkv"), tone=True)
    with av.open(str(plain)) as source, av.open(str(path), "w") as out:
        streams = {stream.index: out.add_stream_from_template(stream) for stream in source.streams}
        out.add_attachment("font.ttf", "font/ttf", b"a font" * 300)
        out.add_attachment("cover.png", "image/png", png_bytes())
        for packet in source.demux():
            if packet.size:
                packet.stream = streams[packet.stream_index]
                out.mux(packet)
    return path


def png_bytes() -> bytes:
    encoder = av.CodecContext.create("png", "w")
    encoder.width, encoder.height, encoder.pix_fmt, encoder.time_base = 8, 6, "rgb24", Fraction(1)
    frame = av.VideoFrame.from_ndarray(np.zeros((6, 8, 3), np.uint8))
    return b"".join(bytes(packet) for packet in (*encoder.encode(frame), *encoder.encode(None)))


def test_attachments_and_covers_are_copied(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = with_attachments(tmp_path / "in.mkv")
    writer = open_writer(tmp_path / "out.mkv")
    write(writer, 0, 5)
    writer.finish(source)
    with av.open(str(tmp_path / "out.mkv")) as found:
        (font,) = found.streams.attachments
        assert (font.name, font.mimetype, bytes(font.data)) == ("font.ttf", "font/ttf", b"a font" * 300)
        assert any(stream.disposition & Disposition.attached_pic for stream in found.streams.video)
    info = probe(tmp_path / "out.mkv")
    assert (info.frames, info.audio, caplog.text) == (5, 1, "")


def test_attachments_that_do_not_fit_are_said_by_the_final_name(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    writer = open_writer(tmp_path / "out.mp4")
    write(writer, 0, 5)
    writer.finish(with_attachments(tmp_path / "in.mkv"))
    assert "out.mp4: the attachment font.ttf does not fit into mp4 and is left out; write to .mkv" in caplog.text
    assert "out.mp4: the attachment cover.png does not fit" in caplog.text
    assert "partial" not in caplog.text
    assert probe(tmp_path / "out.mp4").audio == 1


@pytest.mark.parametrize("harm", ["cut", "zeroed", "emptied", "one bit"])
def test_a_segment_that_a_power_cut_damaged_is_made_again(tmp_path: Path, harm: str) -> None:
    writer = open_writer(tmp_path / "a.mp4")
    write(writer, 0, 30)
    unbroken = writer.finish().read_bytes()
    writer = open_writer(tmp_path / "a.mp4")
    write(writer, 0, 30)
    path = tmp_path / "state" / "000001.segment"
    data = bytearray(path.read_bytes())
    if harm == "one bit":
        data[-50] ^= 4
    whole = {"cut": data[:-9], "zeroed": bytes(len(data)), "emptied": b"", "one bit": data}[harm]
    path.write_bytes(whole)
    writer = open_writer(tmp_path / "a.mp4")
    assert writer.frames_done == 10
    write(writer, 10, 30)
    assert writer.finish().read_bytes() == unbroken
