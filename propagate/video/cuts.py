"""Where one shot ends and the next begins: found while frames are read, or listed in a file.

Two frames are compared as thumbnails of at most 64 pixels: every block of 6 x 6 of the later one is looked for among
the windows of the earlier one up to 6 thumbnail pixels away, a tenth of the picture. What is left of the blocks,
over what a wrong place would leave, is their `unlikeness`: 0 for a picture moved as a whole, .1 in most video, .5 for
pictures that share nothing. As in PySceneDetect's adaptive detector a cut must then stand out from the steps around
it, so that pans, shaking cameras and strobes are none; and it must separate three frames from three, whichever pair
is taken, so that a flash or a black frame, which leaves both sides alike, is none either.

A fade or a dissolve is missed, and so is a cut to a picture of the same things from nearly the same place, one within
the last two frames, and one to a shot that is shorter than `shortest`.
"""

from __future__ import annotations

import csv
import io
import os
import re
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from pathlib import Path

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from PIL import Image

from propagate.errors import InputError
from propagate.files import read_bytes
from propagate.values import Frame

SHORTEST = 6  # frames of a shot: what is shorter is a flash, a glitch or a very quick edit
DELAY = 2  # frames that must follow before a frame is judged

_ENOUGH = 160  # pixels of the short side, of which a thumbnail is the mean: all of them at 1080p would take 20 ms
_LONG_SIDE = 64  # thumbnail pixels
_BLOCK = 6  # thumbnail pixels
_REACH = 6  # thumbnail pixels that a block is looked for
_BRIGHTER = 4.0  # times: what light that is switched on or off does
_NOISE = 12.0  # of 255: what a block without texture may differ by
# Chosen on 59,666 frames of 653 clips and on 1,222 joins of them.
_LEAST = 0.2  # unlikeness of a cut
_MOST = 0.15  # unlikeness of the block in the middle: a large thing that comes in changes the other half
_RATIO, _MARGIN = 1.1, 0.12  # a cut is so much more than the steps on both sides of it
_REMEMBERED = 8  # steps before

_LONGEST_LIST = 2**24  # bytes
_LONGEST_INDEX = 9  # digits: a billion frames are a year of video
_SHOWN = 40  # characters of a line in a message
_SCENES = "start frame"  # the column of PySceneDetect's list


def resolve_cuts(choice: str, *, frame_count: int | None = None) -> frozenset[int] | None:
    """Return the cuts that `auto`, `off` or a file stand for, as `marked` takes them.

    Args:
        choice: "auto", "off", or the path of a list (a file of that name is "./auto").
        frame_count: how many frames the video has, None when that is not known.

    Returns:
        None for "auto": they are found. Else the indices of the frames that begin a shot, none for "off".

    Raises:
        InputError: there is no such file, or it is no list of cuts.
    """
    if choice == "auto":
        return None
    if choice == "off":
        return frozenset()
    if not os.path.lexists(choice):
        raise InputError(f"{_shown(choice)}: there is no such file", hint="cuts are auto, off or a list in a file")
    return read_cuts(choice, frame_count=frame_count)


def marked(
    frames: Iterable[Frame], cuts: frozenset[int] | None = None, *, shortest: int = SHORTEST
) -> Iterator[tuple[Frame, bool]]:
    """Yield every frame and whether a new shot begins with it; the first one begins none.

    Cuts that are found hold back `DELAY` frames, and those that could not be decoded among them; cuts that are given
    hold back none. Frames that could not be decoded are passed over: no shot begins with one.

    Args:
        frames: in order.
        cuts: indices of frames that begin a shot; None to find them.
        shortest: frames of a shot that is found.
    """
    if cuts is not None:
        for number, frame in enumerate(frames):
            yield frame, number > 0 and frame.index in cuts
        return
    finder = CutFinder(shortest=shortest)
    waiting: deque[Frame] = deque()
    for frame in frames:
        waiting.append(frame)
        if frame.undecodable:
            answer = False if all(one.undecodable for one in waiting) else None
        else:
            answer = finder.add(frame.rgb)
        if answer is not None:
            yield from _answered(waiting, answer)
    yield from ((frame, False) for frame in waiting)


def _answered(waiting: deque[Frame], answer: bool) -> Iterator[tuple[Frame, bool]]:
    """Yield the frame that was judged, the first that could be decoded, and with it those that could not around it."""
    while waiting and waiting[0].undecodable:
        yield waiting.popleft(), False
    if waiting:
        yield waiting.popleft(), answer
    while waiting and waiting[0].undecodable:
        yield waiting.popleft(), False


class CutFinder:
    """Says of frames, given in order, with which ones a new shot begins. Its memory does not grow.

    The same frames get the same answers on every machine: thumbnails are whole numbers, and so are their differences.

    Args:
        shortest: frames of a shot, at least 3; no shot begins sooner after another one.
    """

    def __init__(self, *, shortest: int = SHORTEST) -> None:
        if shortest < 3:
            raise ValueError(f"the shortest shot has 3 frames or more, not {shortest}")
        self._shortest = shortest
        self._recent: deque[tuple[_Thumbnail, float]] = deque(maxlen=6)  # each with its step from the one before
        self._steps: deque[float] = deque(maxlen=_REMEMBERED)  # of the shot so far, up to the frame that is judged
        self._length = 0  # of the shot so far, without the frame that is judged

    def add(self, rgb: NDArray[np.uint8]) -> bool | None:
        """Take the next frame, and return whether a shot begins with the one `DELAY` frames before it.

        The last `DELAY` frames of a video get no answer: too little follows to say.

        Args:
            rgb: (H, W, 3) uint8, of one size throughout.

        Returns:
            None as long as there is no frame so far back; False for the first frame.
        """
        picture = _thumbnail(rgb)
        step = unlikeness(self._recent[-1][0], picture) if self._recent else 0.0
        self._recent.append((picture, step))
        if len(self._recent) <= DELAY:
            return None
        _, step = self._recent[-1 - DELAY]
        begins = step > _LEAST and self._length >= self._shortest and self._stands_out()
        if begins:
            self._steps.clear()
            self._length = 0
        elif self._length:
            self._steps.append(step)
        self._length += 1
        return begins

    def _stands_out(self) -> bool:
        """Return whether all three frames before are unlike all three from the judged one on, more than is usual.

        The largest step before does not count: it may be a flash.
        """
        usual = (sorted(self._steps)[-2] + max(step for _, step in list(self._recent)[-DELAY:])) / 2
        bar = max(_LEAST, _RATIO * usual + _MARGIN)
        pictures = [picture for picture, _ in self._recent]
        nearest_first = product(reversed(pictures[:3]), pictures[3:])
        return all(_are_apart(one, other, bar=bar) for one, other in nearest_first)


@dataclass(frozen=True)
class _Thumbnail:
    """A small picture cut into what is looked for and what it is looked for in; whole numbers in float32, exact.

    Attributes:
        windows: (M, 108) every window of 6 x 6 pixels, of three colours.
        window_squares: (M,) the sum of squares of each.
        blocks: (N, 108) the windows that tile it.
        block_squares: (N,) the sum of squares of each.
        far: (N, M) bool, the windows that are out of a block's reach.
    """

    windows: NDArray[np.float32]
    window_squares: NDArray[np.float32]
    blocks: NDArray[np.float32]
    block_squares: NDArray[np.float32]
    far: NDArray[np.bool_]


def _thumbnail(rgb: NDArray[np.uint8]) -> _Thumbnail:
    """Return the thumbnail of a frame (H, W, 3)."""
    thinned = max(1, min(rgb.shape[:2]) // _ENOUGH)
    image = Image.fromarray(np.ascontiguousarray(rgb[::thinned, ::thinned]))
    small = np.asarray(image.reduce(-(-max(image.size) // _LONG_SIDE)), dtype=np.float32)  # (h, w, 3)
    missing = [(0, max(0, _BLOCK - side)) for side in small.shape[:2]]
    small = np.pad(small, [*missing, (0, 0)], mode="edge")
    rows, columns = small.shape[0] - _BLOCK + 1, small.shape[1] - _BLOCK + 1
    windows = sliding_window_view(small, (_BLOCK, _BLOCK), axis=(0, 1)).reshape(rows * columns, -1)  # (M, 108)
    tiles, far = _tiling(rows, columns)
    squares = np.einsum("ij,ij->i", windows, windows)
    return _Thumbnail(
        windows=windows, window_squares=squares, blocks=windows[tiles], block_squares=squares[tiles], far=far
    )


@lru_cache(maxsize=8)
def _tiling(rows: int, columns: int) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """Return which of `rows` x `columns` windows tile the picture (N,), and which are far from which (N, M)."""
    row, column = (np.arange((count - 1) % _BLOCK // 2, count, _BLOCK) for count in (rows, columns))
    far_row = np.abs(row[:, None] - np.arange(rows)) > _REACH
    far_column = np.abs(column[:, None] - np.arange(columns)) > _REACH
    far = far_row[:, None, :, None] | far_column[None, :, None, :]
    return (row[:, None] * columns + column).ravel(), far.reshape(len(row) * len(column), rows * columns)


def unlikeness(before: _Thumbnail, after: _Thumbnail) -> float:
    """Return how much of a picture is not explained by another one, moved: 0 for nothing, near 1 for all.

    Raises:
        ValueError: the pictures differ in size.
    """
    if before.windows.shape != after.windows.shape or before.far is not after.far:
        raise ValueError("frames of one video have one size")
    left, usual = _unexplained(before, after, gain=1.0)
    return float(left.sum() / usual.sum())


def _are_apart(before: _Thumbnail, after: _Thumbnail, *, bar: float) -> bool:
    """Return whether a picture is unlike another one by more than `bar`, in most blocks, also when made as bright."""
    ratio = after.blocks.sum(dtype=np.float64) / max(1.0, before.blocks.sum(dtype=np.float64))
    for gain in (1.0, float(np.clip(ratio, 1 / _BRIGHTER, _BRIGHTER))):
        left, usual = _unexplained(before, after, gain=gain)
        if left.sum() <= bar * usual.sum() or np.median(left / usual) <= _MOST:
            return False
    return True


def _unexplained(
    before: _Thumbnail, after: _Thumbnail, *, gain: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return by how much each block differs from its best place in another picture, and from a usual one, both (N,).

    Args:
        before: in which blocks are looked for.
        after: whose blocks they are.
        gain: how many times as bright `before` is made.
    """
    products = after.blocks @ before.windows.T
    window_squares = np.float32(gain**2) * before.window_squares
    squared = after.block_squares[:, None] + window_squares - np.float32(2 * gain) * products  # (N, M)
    best = np.where(before.far, np.float32(np.inf), squared).min(axis=1).clip(0)
    squared[before.far] = 0
    mean = squared.sum(axis=1, dtype=np.float64).clip(0) / np.count_nonzero(~before.far, axis=1)
    noise = _NOISE * np.sqrt(before.windows.shape[1])
    return np.sqrt(best, dtype=np.float64), np.sqrt(mean) + noise


def read_cuts(path: str | Path, *, frame_count: int | None = None) -> frozenset[int]:
    """Return the indices of the frames that begin a shot, from a list in a file.

    One index a line, counted from 0 (empty lines and what follows a # are passed over), or the table that
    PySceneDetect's `list-scenes` writes, whose first scene begins with no cut, and which counts from 1, or from 0 in
    old releases: where its first scene begins.

    Args:
        path: the file, in UTF-8.
        frame_count: how many frames the video has, None when that is not known.

    Raises:
        InputError: it cannot be read, a line holds no index, or the video has no such frame.
    """
    path = Path(path)
    lines = _lines(path)
    header = next((place for place, line in enumerate(lines[:2]) if _SCENES in line.lower()), None)
    cells, first = (_plain_cells(lines), 0) if header is None else _scene_cells(path, lines, header)
    found = {_index(cell, first, frame_count, where=f"{path}, line {number}") for number, cell in cells}
    return frozenset(found - {0})


def _lines(path: Path) -> list[str]:
    content = read_bytes(path, wanted="a list of cuts")
    if len(content) > _LONGEST_LIST:
        raise InputError(f"{path}: {len(content)} bytes are no list of cuts", hint="one frame index a line")
    try:
        return content.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not a text file in UTF-8", hint="one frame index a line") from error


def _plain_cells(lines: list[str]) -> list[tuple[int, str]]:
    """Return the number and the content of every line that has some."""
    cells = [(number, line.partition("#")[0].strip()) for number, line in enumerate(lines, start=1)]
    return [(number, cell) for number, cell in cells if cell]


def _scene_cells(path: Path, lines: list[str], header: int) -> tuple[list[tuple[int, str]], int]:
    """Return the line and the first frame of every scene but the first, and what the table counts from.

    Args:
        path: for messages.
        lines: of the file.
        header: which of them it is: the second one where a list of times comes first.
    """
    rows = csv.reader(io.StringIO("\n".join(lines[header:])), strict=True)
    try:
        column = [cell.strip().lower() for cell in next(rows)].index(_SCENES)
        scenes = [(header + rows.line_num, row) for row in rows if any(cell.strip() for cell in row)]
    except (csv.Error, ValueError) as error:
        raise InputError(f"{path}: not a table as PySceneDetect writes it: {error}") from error
    cells = [(number, row[column].strip() if column < len(row) else "") for number, row in scenes]
    return cells[1:], 0 if cells and cells[0][1] == "0" else 1


def _index(cell: str, first: int, frame_count: int | None, *, where: str) -> int:
    """Return the 0-based index of the frame that a cell, counted from `first`, names."""
    if re.fullmatch(r"[0-9]+", cell) is None or len(cell.lstrip("0")) > _LONGEST_INDEX or int(cell) < first:
        hint = "one frame index a line, 0, 1, 2, ..., or the table of PySceneDetect's list-scenes"
        raise InputError(f"{where}: {_shown(cell)} is no frame", hint=hint)
    index = int(cell) - first
    if frame_count is not None and index >= frame_count:
        raise InputError(f"{where}: a cut at frame {index}, but the video has {frame_count}: 0 to {frame_count - 1}")
    return index


def _shown(text: str) -> str:
    """Return text as a message shows it, in one line that is not too long."""
    shown = repr(text)
    return shown if len(shown) <= _SHOWN + 2 else f"{shown[:_SHOWN]}... ({len(text)} characters)"
