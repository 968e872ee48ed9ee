"""New colour for a video whose luma stays: its own luma as a grey picture, and planes of own luma and new chroma."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from av.video.format import VideoFormat
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from propagate.errors import ConfigError
from propagate.values import Frame
from propagate.video.color import Range, from_rgb, is_yuv_format
from propagate.video.encoder import CodecName
from propagate.video.info import VideoInfo
from propagate.video.planes import Plane, read_plane
from propagate.video.writer import VideoWriter

_MOVED = ((0, 1), (10, 2), (16, 4), (20, 6), (28, 15), (40, 40))  # crf, levels: measured on four photographs, moving
_DEEP = {"h264": (10,), "ffv1": (9, 10, 12, 14, 16)}  # bits above 8 that a codec stores


def grey_frame(frame: Frame, info: VideoInfo) -> Frame:
    """Return a frame whose colours are replaced by its own luma: a colour clip and its grey copy become equal.

    Args:
        frame: read with `luma=True`.
        info: of its video.

    Raises:
        ValueError: the frame has no luma.
    """
    if frame.luma is None:
        raise ValueError("the frame was read without its luma")
    levels = frame.luma.astype(np.float32) / np.float32(2 ** (_depth(frame.luma, info) - 8))  # on the scale of 8 bits
    if info.color.range == "limited":
        levels = (levels - 16) * np.float32(255 / 219)
    grey = np.clip(np.rint(levels), 0, 255).astype(np.uint8)
    return replace(frame, rgb=np.repeat(grey[..., None], 3, axis=2))


def chroma_format(codec: CodecName, info: VideoInfo) -> str:
    """Return the pixel format that keeps a video's luma: its depth where the codec can, its size where that is odd.

    Args:
        codec: of the output.
        info: of the source.
    """
    odd = info.width % 2 or info.height % 2
    if codec == "prores":
        return "yuv444p10le" if odd else "yuv422p10le"
    sampling = "yuv444p" if odd else "yuv420p"
    bits = info.bit_depth if is_yuv_format(info.pix_fmt) or info.pix_fmt.startswith("gray") else 8
    if bits <= 8:
        return sampling
    deep = next((depth for depth in _DEEP[codec] if depth >= bits), _DEEP[codec][-1])
    return f"{sampling}{deep}le"


def luma_note(codec: CodecName, info: VideoInfo, *, crf: int, pix_fmt: str | None = None) -> str | None:
    """Return the line that says what a codec does to a video's luma, None when it is kept to the bit.

    Args:
        codec: of the output.
        info: of the source.
        crf: quality of h264.
        pix_fmt: of the output; `chroma_format`'s when None.
    """
    had = info.bit_depth if is_yuv_format(info.pix_fmt) or info.pix_fmt.startswith("gray") else 8
    form = VideoFormat(pix_fmt or chroma_format(codec, info), 64, 64)
    stored = max(component.bits for component in form.components)
    losses = [f"{had} bits are stored as {stored}"] if stored < had else []
    if codec == "prores":
        losses.append("prores compresses it: samples move by up to 5 of 255, most by less than 1")
    elif codec == "h264" and (crf > 0 or stored > 8):
        usual = next((levels for at_most, levels in _MOVED if crf <= at_most), _MOVED[-1][1])
        moved = f"most samples move by 1 of 255 or less, one in a thousand by {usual} or more"
        losses.append(f"h264 compresses it: {moved}")
    if not losses:
        return None
    return f"the luma is not kept exactly: {'; '.join(losses)} (--codec ffv1 -o NAME.mkv keeps it)"


def check_keeps_luma(pix_fmt: str) -> None:
    """Refuse a pixel format without planes of its own for luma and chroma.

    Raises:
        ConfigError: it is such a format.
    """
    if not pix_fmt.startswith("yuv4") or not VideoFormat(pix_fmt, 64, 64).is_planar:
        raise ConfigError(f"{pix_fmt} cannot keep the luma as it is", hint="yuv420p, yuv444p, yuv420p10le, ...")


class ChromaWriter:
    """Writes frames as their own luma and the chroma of other pictures.

    Args:
        writer: of a planar YUV format, with the source's colour.
        info: of the source.

    Raises:
        ConfigError: the writer's format has no planes of its own for luma and chroma.
    """

    def __init__(self, writer: VideoWriter, info: VideoInfo) -> None:
        self.pix_fmt = writer.settings.pix_fmt
        check_keeps_luma(self.pix_fmt)
        self.bits = max(component.bits for component in VideoFormat(self.pix_fmt, 64, 64).components)
        self._writer, self._info = writer, info
        self._scaler = VideoReformatter()

    def write(self, frame: Frame, rgb: NDArray[np.uint8]) -> None:
        """Write the luma of `frame`, which was read with it, in the chroma of `rgb` (H, W, 3).

        Raises:
            OutputError: it cannot be written.
        """
        assert frame.luma is not None, "read with its luma"
        assert frame.pts is not None, "readers give every frame a time"
        color = self._info.color
        chroma = from_rgb(rgb, self.pix_fmt, color=color, scaler=self._scaler)
        u, v = (read_plane(plane, bits=self.bits) for plane in chroma.planes[1:3])
        luma = with_depth(frame.luma, _depth(frame.luma, self._info), self.bits, range=color.range)
        self._writer.write_yuv(luma, u, v, frame.pts)


def with_depth(plane: Plane, bits: int, wanted: int, *, range: Range) -> Plane:  # noqa: A002, the word of `Color`
    """Return samples of `bits` at another depth; of the same depth they are untouched.

    Args:
        plane: (H, W).
        bits: per sample.
        wanted: per sample of the result, uint8 up to 8, else uint16.
        range: limited samples are scaled by a power of two, full ones from white to white.
    """
    if bits == wanted:
        return plane
    scale = (2**wanted - 1) / (2**bits - 1) if range == "full" else 2.0 ** (wanted - bits)
    scaled = np.clip(np.rint(plane * scale), 0, 2**wanted - 1)
    return scaled.astype(np.uint8) if wanted <= 8 else scaled.astype(np.uint16)


def _depth(plane: Plane, info: VideoInfo) -> int:
    """Return the bits of a source's luma: 8 where it was derived from RGB."""
    return 8 if plane.dtype == np.uint8 else info.bit_depth
