"""Writing video so that a killed run, started again, ends with the same bytes as an unbroken one.

Frames are encoded in closed segments by fresh encoders without B-frames, and the segments are joined by copying
packets. Times are the source's own: ticks of its time base, also at a variable rate.

Odd sizes. With subsampled chroma (yuv420p, the default) h264 and prores store even sizes: the last row or column is
repeated once, which suits an overlay. To keep an odd size exactly (colorize) pass pix_fmt="yuv444p", or ffv1.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self

import av
import numpy as np
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from propagate.errors import OutputError
from propagate.video.color import Color, from_rgb
from propagate.video.encoder import CodecName, EncoderSettings, container_of, default_pix_fmt, new_encoder
from propagate.video.mux import mux_video
from propagate.video.planes import Plane, depth_of, write_plane
from propagate.video.segments import EncodedFrame, SegmentFolder

SEGMENT_FRAMES = 100  # as often as the engine saves its window


def open_video_writer(
    path: Path,
    *,
    size: tuple[int, int],
    time_base: Fraction,
    state: Path,
    rate: Fraction | None = None,
    codec: CodecName = "h264",
    crf: int = 20,
    pix_fmt: str | None = None,
    segment_frames: int = SEGMENT_FRAMES,
    color: Color | None = None,
    sample_aspect: Fraction | None = None,
) -> VideoWriter:
    """Return a writer of one video; whole segments that an earlier run left in `state` are kept.

    Args:
        path: the file to write in the end; .mp4, .mkv or .mov.
        size: (height, width) of the pictures.
        time_base: seconds per tick of the times that `write` is given.
        state: a folder of this video's own for its segments; removed by `finish`.
        rate: average frames per second, a hint for rate control; 25 without one.
        codec: "h264" (x264 veryfast), "prores" (.mov, .mkv) or "ffv1" (lossless, .mkv).
        crf: quality of h264, 0 (lossless) to 51.
        pix_fmt: stored pixel format; yuv420p for h264, yuv422p10le for prores, bgr0 for ffv1.
        segment_frames: frames per segment.
        color: matrix, range and tags; without one, limited range, BT.709 from 720 lines and BT.601 below.
        sample_aspect: width : height of a pixel, 1 without one.

    Raises:
        ConfigError: an unknown suffix, codec or pixel format, or a codec that the container cannot hold.
        OutputError: `state` cannot be written, or holds segments of other settings.
    """
    container = container_of(path.suffix, codec)
    settings = EncoderSettings(
        codec=codec,
        pix_fmt=pix_fmt or default_pix_fmt(codec),
        size=size,
        time_base=time_base,
        rate=rate or Fraction(25),
        crf=crf,
        color=color or Color.for_height(size[0]),
        sample_aspect=sample_aspect or Fraction(1),
    )
    with _translated(state):
        segments = SegmentFolder(state, settings.to_json(), frames=segment_frames)
    return VideoWriter(path, settings, container=container, segments=segments)


class VideoWriter:
    """One video being written; made by `open_video_writer`.

    As a context manager it drops the unfinished segment on leaving; `finish` must be called for the file to exist.
    """

    def __init__(self, path: Path, settings: EncoderSettings, *, container: str, segments: SegmentFolder) -> None:
        self.path = path
        self.settings = settings
        self._container = container
        self._segments = segments
        self._encoder: VideoCodecContext | None = None
        self._last_pts = segments.last_pts
        self._pending = 0
        self._frames_done = segments.whole * segments.frames
        self._scaler = VideoReformatter()

    @property
    def frames_done(self) -> int:
        """How many frames lie in whole segments: the index at which a resumed run continues writing."""
        return self._frames_done

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def write(self, rgb: NDArray[np.uint8], pts: int) -> None:
        """Add one picture.

        Args:
            rgb: (H, W, 3) uint8.
            pts: its time in ticks; one that does not follow the time before is moved to the next tick.

        Raises:
            OutputError: it cannot be written.
            ValueError: the picture is not of the writer's size.
        """
        if rgb.shape != (*self.settings.size, 3):
            raise ValueError(f"a picture must be {(*self.settings.size, 3)}, not {rgb.shape}")
        (height, width), (rows, columns) = self.settings.size, self.settings.stored
        padded = np.pad(rgb, ((0, rows - height), (0, columns - width), (0, 0)), mode="edge")
        self._add(from_rgb(padded, self.settings.pix_fmt, color=self.settings.color, scaler=self._scaler), pts)

    def write_yuv(self, y: Plane, u: Plane, v: Plane, pts: int) -> None:
        """Add one picture as planes, which are stored as they are.

        Args:
            y: (H, W), uint8 or, above 8 bits, uint16.
            u: its first chroma plane at the pixel format's own size, rounded up.
            v: its second chroma plane.
            pts: its time in ticks, as in `write`.

        Raises:
            OutputError: it cannot be written.
            ValueError: a plane's size or type does not fit the pixel format.
        """
        rows, columns = self.settings.stored
        frame = VideoFrame(columns, rows, self.settings.pix_fmt)
        wanted = np.uint8 if depth_of(frame) <= 8 else np.uint16
        if y.shape != self.settings.size or {y.dtype, u.dtype, v.dtype} != {np.dtype(wanted)}:
            raise ValueError(
                f"luma must be {self.settings.size} and planes {np.dtype(wanted)}, not {y.shape} {y.dtype}"
            )
        for plane, samples in zip(frame.planes, (y, u, v), strict=True):
            write_plane(plane, samples)
        self._add(frame, pts)

    def _add(self, frame: VideoFrame, pts: int) -> None:
        with _translated(self.path):
            if self._encoder is None:
                self._encoder = new_encoder(self.settings)
            self._last_pts = pts if self._last_pts is None else max(pts, self._last_pts + 1)
            frame.pts, frame.time_base = self._last_pts, self.settings.time_base
            self._store(frame)
            self._pending += 1
            if self._pending == self._segments.frames:
                self._end_segment()

    def _store(self, frame: VideoFrame | None) -> None:
        assert self._encoder is not None
        for packet in self._encoder.encode(frame):
            assert packet.pts is not None
            self._segments.append(EncodedFrame(packet.pts, packet.is_keyframe, bytes(packet)))

    def _end_segment(self) -> None:
        self._store(None)
        self._encoder = None
        self._segments.commit()
        self._frames_done, self._pending = self._frames_done + self._pending, 0

    def finish(self, audio_from: Path | None = None, *, span: tuple[float, float] | None = None) -> Path:
        """Join the segments into the file, under its final name only when it is whole, and remove them.

        Args:
            audio_from: a file whose sound, subtitles, attachments, chapters and metadata are copied. What does not fit
                the container is left out with a logged warning.
            span: seconds on `audio_from`'s clock outside which its packets are dropped (for a part of a video).

        Returns:
            The file.

        Raises:
            OutputError: it cannot be written; the segments are kept.
            InputError: `audio_from` cannot be opened.
            ValueError: no frame was written.
        """
        partial = self.path.with_name(self.path.name + ".partial")
        with _translated(self.path):
            if self._pending:
                self._end_segment()
            if not self._segments.whole:
                raise ValueError(f"{self.path}: no frame was written")
            try:
                mux_video(
                    partial,
                    self._segments.packets(),
                    name=self.path.name,
                    container=self._container,
                    settings=self.settings,
                    copy_from=audio_from,
                    span=span,
                )
                os.replace(partial, self.path)
            finally:
                partial.unlink(missing_ok=True)
            self._segments.remove()
        return self.path

    def close(self) -> None:
        """Drop the unfinished segment; whole ones stay for a resumed run."""
        self._encoder = None
        self._pending = 0
        with _translated(self.path):
            self._segments.discard()


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    """Turn what PyAV and the system say while writing into an OutputError about `path`."""
    try:
        yield
    except (av.FFmpegError, OSError) as error:
        cause = error.strerror or str(error) or type(error).__name__
        raise OutputError(
            f"{path}: cannot be written: {cause}", hint="check its folder, permissions and free space"
        ) from error
