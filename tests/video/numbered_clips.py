"""Clips whose pictures carry their own number as a pattern, so that a picture in a wrong place is seen at once."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

HEIGHT, WIDTH = 96, 128
GROUP = 12  # frames from keyframe to keyframe


def numbered(index: int, random: np.random.Generator) -> NDArray[np.uint8]:
    """Return a picture whose upper part shows `index` as eight fields, bright for 1, and whose lower part is noise."""
    rgb = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
    for bit in range(8):
        row, column = 32 * (bit // 4), 32 * (bit % 4)
        rgb[row : row + 32, column : column + 32] = 235 if index >> bit & 1 else 20
    rgb[64:] = random.integers(0, 256, (HEIGHT - 64, WIDTH, 1))
    return rgb


def number_of(rgb: NDArray[np.uint8]) -> int | None:
    """Return the number that a picture shows, None where a field is neither dark nor bright."""
    number = 0
    for bit in range(8):
        row, column = 32 * (bit // 4), 32 * (bit % 4)
        level = rgb[row + 8 : row + 24, column + 8 : column + 24].mean()
        if 90 < level < 165:
            return None
        number |= int(level > 128) << bit
    return number


def make_numbered(
    path: Path, *, frames: int = 60, codec: str = "libx264", between: int = 2, times: Sequence[int] | None = None
) -> Path:
    """Write a numbered clip of 25 frames a second.

    Args:
        path: where; the suffix decides the container.
        frames: how many.
        codec: FFmpeg's encoder.
        between: B-frames between two others, of x264.
        times: the time of each frame in frames of 1/25 s; 0, 1, 2, ... without.
    """
    random = np.random.default_rng(3)
    with av.open(str(path), "w") as out:
        stream = out.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.codec_context.gop_size = GROUP
        if codec == "libx264":
            stream.codec_context.options = {"crf": "20", "preset": "ultrafast", "bf": str(between)}
        else:
            stream.codec_context.bit_rate = 2_000_000
        for index in range(frames):
            frame = av.VideoFrame.from_ndarray(numbered(index, random)).reformat(format="yuv420p")
            frame.pts, frame.time_base = times[index] if times else index, Fraction(1, 25)
            out.mux(stream.encode(frame))
        out.mux(stream.encode())
    return path
