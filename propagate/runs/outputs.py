"""Where a run's predictions go: each sink writes one kind of file, frame by frame, and can be cut back to a frame."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from propagate.errors import OutputError
from propagate.formats import results
from propagate.formats.atomic import write_bytes
from propagate.formats.indexed_png import write_mask
from propagate.runs.folder import remove, unwritable
from propagate.values import Prediction

if TYPE_CHECKING:
    from propagate.video import VideoWriter


class Sink(Protocol):
    """One kind of result. It is used by one thread at a time.

    Attributes:
        any_frame: whether it can continue at any frame, or (a video) only at the engine's checkpoints.
    """

    any_frame: bool

    def reaches(self, index: int) -> bool:
        """Return whether everything before frame `index` is there."""

    def resume(self, index: int) -> None:
        """Drop what is there of frame `index` and later ones."""

    def write(self, prediction: Prediction) -> None:
        """Write one frame.

        Raises:
            OutputError: it cannot be written.
        """

    def finish(self) -> None:
        """Bring the result under its final name."""

    def close(self) -> None:
        """Let go of open files, finished or not."""


class ResultsLog:
    """`results.jsonl`: a line a frame. It comes first, so that every other file of a frame has its line.

    Args:
        path: the file.
        first: index of the run's first frame.
    """

    any_frame = True

    def __init__(self, path: Path, *, first: int) -> None:
        self.path, self.first = path, first

    def reaches(self, index: int) -> bool:
        """Return whether a line of every frame from the first to `index` is there."""
        if not self.path.exists():
            return index == self.first
        return [line["index"] for line in results.read(self.path)][: index - self.first] == list(
            range(self.first, index)
        )

    def resume(self, index: int) -> None:
        """Cut the file before the line of frame `index`."""
        results.truncate(self.path, index)

    def write(self, prediction: Prediction) -> None:
        """Append a line; a line that did not fit is cut off again."""
        try:
            results.append(self.path, prediction)
        except OutputError:
            results.truncate(self.path, prediction.frame.index)
            raise

    def finish(self) -> None:
        """Nothing is left to do."""

    def close(self) -> None:
        """Nothing stays open."""


class FrameFiles:
    """A folder with a file a frame, called by the frame's stem.

    Args:
        folder: made when missing.
        suffix: of the files, with the dot.
        save: writes the file of one frame, whole or not at all.
        log: the run's results, which know the stems that are kept.
    """

    any_frame = True

    def __init__(self, folder: Path, suffix: str, save: Callable[[Path, Prediction], None], *, log: ResultsLog) -> None:
        self.folder, self.suffix, self.save, self.log = folder, suffix, save, log
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise unwritable(folder, error) from error

    def reaches(self, index: int) -> bool:
        """Return whether the file of every frame before `index` is there."""
        return all((self.folder / f"{stem}{self.suffix}").is_file() for stem in self._stems(index))

    def resume(self, index: int) -> None:
        """Remove the files of frame `index` and later ones, and what a killed run left half written."""
        kept = self._stems(index)
        for path in self.folder.glob(f"*{self.suffix}"):
            if path.stem not in kept:
                remove(path)
        for path in self.folder.glob(f".*{self.suffix}.partial"):
            remove(path)

    def write(self, prediction: Prediction) -> None:
        """Write the file of one frame."""
        self.save(self.folder / f"{prediction.frame.stem}{self.suffix}", prediction)

    def finish(self) -> None:
        """Nothing is left to do."""

    def close(self) -> None:
        """Nothing stays open."""

    def _stems(self, index: int) -> set[str]:
        if not self.log.path.exists():
            return set()
        return {str(line["stem"]) for line in results.read(self.log.path) if line["index"] < index}


class VideoFile:
    """A video, written in segments as long as the run's checkpoints are apart.

    Args:
        writer: made by `open_video_writer` with `segment_frames` the run's `checkpoint`.
        put: writes one frame into it.
        first: index of the run's first frame.
        end: brings the file under its name; `writer.finish` without sound when None.
    """

    any_frame = False

    def __init__(
        self,
        writer: VideoWriter,
        put: Callable[[VideoWriter, Prediction], None],
        *,
        first: int,
        end: Callable[[VideoWriter], object] | None = None,
    ) -> None:
        self.writer, self.put, self.first, self.end = writer, put, first, end

    def reaches(self, index: int) -> bool:
        """Return whether whole segments hold every frame before `index`."""
        return self.first + self.writer.frames_done >= index

    def resume(self, index: int) -> None:
        """Keep whole segments: `write` passes over the frames that they hold."""

    def write(self, prediction: Prediction) -> None:
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


def save_mask(path: Path, prediction: Prediction) -> None:
    """Write the ids of one frame as an indexed (or 16-bit) PNG."""
    write_mask(path, prediction.array.astype(np.int64))


def save_soft(path: Path, prediction: Prediction) -> None:
    """Write the soft labels of one frame: `soft` (L, h, w) float16, `ids` of its channels (0 is the background).

    The grid covers the whole picture: cell (r, c) of h x w stands for its share of the frame's `size` (height, width).
    """
    assert prediction.labels is not None
    buffer = io.BytesIO()
    soft = prediction.labels.soft.cpu().numpy().astype(np.float16)
    ids = np.array([0, *prediction.ids] if len(soft) == len(prediction.ids) + 1 else list(prediction.ids))
    np.savez_compressed(buffer, soft=soft, ids=ids, size=np.array(prediction.frame.size))
    write_bytes(path, buffer.getvalue())
