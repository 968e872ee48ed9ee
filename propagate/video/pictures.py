"""Decoded pictures at their index: each is looked up by its time in the packet table, so that none ever shifts."""

from __future__ import annotations

import logging
from bisect import bisect_left
from collections.abc import Iterator
from pathlib import Path

import av
from av.video.frame import VideoFrame

from propagate.video.info import VideoInfo
from propagate.video.packets import Damage, best_video, decode_packets, open_file

_LOG = logging.getLogger(__name__)


def placed_pictures(path: Path, info: VideoInfo, *, first: int, last: int) -> Iterator[tuple[int, VideoFrame]]:
    """Yield decoded pictures, as stored, with their indices: ascending, with gaps where nothing could be decoded.

    Args:
        path: the file to open.
        info: what `probe` said of it; its `pts` is the packet table.
        first: index of the first picture wanted.
        last: index after the last picture wanted.
    """
    seeks = first > 0 and info.timed and info.pts[first - 1] < info.pts[first]
    following = first if seeks else 0  # the index that comes next
    for picture in _from_keyframe(path, info, first) if seeks else _decoded(path, info):
        if picture is None:  # with times the next picture's tells; without, one failed packet is one lost picture
            following += 0 if info.timed else 1
            continue
        index = locate(info.pts, picture.pts, following=following) if info.timed else following
        if index is None:
            continue
        if index >= last:
            return
        following = index + 1
        if index >= first:
            yield index, picture


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
