"""Frames of a video, in order, upright, every one accounted for."""

from __future__ import annotations

import logging
from bisect import bisect_left
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import av
import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from propagate.errors import ConfigError
from propagate.files import is_folder
from propagate.values import Frame
from propagate.video.color import to_rgb
from propagate.video.folder import probe_folder, read_folder
from propagate.video.info import SourceKind, VideoInfo
from propagate.video.packets import Damage, best_video, decode_packets, open_file
from propagate.video.planes import Plane, displayed, luma_plane
from propagate.video.probe import needs_spool, probe_file, spooled

HELD = 1 << 26  # bytes of pictures that are held to be read backward
_LOG = logging.getLogger(__name__)


def placed_pictures(path: Path, info: VideoInfo, *, first: int, last: int) -> Iterator[tuple[int, VideoFrame]]:
    """Yield decoded pictures, as stored, with their indices: ascending, with gaps where nothing could be decoded.

    Args:
        path: the file to open.
        info: what `probe` said of it; its `pts` is the packet table.
        first: index of the first picture wanted.
        last: index after the last picture wanted.
    """
    stamps = info.stamps or info.pts
    seeks = first > 0 and info.timed and not info.stamps and info.pts[first - 1] < info.pts[first]
    pictures = _from_keyframe(path, info, first) if seeks else _decoded(path, info)
    placed = _by_time(pictures, stamps, first if seeks else 0) if info.timed else _counted(pictures, info)
    for index, picture in placed:
        if index >= last:
            return
        if index >= first:
            yield index, picture


def _counted(pictures: Iterator[VideoFrame | None], info: VideoInfo) -> Iterator[tuple[int, VideoFrame]]:
    """Yield pictures without times with their indices: one packet that failed is one lost picture."""
    held = [place for place, stamp in enumerate(info.stamps) if place == 0 or stamp != info.stamps[place - 1]]
    for number, picture in enumerate(pictures):
        if picture is not None:
            yield held[number] if number < len(held) else number, picture


def _by_time(
    pictures: Iterator[VideoFrame | None], stamps: tuple[int, ...], following: int
) -> Iterator[tuple[int, VideoFrame]]:
    """Yield pictures with their indices, found by their times; one without a known time waits for the next one's.

    Only when that leaves the place before it free does the place belong to the picture that waits.

    Args:
        pictures: decoded, None for a packet that failed.
        stamps: the times that pictures carry, ascending.
        following: the index that comes next.
    """
    waiting: VideoFrame | None = None
    for picture in pictures:
        if picture is None:
            continue
        index = locate(stamps, picture.pts, following=following)
        known = index is not None and index < len(stamps) and picture.pts == stamps[index]
        if waiting is not None and following < len(stamps) and (not known or (index or 0) > following):
            yield following, waiting
            following += 1
            index = locate(stamps, picture.pts, following=following)
        waiting = None
        if known and index is not None:
            yield index, picture
            following = index + 1
        elif index is not None:
            waiting = picture
    if waiting is not None and following < len(stamps):
        yield following, waiting


def locate(pts: tuple[int, ...], stamp: int | None, *, following: int) -> int | None:
    """Return the index of a picture by its time, or None for one that does not come after the picture before.

    Args:
        pts: the packet table, ascending, duplicates kept.
        stamp: the picture's time; one that is missing, or not in the table, belongs to the next index.
        following: the index after the picture before.
    """
    if stamp is None:
        return following
    index = bisect_left(pts, stamp, lo=min(following, len(pts)))
    if index < len(pts) and pts[index] == stamp:
        return index
    return None if following > 0 and stamp <= pts[following - 1] else following


def _from_keyframe(path: Path, info: VideoInfo, first: int) -> Iterator[VideoFrame | None]:
    """Decode from the keyframe at or before `first`; from the start of the file when seeking lands behind it."""
    checked = False
    for picture in _decoded(path, info, seek_to=info.pts[first]):
        if not checked and picture is not None:
            if picture.pts is None or picture.pts > info.pts[first]:
                break
            checked = True
        yield picture
    if not checked:
        yield from _decoded(path, info)


def _decoded(path: Path, info: VideoInfo, *, seek_to: int | None = None) -> Iterator[VideoFrame | None]:
    with open_file(path, name=info.path) as container:
        stream = best_video(container, name=info.path)
        if seek_to is not None:
            try:
                container.seek(seek_to, stream=stream)
            except av.FFmpegError as error:  # some streams cannot be sought: everything before is decoded and dropped
                _LOG.debug("%s: cannot seek: %s", info.path, error)
        yield from decode_packets(container, stream, damage=Damage())


def read_video(
    source: str | Path,
    *,
    start: int | float | None = None,
    end: int | float | None = None,
    luma: bool = False,
    autorotate: bool = True,
    matrix: str | None = None,
) -> VideoReader:
    """Return a reader of a video file, a folder of images, or "-" for standard input.

    Args:
        source: the file, the folder, or "-".
        start: the first frame: an index (int) or seconds (float).
        end: where to stop, exclusive: an index (int) or seconds (float).
        luma: also give each frame's own luma plane at its own depth.
        autorotate: turn pictures as they are displayed.
        matrix: the YUV matrix ("601", "709", "2020") that overrides the stream's tag.

    Raises:
        InputError: nothing there can be read as video.
        ConfigError: `start` and `end` leave no frame, or there is no such matrix.
    """
    with ExitStack() as stack:
        path = stack.enter_context(spooled(source)) if needs_spool(source) else Path(source)
        if is_folder(path):
            info = probe_folder(path)
        else:
            kind: SourceKind = "file" if path == Path(source) else "stdin"
            info = probe_file(path, name=str(source), kind=kind, matrix=matrix)
        first, last = _span(info, start, end)
        if not autorotate:
            info = info.stored()
        return VideoReader(path, info, first=first, last=last, luma=luma, upright=autorotate, owned=stack.pop_all())


def _span(info: VideoInfo, start: int | float | None, end: int | float | None) -> tuple[int, int]:
    count = len(info.pts)
    first = 0 if start is None else _index_of(info, start)
    last = count if end is None else min(count, _index_of(info, end))
    if first >= last:
        wanted = f"frames {first} to {last}" if start is None or end is None else f"from {start} to {end}"
        hint = f"the video has {count} frames in {info.duration:.2f} s"
        raise ConfigError(f"{info.path}: {wanted} holds no frame", hint=hint)
    return first, last


def _index_of(info: VideoInfo, place: int | float) -> int:
    """The index that a person means: itself, or the first frame at or after some seconds."""
    if isinstance(place, int):
        if place < 0:
            raise ConfigError(f"a frame index must be 0 or more, not {place}")
        return place
    ticks = (place + float(info.start)) / float(info.time_base)
    return bisect_left(info.pts, ticks - 1e-6)


class VideoReader:
    """Frames of one video, in order; each iteration starts again at the first. Nothing is kept: memory is flat.

    Use it as a context manager: leaving it removes the temporary copy of a pipe.

    Attributes:
        info: what is known of the whole video.
        first: index of the first frame that is yielded.
        last: index after the last frame that is yielded.
        missing: indices that could not be decoded, complete after an iteration.
        patched: indices of pictures that hold damage which the decoder has painted over, complete likewise.
    """

    def __init__(
        self,
        path: Path,
        info: VideoInfo,
        *,
        first: int,
        last: int,
        luma: bool,
        upright: bool,
        owned: ExitStack,
    ) -> None:
        self.info = info
        self.first = first
        self.last = last
        self.missing: list[int] = []
        self.patched: list[int] = []
        self._path = path
        self._luma = luma
        self._turns = info.rotation // 90 if upright else 0
        self._mirrored = info.mirrored and upright
        self._owned = owned

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __len__(self) -> int:
        return self.last - self.first

    def __iter__(self) -> Iterator[Frame]:
        self.missing.clear()
        self.patched.clear()
        for frame in self._frames(self.first, self.last, self.patched):
            if frame.undecodable:
                self.missing.append(frame.index)
            yield frame

    def part(self, first: int, last: int) -> Iterator[Frame]:
        """Yield the frames from one to before another, found by seeking."""
        return self._frames(first, last, [])

    def backward(self, first: int, last: int) -> Iterator[Frame]:
        """Yield the same frames, the last first: read in short parts, of which one at a time is held."""
        height, width = self.info.size
        step = max(1, HELD // (3 * height * width))
        for end in range(last, first, -step):
            yield from reversed(list(self.part(max(first, end - step), end)))

    def frame(self, index: int) -> Frame:
        """Return one frame, found by seeking."""
        (frame,) = self.part(index, index + 1)
        return frame

    @property
    def path(self) -> Path:
        """The file or folder that is read: for a pipe its temporary copy, until `close`."""
        return self._path

    @property
    def damaged(self) -> bool:
        """Whether something of what was asked for is lost: frames that did not decode, or not whole, or the end."""
        return bool(self.missing or self.patched) or (self.info.ends_early and self.last == len(self.info.pts))

    def close(self) -> None:
        """Remove the temporary copy of a pipe, if there is one."""
        self._owned.close()

    def _frames(self, first: int, last: int, patched: list[int]) -> Iterator[Frame]:
        """Yield the frames from one to before another; `patched` takes the indices of those that hold damage."""
        if self.info.kind == "folder":
            return read_folder(self._path, self.info, first=first, last=last, luma=self._luma)
        return self._file_frames(first, last, patched)

    def _file_frames(self, first: int, last: int, patched: list[int]) -> Iterator[Frame]:
        good, scaler = self._black(), VideoReformatter()  # one of its own: parts are read at once, in several threads
        expected = first
        for index, picture in placed_pictures(self._path, self.info, first=first, last=last):
            if not self._fits(picture):  # the size changed in the middle: as good as lost
                continue
            for lost in range(expected, index):
                yield replace(good, index=lost, stem=_stem(lost), time=self.info.time(lost), pts=self.info.pts[lost])
            if picture.is_corrupt:
                patched.append(index)
            yield (frame := self._frame(index, picture, scaler))
            good, expected = replace(frame, undecodable=True), index + 1
        for lost in range(expected, last):
            yield replace(good, index=lost, stem=_stem(lost), time=self.info.time(lost), pts=self.info.pts[lost])

    def _black(self) -> Frame:
        rgb = np.zeros((*self.info.size, 3), np.uint8)
        deep = self.info.bit_depth > 8
        plane: Plane = np.zeros(self.info.size, np.uint16) if deep else np.zeros(self.info.size, np.uint8)
        return Frame(index=0, time=0.0, rgb=rgb, stem="", luma=plane if self._luma else None, undecodable=True)

    def _frame(self, index: int, picture: VideoFrame, scaler: VideoReformatter) -> Frame:
        rgb = to_rgb(picture, self.info.color, scaler=scaler)
        plane: NDArray[Any] | None = None
        if self._luma:
            plane = luma_plane(picture, rgb, color=self.info.color, scaler=scaler)
        return Frame(
            index=index,
            time=self.info.time(index),
            rgb=displayed(rgb, turns=self._turns, mirrored=self._mirrored),
            stem=_stem(index),
            pts=self.info.pts[index],
            luma=None if plane is None else displayed(plane, turns=self._turns, mirrored=self._mirrored),
        )

    def _fits(self, picture: VideoFrame) -> bool:
        size = (picture.height, picture.width)
        return (size[::-1] if self._turns % 2 else size) == self.info.size


def _stem(index: int) -> str:
    return f"{index:05d}"
