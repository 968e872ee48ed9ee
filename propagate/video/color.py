"""YUV and RGB: which matrix and range a stream uses, and conversions that honour them.

swscale takes every untagged stream for BT.601, whatever its size; players and cameras mean BT.709 from 720 lines on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc, Interpolation, VideoReformatter
from numpy.typing import NDArray

from propagate.errors import ConfigError

Range = Literal["limited", "full"]

HD_HEIGHT = 720  # stored lines from which an untagged stream is taken for BT.709
_SCALING = Interpolation.BILINEAR | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT | Interpolation.BITEXACT
_MATRIX_TAGS = {1: "bt709", 4: "fcc", 5: "bt601", 6: "bt601", 7: "smpte240m", 9: "bt2020", 10: "bt2020"}
_RGB_TAG = 0
_UNTAGGED = (2, 3)
_TAGS_OF_MATRIX = {"bt709": 1, "fcc": 4, "bt601": 6, "smpte240m": 7, "bt2020": 9}
_SWSCALE = {
    "bt709": Colorspace.ITU709,
    "fcc": Colorspace.FCC,
    "bt601": Colorspace.ITU601,
    "smpte240m": Colorspace.SMPTE240M,
    "bt2020": Colorspace.BT2020,
}
_LUMA_WEIGHTS = {  # red and blue; green is the rest (H.273, table 4)
    "bt709": (0.2126, 0.0722),
    "fcc": (0.30, 0.11),
    "bt601": (0.299, 0.114),
    "smpte240m": (0.212, 0.087),
    "bt2020": (0.2627, 0.0593),
}


@dataclass(frozen=True)
class Color:
    """How samples mean colours.

    Attributes:
        matrix: "bt601", "bt709", "bt2020", "smpte240m" or "fcc". For RGB sources: the one of their derived luma.
        range: "limited" (16..235 at 8 bit) or "full".
        primaries: FFmpeg's name in lower case ("bt709", "bt2020"), "unspecified" without a tag.
        transfer: likewise ("bt709", "smpte2084" for PQ, "arib_std_b67" for HLG).
    """

    matrix: str = "bt601"
    range: Range = "limited"
    primaries: str = "unspecified"
    transfer: str = "unspecified"

    def __post_init__(self) -> None:
        if self.matrix not in _SWSCALE:
            raise ConfigError(f"no YUV matrix is called {self.matrix!r}", hint=f"one of: {', '.join(_SWSCALE)}")
        if self.range not in ("limited", "full"):
            raise ConfigError(f"a range is limited or full, not {self.range!r}")
        for tag, names in ((self.primaries, ColorPrimaries), (self.transfer, ColorTrc)):
            if tag.upper() not in names.__members__:
                raise ConfigError(f"no colour tag is called {tag!r}")

    @classmethod
    def for_height(cls, height: int, *, full: bool = False) -> Color:
        """Return what an untagged picture of `height` stored lines means: BT.709 from 720 lines, else BT.601."""
        return cls(matrix="bt709" if height >= HD_HEIGHT else "bt601", range="full" if full else "limited")


def luma_weights(color: Color) -> tuple[float, float, float]:
    """Return the weights of red, green and blue in the luma of `color`'s matrix."""
    red, blue = _LUMA_WEIGHTS[color.matrix]
    return red, 1 - red - blue, blue


def matrix_name(text: str) -> str:
    """Return the matrix that a person named: "709", "bt709" and "BT.709" are the same.

    Raises:
        ConfigError: there is no such matrix.
    """
    plain = text.lower().replace(".", "").replace("-", "")
    return Color(matrix=f"bt{plain}" if plain.isdigit() else plain).matrix


def color_of(frame: VideoFrame, *, matrix: str | None = None) -> tuple[Color, tuple[str, ...]]:
    """Return the colour meaning of a decoded frame, and what had to be decided about it.

    Args:
        frame: a decoded frame, not turned.
        matrix: a matrix that overrides the stream's tag.
    """
    untagged = Color.for_height(frame.height)
    is_yuv = is_yuv_format(frame.format.name)
    notes: tuple[str, ...] = ()
    if matrix is not None:
        name = matrix_name(matrix)
    elif not is_yuv or int(frame.colorspace) in _MATRIX_TAGS:
        name = _MATRIX_TAGS.get(int(frame.colorspace), untagged.matrix)
    else:
        name = untagged.matrix
        what = "untagged" if int(frame.colorspace) in (_RGB_TAG, *_UNTAGGED) else "of an unsupported kind"
        notes = (f"colour matrix {what}: read as {name} at {frame.height} lines",)
    full = not is_yuv or frame.format.name.startswith("yuvj") or int(frame.color_range) == ColorRange.JPEG.value
    primaries = _name(ColorPrimaries, int(frame.color_primaries))
    transfer = _name(ColorTrc, int(frame.color_trc))
    return Color(name, "full" if full else "limited", primaries, transfer), notes


def _name(names: type[ColorPrimaries] | type[ColorTrc], value: int) -> str:
    return next((member.name.lower() for member in names if member.value == value), "unspecified")


def is_yuv_format(name: str) -> bool:
    """Return whether a pixel format holds luma and chroma (grey, RGB and palette formats do not)."""
    return name.startswith(
        ("yuv", "yuyv", "uyvy", "yvyu", "uyyv", "nv1", "nv2", "p0", "p2", "p4", "y2", "vuy", "xv", "ayuv")
    )


def tag(context: VideoCodecContext, color: Color, *, pix_fmt: str) -> None:
    """Write `color` into an encoder's context before it opens; RGB formats are tagged as RGB, full range."""
    is_yuv = is_yuv_format(pix_fmt)
    context.colorspace = _TAGS_OF_MATRIX[color.matrix] if is_yuv else _RGB_TAG
    context.color_range = (_range(color) if is_yuv else ColorRange.JPEG).value
    context.color_primaries = ColorPrimaries[color.primaries.upper()].value
    context.color_trc = ColorTrc[color.transfer.upper()].value


def to_rgb(frame: VideoFrame, color: Color, *, scaler: VideoReformatter) -> NDArray[np.uint8]:
    """Return a decoded frame as (H, W, 3) uint8 RGB, not turned.

    Args:
        frame: the decoded frame.
        color: what its samples mean; without effect on grey and RGB frames.
        scaler: reused between frames, it holds one context.
    """
    if is_yuv_format(frame.format.name):
        frame = scaler.reformat(
            frame,
            format="rgb24",
            src_colorspace=_SWSCALE[color.matrix],
            src_color_range=_range(color),
            dst_color_range=ColorRange.JPEG,
            interpolation=_SCALING,
            threads=1,
        )
    else:
        frame = scaler.reformat(frame, format="rgb24", interpolation=_SCALING, threads=1)
    return np.asarray(frame.to_ndarray(), np.uint8)


def from_rgb(rgb: NDArray[np.uint8], pix_fmt: str, *, color: Color, scaler: VideoReformatter) -> VideoFrame:
    """Return (H, W, 3) uint8 RGB as a frame of `pix_fmt` whose samples mean `color`."""
    frame = VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24")
    if not is_yuv_format(pix_fmt):
        return scaler.reformat(frame, format=pix_fmt, interpolation=_SCALING, threads=1)
    return scaler.reformat(
        frame,
        format=pix_fmt,
        src_color_range=ColorRange.JPEG,
        dst_colorspace=_SWSCALE[color.matrix],
        dst_color_range=_range(color),
        interpolation=_SCALING,
        threads=1,
    )


def _range(color: Color) -> ColorRange:
    return ColorRange.JPEG if color.range == "full" else ColorRange.MPEG


def luma_of(rgb: NDArray[np.uint8], color: Color) -> NDArray[np.uint8]:
    """Return the full-range luma (H, W) uint8 of an RGB picture under `color`'s matrix."""
    weights = np.array(luma_weights(color), np.float32)
    luma: NDArray[np.float32] = np.rint(rgb.astype(np.float32) @ weights)
    return luma.clip(0, 255).astype(np.uint8)
