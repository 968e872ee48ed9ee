"""A frame's planes as arrays, and arrays as a frame's planes: samples untouched, at their own size and depth."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TypeVar, cast

import numpy as np
from av.sidedata.sidedata import SideData, Type
from av.video.frame import VideoFrame
from av.video.plane import VideoPlane
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from propagate.video.color import Color, is_yuv_format, luma_of

Plane = NDArray[np.uint8] | NDArray[np.uint16]

_Sample = TypeVar("_Sample", bound=np.generic)
_SHIFTED = ("p0", "p2", "p4")  # two planes, the samples in the high bits of 16


def luma_plane(frame: VideoFrame, rgb: NDArray[np.uint8], *, color: Color, scaler: VideoReformatter) -> Plane:
    """Return the stream's own luma (H, W), not turned: uint8, or uint16 above 8 bits.

    Planar YUV and grey: the first plane as it is. Packed and high-bit-aligned YUV: repacked, the values unchanged.
    RGB and palette: full-range luma computed from `rgb` with the matrix that `color` names.

    Args:
        frame: the decoded frame.
        rgb: (H, W, 3) uint8, the same frame converted.
        color: what the samples mean.
        scaler: reused between frames.
    """
    name = frame.format.name
    if not is_yuv_format(name) and not name.startswith("gray"):
        return luma_of(rgb, color)
    bits = depth_of(frame)
    if (not frame.format.is_planar and not name.startswith("gray")) or name.startswith(_SHIFTED) or name.endswith("be"):
        grey = name.startswith("gray")
        target = ("gray" if grey else "yuv444p") + (f"{bits}le" if bits > 8 else "")
        frame = scaler.reformat(frame, format=target, threads=1)
    return read_plane(frame.planes[0], bits=bits)


def depth_of(frame: VideoFrame) -> int:
    """Return the bits per sample of a frame's first component."""
    return max(component.bits for component in frame.format.components)


def read_plane(plane: VideoPlane, *, bits: int) -> Plane:
    """Return a copy of one plane (H, W): uint8, or uint16 above 8 bits."""
    dtype = np.dtype(np.uint8 if bits <= 8 else "<u2")
    rows = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)[
        : plane.height, : plane.width * dtype.itemsize
    ]
    return np.ascontiguousarray(rows).view(dtype)


def write_plane(plane: VideoPlane, samples: Plane) -> None:
    """Fill one plane with `samples` (H, W); a missing last row or column is replicated.

    Raises:
        ValueError: the samples are larger than the plane, or smaller by more than one row or column.
    """
    rows, columns = plane.height - samples.shape[0], plane.width - samples.shape[1]
    if samples.ndim != 2 or rows not in (0, 1) or columns not in (0, 1):
        raise ValueError(f"a plane of {plane.width}x{plane.height} cannot hold samples of shape {samples.shape}")
    padded = np.pad(samples, ((0, rows), (0, columns)), mode="edge")
    buffer = np.zeros((plane.height, plane.line_size), np.uint8)
    buffer[:, : plane.width * padded.dtype.itemsize] = np.ascontiguousarray(padded).view(np.uint8)
    plane.update(buffer.tobytes())


def displayed(picture: NDArray[_Sample], *, turns: int, mirrored: bool) -> NDArray[_Sample]:
    """Return a picture (H, W) or (H, W, 3) as displayed, contiguous.

    Args:
        picture: as stored.
        turns: quarter turns counter-clockwise.
        mirrored: mirror left to right first.
    """
    return np.ascontiguousarray(np.rot90(picture[:, ::-1] if mirrored else picture, k=turns))


def display_turn(frame: VideoFrame) -> tuple[float, bool]:
    """Return how a stored picture becomes the displayed one: degrees counter-clockwise, and whether mirrored before.

    The display matrix maps row vectors, (x, y) to (a x + c y, b x + d y); with a negative determinant it is a mirror
    (the first row negated) followed by a turn. PyAV's own `rotation` ignores the mirror.
    """
    for data in cast(Iterable[SideData], frame.side_data):  # PyAV's own type for it is wrong
        if data.type == Type.DISPLAYMATRIX:
            a, b, _, c, d = np.frombuffer(bytes(data), np.int32)[:5].astype(np.float64)
            mirrored = bool(a * d - b * c < 0)
            sign = -1 if mirrored else 1
            return -math.degrees(math.atan2(sign * b, sign * a)) % 360, mirrored
    return 0.0, False
