"""What a run makes of its predictions: a file for each frame, or one file of all of them."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from propagate.formats.indexed_png import mask_bytes
from propagate.values import Prediction

if TYPE_CHECKING:
    from propagate.video import VideoWriter


@dataclass(frozen=True)
class FrameFiles:
    """A folder with a file for each frame, called by the frame's stem.

    Attributes:
        folder: its name in the run's folder.
        suffix: of the files, with the dot.
        encode: makes the bytes of one frame's file.
    """

    folder: str
    suffix: str
    encode: Callable[[Prediction], bytes]

    def name(self, stem: str) -> str:
        """Return what the file of a frame is called in the run's folder."""
        return f"{self.folder}/{stem}{self.suffix}"


class WholeFile(Protocol):
    """One file of all frames, being made. It is used by one thread at a time."""

    def first_wanted(self) -> int | None:
        """Return the index of the first frame that it must be shown, None when it needs none."""

    def add(self, prediction: Prediction) -> None:
        """Take in a frame, in order, from the first that is wanted on.

        Raises:
            OutputError: it cannot be written.
        """

    def finish(self) -> None:
        """Bring the file under its name.

        Raises:
            OutputError: it cannot be written.
        """

    def close(self) -> None:
        """Let go of open files, finished or not."""


@dataclass(frozen=True)
class Whole:
    """A file of all frames that a run is asked for.

    Attributes:
        path: the file.
        key: what it depends on besides the frames, such as its codec.
        open: begins to make it, given a folder for what it keeps meanwhile.
    """

    path: Path
    key: str
    open: Callable[[Path], WholeFile]


class VideoFile:
    """A video, written in segments: whole ones that an interrupted run left are kept.

    Args:
        writer: made by `open_video_writer`.
        put: writes one frame into it.
        first: index of the run's first frame.
        end: brings the file under its name; `writer.finish` without sound when None.
    """

    def __init__(
        self,
        writer: VideoWriter,
        put: Callable[[VideoWriter, Prediction], None],
        *,
        first: int,
        end: Callable[[VideoWriter], object] | None = None,
    ) -> None:
        self.writer, self.put, self.first, self.end = writer, put, first, end

    def first_wanted(self) -> int | None:
        """Return the index of the first frame that no whole segment holds."""
        return self.first + self.writer.frames_done

    def add(self, prediction: Prediction) -> None:
        """Add a frame, unless a whole segment of an earlier run holds it."""
        if prediction.frame.index >= self.first + self.writer.frames_done:
            self.put(self.writer, prediction)

    def finish(self) -> None:
        """Join the segments into the file."""
        if self.end is None:
            self.writer.finish()
        else:
            self.end(self.writer)

    def close(self) -> None:
        """Drop the unfinished segment."""
        self.writer.close()


class TextFile:
    """A file that is made at the end, of the results of all frames.

    Args:
        make: writes it.
    """

    def __init__(self, make: Callable[[], None]) -> None:
        self.make = make

    def first_wanted(self) -> int | None:
        """Return None: it needs no frame."""
        return None

    def add(self, prediction: Prediction) -> None:
        """Nothing is written before the end."""

    def finish(self) -> None:
        """Write the file."""
        self.make()

    def close(self) -> None:
        """Nothing stays open."""


Figures = Callable[[Prediction], Mapping[str, float | None]]  # what else is recorded of a frame


def encode_mask(prediction: Prediction) -> bytes:
    """Return the ids of one frame as an indexed (or 16-bit) PNG."""
    return mask_bytes(prediction.array.astype(np.int64))


def encode_soft(prediction: Prediction) -> bytes:
    """Return the soft labels of one frame: `soft` (L, h, w) float16, `ids` of its channels (0 is the background).

    The grid covers the whole picture: cell (r, c) of h x w stands for its share of the frame's `size` (height, width).
    """
    assert prediction.labels is not None
    soft = prediction.labels.soft.cpu().numpy().astype(np.float16)
    ids = np.array([0, *prediction.ids] if len(soft) == len(prediction.ids) + 1 else list(prediction.ids))
    buffer = io.BytesIO()
    np.savez_compressed(buffer, soft=soft, ids=ids, size=np.array(prediction.frame.size))
    return buffer.getvalue()
