"""Tiny clips for the tests, made with PyAV itself: a gradient with a bright corner, so a turn or a flip shows."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

RATE = 25
TICKS = 512  # per frame in TIME_BASE
TIME_BASE = Fraction(1, RATE * TICKS)


def picture(index: int, *, height: int = 48, width: int = 64) -> NDArray[np.uint8]:
    """Return an asymmetric picture (H, W, 3): red grows to the right, green downwards, a white top-left corner."""
    rgb = np.zeros((height, width, 3), np.uint8)
    rgb[..., 0] = np.linspace(40, 200, width).astype(np.uint8)
    rgb[..., 1] = np.linspace(40, 120, height).astype(np.uint8)[:, None]
    rgb[..., 2] = 40 + index * 7 % 160
    rgb[: height // 4, : width // 4] = 255
    return rgb


def make_clip(
    path: Path,
    *,
    frames: int = 12,
    height: int = 48,
    width: int = 64,
    pix_fmt: str = "yuv420p",
    codec: str = "libx264",
    stamps: Sequence[int] | None = None,
    rotation: int = 0,
    mirrored: bool = False,
    color: tuple[int, int] | None = None,
    patch: tuple[int, int, int] | None = None,
    sample_aspect: Fraction | None = None,
    transfer: int | None = None,
    gop: int = 6,
    tone: bool = False,
    noise: bool = False,
    tone_codec: str = "aac",
    faststart: bool = True,
    title: str | None = None,
) -> Path:
    """Write a clip of `picture`s, or of one colour `patch`, and return its path.

    Args:
        path: where; the suffix decides the container.
        frames: how many.
        height: pixels.
        width: pixels.
        pix_fmt: stored pixel format.
        codec: FFmpeg's encoder.
        stamps: times in ticks of TIME_BASE; steady without.
        rotation: display rotation in degrees counter-clockwise.
        mirrored: display mirrored.
        color: (matrix tag, range tag) in FFmpeg's numbers; untagged without, and then converted as BT.601 limited.
        patch: one RGB colour for all pixels.
        sample_aspect: of a pixel.
        transfer: the transfer tag in FFmpeg's numbers.
        gop: frames from keyframe to keyframe.
        tone: add a second of a 440 Hz tone.
        noise: add noise, for clips whose bytes carry much.
        tone_codec: FFmpeg's encoder of the tone.
        faststart: put an mp4's index at its start.
        title: the container's title.
    """
    options = {"movflags": "+faststart"} if path.suffix == ".mp4" and faststart else {}
    random = np.random.default_rng(0)
    with av.open(str(path), "w", container_options=options) as out:
        if title is not None:
            out.metadata["title"] = title
        stream = out.add_stream(codec, rate=RATE)
        stream.height, stream.width, stream.pix_fmt = height, width, pix_fmt
        context = stream.codec_context
        context.time_base = TIME_BASE if codec == "libx264" else Fraction(1, RATE)
        context.gop_size = gop
        if codec == "libx264":
            context.options = {"crf": "4", "preset": "ultrafast", "bf": "2"}
        if color is not None:
            context.colorspace, context.color_range = color
        if transfer is not None:
            context.color_trc = transfer
        if sample_aspect is not None:
            context.sample_aspect_ratio = sample_aspect
        if rotation or mirrored:
            stream.set_display_rotation(rotation, hflip=mirrored)
        sound = out.add_stream(tone_codec, rate=48000) if tone else None
        for index in range(frames):
            rgb = picture(index, height=height, width=width)
            if patch is not None:
                rgb[:] = patch
            if noise:
                rgb = random.integers(0, 256, rgb.shape, dtype=np.uint8)
            source = av.VideoFrame.from_ndarray(rgb)
            matrix, span = color or (6, 1)
            space = {1: 1, 6: 5, 9: 9}[matrix]
            frame = (
                source.reformat(
                    format=pix_fmt,
                    dst_colorspace=space,
                    src_color_range=2,
                    dst_color_range=span,
                )
                if pix_fmt not in {"rgb24", "bgr0", "gray"}
                else source.reformat(format=pix_fmt)
            )
            frame.pts = stamps[index] if stamps else index * (TICKS if codec == "libx264" else 1)
            frame.time_base = context.time_base
            out.mux(stream.encode(frame))
        out.mux(stream.encode())
        if sound is not None:
            _add_tone(out, sound)
    return path


def _add_tone(out: av.container.OutputContainer, stream: av.AudioStream) -> None:
    samples = (np.sin(np.arange(48000) * 2 * np.pi * 440 / 48000) * 0.3).astype(np.float32)
    layout = stream.codec_context.layout.nb_channels
    for start in range(0, 48000, 1024):
        piece = np.repeat(samples[None, start : start + 1024], layout, axis=0)
        frame = av.AudioFrame.from_ndarray(
            np.ascontiguousarray(piece), format="fltp", layout=stream.codec_context.layout
        )
        frame.sample_rate, frame.pts = 48000, start
        out.mux(stream.encode(frame))
    out.mux(stream.encode())


def damage(path: Path, start: float, stop: float) -> Path:
    """Zero the bytes between two fractions of a file."""
    data = bytearray(path.read_bytes())
    first, last = int(len(data) * start), int(len(data) * stop)
    data[first:last] = bytes(last - first)
    path.write_bytes(data)
    return path


def scribble(path: Path, place: float, *, length: int = 1500) -> Path:
    """Write random bytes at a fraction of a file: packets that decode, but not to what they held."""
    data = bytearray(path.read_bytes())
    first = int(len(data) * place)
    data[first : first + length] = np.random.default_rng(0).bytes(length)
    path.write_bytes(data)
    return path


def cut(path: Path, keep: float) -> Path:
    """Keep only the first part of a file."""
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep)])
    return path


def packet_times(path: Path) -> list[Fraction]:
    """Return the presentation times of the video packets in seconds, ascending."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        return sorted(packet.pts * stream.time_base for packet in container.demux(stream) if packet.size)
