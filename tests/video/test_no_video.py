"""What is no video is refused with its true cause and what to do."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image
from video.video_clips import make_clip

from propagate.errors import InputError
from propagate.video import probe, read_video
from propagate.video.packets import is_raw_guess, open_file

PICTURE = Image.fromarray(np.zeros((20, 30, 3), np.uint8))


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif", ".bmp"])
def test_a_single_picture_is_no_video(tmp_path: Path, suffix: str) -> None:
    PICTURE.save(tmp_path / f"mask{suffix}")
    with pytest.raises(InputError, match=r"mask.*: a single picture \(\w+\), not a video .*VIDEO LABEL"):
        probe(tmp_path / f"mask{suffix}")


def test_a_gif_is_a_video(tmp_path: Path) -> None:
    other = Image.fromarray(np.full((20, 30, 3), 200, np.uint8))
    PICTURE.save(tmp_path / "a.gif", save_all=True, append_images=[other])
    assert probe(tmp_path / "a.gif").frames == 2


def test_an_animated_webp_and_a_drawing(tmp_path: Path) -> None:
    other = Image.fromarray(np.full((20, 30, 3), 200, np.uint8))
    PICTURE.save(tmp_path / "a.webp", save_all=True, append_images=[other])
    with pytest.raises(InputError, match="an animated WebP, which this build of FFmpeg cannot decode"):
        probe(tmp_path / "a.webp")
    (tmp_path / "a.svg").write_text('<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"></svg>')
    with pytest.raises(InputError, match=r"an SVG drawing|looks like a text file"):
        probe(tmp_path / "a.svg")


def test_cover_art_is_no_video(tmp_path: Path) -> None:
    cover = io.BytesIO()
    PICTURE.save(cover, "PNG")
    sound = make_clip(tmp_path / "a.mkv", tone=True, tone_codec="mp3")
    path = tmp_path / "song.mp3"
    with av.open(str(sound)) as source, av.open(str(path), "w") as out:
        audio = out.add_stream_from_template(source.streams.audio[0])
        picture = out.add_stream("png", rate=1)
        picture.width, picture.height, picture.pix_fmt = 30, 20, "rgb24"
        picture.disposition = 1024
        packet = av.Packet(cover.getvalue())
        packet.stream, packet.pts, packet.dts = picture, 0, 0
        out.mux(packet)
        for packet in source.demux(audio=0):
            if packet.size:
                packet.stream = audio
                out.mux(packet)
    with pytest.raises(InputError, match="a sound file with a cover picture"):
        probe(path)


@pytest.mark.parametrize("name", ["https://example.org/clip.mp4", "rtsp://10.0.0.1/cam", "s3://bucket/a.mp4"])
def test_an_address_is_no_file(name: str) -> None:
    with pytest.raises(InputError, match=rf"{name}: an address \(\w+\), not a file \(download it"):
        probe(name)


def test_things_that_are_no_files(tmp_path: Path) -> None:
    (tmp_path / "loop.mp4").symlink_to("loop.mp4")
    (tmp_path / "gone.mp4").symlink_to("nowhere.mp4")
    for path, cause in {
        Path(os.devnull): "a device, not a video",
        tmp_path / "loop.mp4": "its links lead back to themselves",
        tmp_path / "gone.mp4": "a link to a file that is not there",
        tmp_path / ("x" * 300): "the name is longer than a file's can be",
        tmp_path / "no" / "a.mp4": "no such file or folder",
    }.items():
        for use in (probe, read_video):
            with pytest.raises(InputError, match=cause):
                use(path)


def test_noise_is_no_video(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(b"\0\0\x80\x02" + np.random.default_rng(0).bytes(4000))
    with pytest.raises(InputError, match="not a video"):
        probe(path)


def test_a_bare_stream_needs_its_suffix_only_when_it_is_short(tmp_path: Path) -> None:
    long, short = make_clip(tmp_path / "a.h264"), make_clip(tmp_path / "b.h264", frames=1)
    assert probe(short).frames == 1
    assert probe(long.rename(tmp_path / "a.bin")).frames == 12
    renamed = short.rename(tmp_path / "b.mp4")
    with open_file(renamed, name="b") as container:
        assert is_raw_guess(container, renamed)
    with pytest.raises(InputError, match="a bare stream needs its own suffix"):
        probe(renamed)


def test_standard_input_that_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    for stdin, cause in ((None, "is closed"), (Terminal(), "is a terminal")):
        monkeypatch.setattr(sys, "stdin", stdin)
        with pytest.raises(InputError, match=f"-: standard input {cause}"):
            read_video("-")
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr(sys, "stdin", closed)
    with pytest.raises(InputError, match="-: standard input is closed"):
        probe("-")


def test_a_name_that_is_not_utf8_is_opened(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9.mp4")
    try:
        make_clip(tmp_path / "a.mp4").rename(tmp_path / name)
    except OSError:
        pytest.skip("this file system takes UTF-8 only")
    with read_video(tmp_path / name) as reader:
        assert len(list(reader)) == 12
