"""Frames that are decoded whenever they are asked for, the last used kept in memory."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from propagate.errors import InputError
from propagate.training.decoding import UNREADABLE, Scan, read_kept, scan
from propagate.training.shots import Shot

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
