"""What is known of a video before any of its pictures is used: the value that `probe` and the reader hand out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Literal

from propagate.video.color import Color

SourceKind = Literal["file", "folder", "stdin"]


@dataclass(frozen=True)
class VideoInfo:
    """One video, as displayed.

    Attributes:
        path: the file or folder, "-" for standard input.
        kind: where it comes from.
        width: pixels of the displayed (upright) picture.
        height: pixels of the displayed (upright) picture.
        frames: exact count, from a pass over the packets; None when nobody can know.
        duration: seconds, from the first picture's start to the last one's end.
        rate: average frames per second, None when unknown.
        time_base: seconds per tick of `pts`.
        pts: presentation time of every frame in ticks, in presentation order; duplicates are kept.
        start: seconds at which the container's clock starts; a frame's time is `pts * time_base - start`.
        variable_rate: whether the intervals between frames differ by more than rounding.
        rotation: degrees counter-clockwise by which the stored picture is turned to be displayed: 0, 90, 180, 270.
        mirrored: whether the stored picture is mirrored left to right, before it is turned.
        sample_aspect: width : height of one displayed pixel.
        codec: the decoder's name; an image format's name for a folder.
        pix_fmt: the stored pixel format, in FFmpeg's words (Pillow's mode for a folder).
        bit_depth: bits per stored sample.
        color: matrix, range, primaries and transfer as used.
        audio: number of audio streams.
        timed: false when pictures cannot be told by their times (a raw stream, B-frames in an AVI) and are counted.
        stamps: the times that decoded pictures carry, where damage has shifted them against `pts`; else empty.
        lost: how many frames have no packet left in the file; they are counted in `frames`.
        ends_early: the file stops before its own header says; what decodes is usable, the rest is lost.
        problems: one line each, in plain words.
        notes: those of `problems` that a run says too, since they change what its frames are.
    """

    path: str
    kind: SourceKind
    width: int
    height: int
    frames: int | None
    duration: float
    rate: Fraction | None
    time_base: Fraction
    pts: tuple[int, ...]
    start: Fraction
    variable_rate: bool
    rotation: int
    mirrored: bool
    sample_aspect: Fraction
    codec: str
    pix_fmt: str
    bit_depth: int
    color: Color
    audio: int = 0
    timed: bool = True
    stamps: tuple[int, ...] = ()
    lost: int = 0
    ends_early: bool = False
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the displayed picture in pixels."""
        return self.height, self.width

    @property
    def matrix(self) -> str:
        """The YUV matrix as used, such as "bt709"."""
        return self.color.matrix

    @property
    def range(self) -> str:
        """The sample range as used: "limited" or "full"."""
        return self.color.range

    @property
    def primaries(self) -> str:
        """The colour primaries' tag, "unspecified" without one."""
        return self.color.primaries

    @property
    def transfer(self) -> str:
        """The transfer characteristic's tag, "unspecified" without one."""
        return self.color.transfer

    def time(self, index: int) -> float:
        """Return the presentation time of frame `index` in seconds on the container's clock."""
        return float(self.pts[index] * self.time_base - self.start)

    def stored(self) -> VideoInfo:
        """Return this info for the picture as stored, not turned (for a reader without autorotation)."""
        if self.rotation % 180 == 0:
            return self
        return replace(self, width=self.height, height=self.width, sample_aspect=1 / self.sample_aspect)
