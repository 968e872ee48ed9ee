"""What colorize says of a codec that touches the luma."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from video.video_clips import make_clip

from propagate.video import probe, read_video
from propagate.video.chroma import ChromaWriter, chroma_format, luma_note
from propagate.video.encoder import CodecName
from propagate.video.writer import open_video_writer


@pytest.mark.parametrize(
    ("codec", "bits", "crf", "words"),
    [
        ("ffv1", 8, 16, None),
        ("ffv1", 12, 16, None),
        ("h264", 8, 0, None),
        ("h264", 8, 16, "not kept exactly: h264 compresses it: .* one in a thousand by 4 or more .--codec ffv1"),
        ("h264", 12, 0, "12 bits are stored as 10; h264 compresses it"),
        ("h264", 10, 28, "exactly: h264 compresses it: .* by 15 or more"),
        ("prores", 12, 16, "12 bits are stored as 10; prores compresses it"),
    ],
)
def test_what_is_lost_is_said(tmp_path: Path, codec: CodecName, bits: int, crf: int, words: str | None) -> None:
    info = replace(
        probe(make_clip(tmp_path / "a.mkv", frames=1)),
        bit_depth=bits,
        pix_fmt="yuv420p" + (f"{bits}le" if bits > 8 else ""),
    )
    said = luma_note(codec, info, crf=crf)
    if words is None:
        assert said is None
    else:
        assert said is not None
        assert re.search(words, said)


@pytest.mark.parametrize(("codec", "crf", "bits"), [("ffv1", 16, 12), ("ffv1", 16, 8), ("h264", 0, 8)])
def test_where_nothing_is_said_nothing_is_lost(tmp_path: Path, codec: CodecName, crf: int, bits: int) -> None:
    deep = "yuv420p" + (f"{bits}le" if bits > 8 else "")
    source = make_clip(tmp_path / "a.mkv", frames=3, codec="ffv1", pix_fmt=deep)
    with read_video(source, luma=True) as reader:
        frames, info = list(reader), reader.info
    assert luma_note(codec, info, crf=crf) is None
    writer = open_video_writer(
        tmp_path / "b.mkv",
        size=info.size,
        time_base=info.time_base,
        state=tmp_path / "state",
        codec=codec,
        crf=crf,
        pix_fmt=chroma_format(codec, info),
        color=info.color,
    )
    chroma = ChromaWriter(writer, info)
    for frame in frames:
        chroma.write(frame, frame.rgb[..., ::-1].copy())
    writer.finish()
    with read_video(tmp_path / "b.mkv", luma=True) as reader:
        for before, after in zip(frames, reader, strict=True):
            assert before.luma is not None
            assert after.luma is not None
            assert np.array_equal(before.luma, after.luma)
