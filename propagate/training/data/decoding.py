"""One pass over one video: frames shrunken with antialiasing, thinned to a rate, and divided into shots."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from threading import Lock

import numpy as np
import torch
from numpy.typing import NDArray

from propagate.errors import InputError, PropagateError
from propagate.ops.grid import input_size
from propagate.training.data.shots import CutFinder, Shot
from propagate.values import Frame
from propagate.video import VideoReader, read_video

RATE = 24.0  # frames per second of what has no times, as in `video.folder`
UNREADABLE = (PropagateError, OSError, ValueError, RuntimeError)  # what a damaged video may raise inside the decoders
Keep = Callable[[NDArray[np.uint8]], None]


@dataclass(frozen=True)
class Span:
    """One shot of a video: `frames` neighbouring ones of its kept frames, from `start` on, `rate` to the second."""

    start: int
    frames: int
    rate: float


@dataclass(frozen=True)
class Scan:
    """What one pass over a video has found.

    Attributes:
        size: (height, width) of the shrunken frames.
        kept: for each kept frame its index in the video.
        spans: the shots of two kept frames or more; one at least.
        lost: frames that did not decode, or not whole.
    """

    size: tuple[int, int]
    kept: tuple[int, ...]
    spans: tuple[Span, ...]
    lost: int


def scan(path: Path, *, side: int, rate: float | None, keep: Keep) -> Scan:
    """Return the shots of a video, after `keep` has been given every kept frame (h, w, 3) in order.

    Frames that did not decode whole are left out, and a shot ends there.

    Args:
        path: a video file or a folder of images.
        side: pixels of the short side, never enlarged.
        rate: at most that many frames a second; None keeps all.
        keep: takes the shrunken frames.

    Raises:
        InputError: it cannot be read, or has fewer than two frames.
    """
    finder, indices, times, kept, lost = CutFinder(), list[int](), list[float](), list[int](), 0
    with read_video(path) as reader:
        size = input_size(reader.info.size, side)
        thinning = Thinning(rate)
        for frame in reader:
            if _is_broken(frame, reader):
                lost += 1
                continue
            picture = shrunken(frame.rgb, size)
            finder.add(picture)
            if thinning.keeps(frame.time):
                kept.append(len(indices))
                keep(picture)
            indices.append(frame.index)
            times.append(frame.time)
        fallback = float(reader.info.rate or RATE)
    _check_length(path, len(indices), lost=lost)
    borders = sorted({*finder.cuts(), *(place + 1 for place, step in enumerate(np.diff(indices)) if step > 1)})
    spans = tuple(_spans(np.array(kept), np.array(times), borders, fallback=fallback))
    if not spans:
        raise InputError(f"{path}: no two frames in a row without a cut or a loss between them")
    return Scan(size, tuple(indices[place] for place in kept), spans, lost)


class Thinning:
    """Which frames are kept so that there are at most `rate` a second: the first of each 1/rate seconds."""

    def __init__(self, rate: float | None) -> None:
        self._rate = rate
        self._begin: float | None = None
        self._slot = -1

    def keeps(self, time: float) -> bool:
        """Return whether the frame of this time is kept; to be asked of every frame in order."""
        if self._rate is None:
            return True
        if self._begin is None:
            self._begin = time
        slot = int((time - self._begin) * self._rate + 1e-3)  # times in ticks are rounded
        if slot <= self._slot:
            return False
        self._slot = slot
        return True


def read_kept(path: Path, wanted: NDArray[np.int64], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Return frames of a video by their indices in it, ascending, shrunken to `size`: (N, h, w, 3).

    Raises:
        InputError: it cannot be read any more.
    """
    places = {int(index): place for place, index in enumerate(wanted)}
    frames: NDArray[np.uint8] = np.empty((len(wanted), *size, 3), np.uint8)
    with read_video(path, start=int(wanted[0]), end=int(wanted[-1]) + 1) as reader:
        found = 0
        for frame in reader:
            if (place := places.get(frame.index)) is not None:
                frames[place] = shrunken(frame.rgb, size)
                found += 1
    if found < len(wanted):
        raise InputError(f"{path}: {len(wanted) - found} frames are gone", hint="was the video changed?")
    return frames


def shrunken(rgb: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Return a picture (H, W, 3) as (h, w, 3), antialiased."""
    if rgb.shape[:2] == size:
        return rgb
    picture = torch.from_numpy(np.require(rgb, requirements=["C", "W"])).permute(2, 0, 1)[None]
    small = torch.nn.functional.interpolate(picture, size=size, mode="bilinear", antialias=True)
    return small[0].permute(1, 2, 0).contiguous().numpy()


def _is_broken(frame: Frame, reader: VideoReader) -> bool:
    return frame.undecodable or (bool(reader.patched) and reader.patched[-1] == frame.index)


def _check_length(path: Path, frames: int, *, lost: int) -> None:
    if frames < 2:
        broken = f", {lost} more are damaged" if lost else ""
        found = "one frame only" if frames == 1 else "no whole frame"
        raise InputError(f"{path}: {found}{broken}", hint="a video to learn from has two frames or more")


def _spans(
    kept: NDArray[np.int64], times: NDArray[np.float64], borders: list[int], *, fallback: float
) -> Iterator[Span]:
    """Yield the shots between `borders`, positions among the whole frames, with their own rates."""
    for begin, end in pairwise([0, *borders, len(times)]):
        first, last = np.searchsorted(kept, [begin, end])
        if last - first >= 2:
            seconds = times[kept[last - 1]] - times[kept[first]]
            rate = (last - first - 1) / seconds if seconds > 0 else fallback
            yield Span(int(first), int(last - first), round(float(rate), 6))


CACHE_BYTES = 1 << 30  # of decoded frames that are kept in memory
BLOCK = 16  # kept frames that are held or dropped together, about what a clip spans


class DecodedFrames:
    """Frames decoded on demand in blocks, of which the last used are kept in memory.

    Args:
        side: pixels of the short side.
        rate: at most that many frames a second.
        memory: bytes to keep.
    """

    def __init__(self, *, side: int, rate: float | None, memory: int) -> None:
        self._side, self._rate, self._memory = side, rate, memory
        self._scans: dict[Path, Scan] = {}
        self._blocks: OrderedDict[tuple[Path, int], NDArray[np.uint8]] = OrderedDict()  # last used last
        self._held = 0
        self._lock = Lock()

    def add(self, path: Path) -> Scan:
        """Return what one pass over a video finds; its frames are kept while there is room."""
        frames: list[NDArray[np.uint8]] = []
        blocks = 0

        def keep(picture: NDArray[np.uint8]) -> None:
            nonlocal blocks
            frames.append(picture)
            if len(frames) == BLOCK:
                self._fill((path, blocks), frames)
                blocks += 1

        try:
            found = scan(path, side=self._side, rate=self._rate, keep=keep)
        except Exception:
            self._drop(path)
            raise
        self._fill((path, blocks), frames)
        self._scans[path] = found
        return found

    def read(self, shot: Shot, positions: Sequence[int]) -> NDArray[np.uint8]:
        """Return the frames (T, h, w, 3) at these positions within the shot."""
        places = [shot.start + position for position in positions]
        blocks = self._blocks_of(shot.source, sorted({place // BLOCK for place in places}))
        return np.stack([blocks[place // BLOCK][place % BLOCK] for place in places])

    @property
    def complete(self) -> bool:
        """Whether all frames of all videos are in memory."""
        return len(self._blocks) == sum(-(-len(found.kept) // BLOCK) for found in self._scans.values())

    def _blocks_of(self, path: Path, numbers: list[int]) -> dict[int, NDArray[np.uint8]]:
        """Blocks of a video by number: kept frames from number * BLOCK on, (BLOCK or fewer, h, w, 3)."""
        blocks = {}
        with self._lock:
            for number in numbers:
                if (path, number) in self._blocks:
                    self._blocks.move_to_end((path, number))
                    blocks[number] = self._blocks[path, number]
        missing = [number for number in numbers if number not in blocks]
        return blocks | self._decoded(path, missing[0], missing[-1]) if missing else blocks

    def _decoded(self, path: Path, first: int, last: int) -> dict[int, NDArray[np.uint8]]:
        """Blocks `first` to `last`, decoded in one go."""
        found = self._scans[path]
        wanted = np.array(found.kept[first * BLOCK : (last + 1) * BLOCK])
        try:
            frames = read_kept(path, wanted, found.size)
        except UNREADABLE as error:
            raise InputError(f"{path}: cannot be read any more: {error}") from error
        blocks = {first + index: frames[index * BLOCK :][:BLOCK].copy() for index in range(last - first + 1)}
        for number, block in blocks.items():
            self._hold((path, number), block)
        return blocks

    def _fill(self, key: tuple[Path, int], frames: list[NDArray[np.uint8]]) -> None:
        """Move the frames of a first pass into the cache if there is room."""
        if frames and self._held + frames[0].nbytes * len(frames) <= self._memory:
            self._hold(key, np.stack(frames))
        frames.clear()

    def _drop(self, path: Path) -> None:
        for key in [key for key in self._blocks if key[0] == path]:
            self._held -= self._blocks.pop(key).nbytes

    def _hold(self, key: tuple[Path, int], block: NDArray[np.uint8]) -> None:
        with self._lock:
            if key in self._blocks:  # another thread was faster
                return
            self._blocks[key] = block
            self._held += block.nbytes
            while self._held > self._memory and len(self._blocks) > 1:
                self._held -= self._blocks.popitem(last=False)[1].nbytes
