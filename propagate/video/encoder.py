"""An encoder whose packets depend on nothing but its settings and its frames: not on cores, nor on what ran before."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from fractions import Fraction
from typing import Literal

from av.codec import Codec, CodecContext, codecs_available
from av.codec.context import Flags
from av.video.codeccontext import VideoCodecContext
from av.video.format import VideoFormat

from propagate.errors import ConfigError
from propagate.video.color import Color, tag

CodecName = Literal["h264", "prores", "ffv1"]

THREADS = 4  # fixed: x264's result and ffv1's slices depend on it, and a resumed run may have other cores
_ENCODERS = {"h264": "libx264", "prores": "prores_ks", "ffv1": "ffv1"}
_PIXELS = {"h264": "yuv420p", "prores": "yuv422p10le", "ffv1": "bgr0"}  # bgr0: ffv1 then keeps RGB without loss
_CONTAINERS = {".mp4": "mp4", ".mkv": "matroska", ".mov": "mov"}
_FITS = {"h264": (".mp4", ".mkv", ".mov"), "prores": (".mov", ".mkv"), "ffv1": (".mkv",)}


@dataclass(frozen=True)
class EncoderSettings:
    """All that the bytes of a packet depend on, besides the frames.

    Attributes:
        codec: "h264", "prores" or "ffv1".
        pix_fmt: FFmpeg's name of the stored pixel format.
        size: (height, width) of the pictures that are given.
        time_base: seconds per tick.
        rate: average frames per second; a hint for rate control only, times are exact.
        crf: quality of h264, 0 (lossless) to 51; without effect on the others.
        color: matrix, range, primaries, transfer that are converted to and written as tags.
        sample_aspect: width : height of a pixel.
    """

    codec: str
    pix_fmt: str
    size: tuple[int, int]
    time_base: Fraction
    rate: Fraction
    crf: int
    color: Color
    sample_aspect: Fraction

    def __post_init__(self) -> None:
        if self.codec not in _ENCODERS:
            raise ConfigError(f"no codec is called {self.codec!r}", hint=f"one of: {', '.join(_ENCODERS)}")
        held = [form.name for form in Codec(_ENCODERS[self.codec], "w").video_formats or ()]
        if self.pix_fmt not in held:
            raise ConfigError(f"{self.codec} cannot store {self.pix_fmt}", hint=f"one of: {', '.join(held)}")

    @property
    def stored(self) -> tuple[int, int]:
        """(height, width) as stored: with subsampled chroma, h264 and prores need even sizes and get one more."""
        height, width = self.size
        if self.codec == "ffv1":
            return self.size
        form = VideoFormat(self.pix_fmt, 64, 64)
        rows, columns = form.chroma_height(64) < 64, form.chroma_width(64) < 64
        return height + (height % 2 if rows else 0), width + (width % 2 if columns else 0)

    def to_json(self) -> str:
        """Return one line that is equal for equal settings."""
        return json.dumps(asdict(self), sort_keys=True, default=str)

    @property
    def encoder(self) -> str:
        """FFmpeg's name of the encoder."""
        return _ENCODERS[self.codec]

    @property
    def options(self) -> dict[str, str]:
        """The encoder's own options."""
        if self.codec == "h264":
            # No B-frames: decoding order is display order. No mbtree: with AVX-512 x264's macroblock tree gives other
            # bytes from run to run on small pictures (measured at 64x48: 11 results in 60 runs, 1 without it).
            return {"preset": "veryfast", "crf": str(self.crf), "bf": "0", "mbtree": "0"}
        if self.codec == "prores":
            return {"profile": "4" if "444" in self.pix_fmt else "3", "vendor": "apl0"}
        return {"level": "3", "slicecrc": "1", "g": "1"}


def default_pix_fmt(codec: str) -> str:
    """Return the pixel format of a codec when nobody named one."""
    return _PIXELS.get(codec, "yuv420p")


def container_of(suffix: str, codec: str) -> str:
    """Return FFmpeg's name of the container that a file suffix means.

    Raises:
        ConfigError: an unknown suffix, or one that cannot hold the codec.
    """
    if suffix.lower() not in _CONTAINERS:
        raise ConfigError(f"cannot write a video ending in {suffix!r}", hint=f"one of: {', '.join(_CONTAINERS)}")
    if suffix.lower() not in _FITS.get(codec, _CONTAINERS):
        raise ConfigError(f"{codec} does not fit into {suffix}", hint=f"use {' or '.join(_FITS[codec])}")
    return _CONTAINERS[suffix.lower()]


def configure(context: VideoCodecContext, settings: EncoderSettings) -> None:
    """Give an encoder, not yet open, its settings."""
    context.height, context.width = settings.stored
    context.pix_fmt = settings.pix_fmt
    context.time_base = settings.time_base
    context.framerate = settings.rate
    context.sample_aspect_ratio = settings.sample_aspect
    context.options = settings.options
    context.thread_count = THREADS
    context.flags |= Flags.global_header | Flags.bitexact
    tag(context, settings.color, pix_fmt=settings.pix_fmt)


def new_encoder(settings: EncoderSettings) -> VideoCodecContext:
    """Return a fresh encoder; the first frame that it is given becomes a keyframe."""
    context = CodecContext.create(settings.encoder, "w")
    assert isinstance(context, VideoCodecContext)
    configure(context, settings)
    return context


def available_codecs() -> tuple[str, ...]:
    """Return the codecs, of those that videos are written with, that this build of FFmpeg has."""
    return tuple(name for name, encoder in _ENCODERS.items() if encoder in codecs_available)
