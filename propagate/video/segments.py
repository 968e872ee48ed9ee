"""Closed segments of encoded video: each a file of its own, written whole, so that a killed run loses at most one.

A segment is one line of JSON (the settings it was made with), then for each packet its time in ticks, a keyframe mark,
its size and its bytes; last the SHA-256 of all before, so that one that was cut or zeroed is not taken for whole.
Nothing else can express exact ticks of any time base for every codec, and packets are copied from here into the final
container without being touched.
"""

from __future__ import annotations

import hashlib
import os
import struct
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from propagate.errors import OutputError

_RECORD = struct.Struct("<q?I")  # pts, keyframe, size
_DIGEST = hashlib.sha256().digest_size
_SUFFIX = ".segment"
_PARTIAL = ".partial"


@dataclass(frozen=True)
class EncodedFrame:
    """One packet: one frame, since there are no B-frames and no hidden ones.

    Attributes:
        pts: presentation and decoding time in ticks.
        keyframe: whether decoding can start here.
        data: the packet's bytes.
    """

    pts: int
    keyframe: bool
    data: bytes


class SegmentFolder:
    """The segments of one video in a folder; what an interrupted run left unfinished is removed on opening.

    Args:
        folder: where the segments lie; made when missing.
        settings: one line; segments written under another one are refused.
        frames: frames per segment.

    Raises:
        OutputError: the folder holds segments of other settings.
    """

    def __init__(self, folder: Path, settings: str, *, frames: int) -> None:
        self.folder = folder
        self.frames = frames
        self.last_pts: int | None = None
        self._header = f"{settings} {frames}\n".encode()
        self._open: BinaryIO | None = None
        self._digest = hashlib.sha256()
        folder.mkdir(parents=True, exist_ok=True)
        self.whole = self._count_whole()

    def _count_whole(self) -> int:
        """Count the leading full segments and remove everything after them."""
        for path in self.folder.glob(f"*{_SUFFIX}{_PARTIAL}"):
            path.unlink()
        whole = 0
        while self._path(whole).exists():
            if not self._is_undamaged(whole):
                break
            stamps = [frame.pts for frame in self._frames_of(whole)]
            if len(stamps) < self.frames:
                break
            whole, self.last_pts = whole + 1, stamps[-1]
        for path in self.folder.glob(f"*{_SUFFIX}"):
            if int(path.stem) >= whole:
                path.unlink()
        return whole

    def _path(self, number: int) -> Path:
        return self.folder / f"{number:06d}{_SUFFIX}"

    @property
    def _partial(self) -> Path:
        return self._path(self.whole).with_suffix(_SUFFIX + _PARTIAL)

    def _is_undamaged(self, number: int) -> bool:
        """Return whether a segment is as it was written; one of other settings counts as such, and is refused later."""
        data = self._path(number).read_bytes()
        body, digest = data[:-_DIGEST], data[-_DIGEST:]
        return hashlib.sha256(body).digest() == digest

    def append(self, packet: EncodedFrame) -> None:
        """Add one packet to the segment being written, which is dropped when that fails."""
        if self._open is None:
            self._open, self._digest = self._partial.open("wb"), hashlib.sha256()
            self._write(self._header)
        try:
            self._write(_RECORD.pack(packet.pts, packet.keyframe, len(packet.data)))
            self._write(packet.data)
        except OSError:
            with suppress(OSError):  # closing writes what is buffered, and fails as the write did
                self.discard()
            raise

    def _write(self, data: bytes) -> None:
        assert self._open is not None
        self._open.write(data)
        self._digest.update(data)

    def commit(self) -> None:
        """Make the segment being written a whole one, under its final name; nothing when it is empty."""
        if self._open is None:
            return
        file, self._open = self._open, None
        file.write(self._digest.digest())
        file.close()
        os.replace(self._partial, self._path(self.whole))
        self.whole += 1

    def discard(self) -> None:
        """Drop the segment being written."""
        if self._open is None:
            return
        file, self._open = self._open, None
        try:
            file.close()
        finally:
            self._partial.unlink()

    def packets(self) -> Iterator[EncodedFrame]:
        """Yield the packets of all whole segments in order, one at a time."""
        for number in range(self.whole):
            yield from self._frames_of(number)

    def _frames_of(self, number: int) -> Iterator[EncodedFrame]:
        path = self._path(number)
        end = path.stat().st_size - _DIGEST
        with path.open("rb") as file:
            if file.readline() != self._header:
                raise OutputError(f"{path}: written with other settings", hint=f"remove {self.folder} to start again")
            while file.tell() < end:
                pts, keyframe, size = _RECORD.unpack(file.read(_RECORD.size))
                yield EncodedFrame(pts, keyframe, file.read(size))

    def remove(self) -> None:
        """Delete all segments, and the folder when nothing else lies in it."""
        for path in self.folder.glob(f"*{_SUFFIX}"):
            path.unlink()
        if not any(self.folder.iterdir()):
            self.folder.rmdir()
