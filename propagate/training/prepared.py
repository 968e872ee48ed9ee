"""What is noted of one prepared video, and its notes on disk."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from propagate.errors import OutputError
from propagate.formats.atomic import write_text
from propagate.training.decoding import UNREADABLE, scan
from propagate.training.footage import skip
from propagate.training.frame_file import FrameFile, is_whole
from propagate.training.shots import Shot
from propagate.training.sources import Source


@dataclass(frozen=True)
class Prepared:
    """One video, as it is in the notes.

    Attributes:
        source: absolute path of the video.
        group: of the source.
        stamp: bytes and time in ns of the video when it was decoded; of a folder the sum and the latest.
        file: name of its frames, a .npy.
        shape: (N, h, w, 3) of the frames; empty when it is skipped.
        lost: frames that did not decode whole.
        spans: (start, frames, rate) of each shot.
        skipped: why it is not used, or None.
    """

    source: str
    group: str
    stamp: tuple[int, int]
    file: str
    shape: tuple[int, ...] = ()
    lost: int = 0
    spans: tuple[tuple[int, int, float], ...] = ()
    skipped: str | None = None

    @classmethod
    def read(cls, entry: dict[str, Any]) -> Prepared:
        """Return what `as_json` wrote.

        Raises:
            TypeError, ValueError: it did not.
        """
        found = cls(**entry)
        spans = tuple((int(start), int(frames), float(rate)) for start, frames, rate in found.spans)
        shape = tuple(int(length) for length in found.shape)
        size, time = found.stamp
        return replace(found, stamp=(size, time), shape=shape, spans=spans)

    def as_json(self) -> dict[str, Any]:
        """Return it as plain data."""
        return asdict(self)

    @property
    def shots(self) -> tuple[Shot, ...]:
        """The shots of the video."""
        if not self.spans:
            return ()
        _, height, width, _ = self.shape
        return tuple(Shot(Path(self.source), self.group, *span, (height, width)) for span in self.spans)


def prepare_video(source: Source, folder: Path, *, side: int, rate: float | None) -> Prepared:
    """Return the note of a video, which is decoded unless the note that is there is of the video as it is now.

    Raises:
        OutputError: the folder cannot be written.
    """
    name = hashlib.blake2b(str(source.path).encode(), digest_size=10).hexdigest()
    note = folder / f"{name}.json"
    fresh = Prepared(str(source.path), source.group, (0, 0), f"{name}.npy")
    try:
        fresh = replace(fresh, stamp=stamp_of(source.path))
    except OSError as error:
        return replace(fresh, skipped=skip(source.path, error).reason)
    known = _read_note(note)
    if (
        known is not None
        and known.stamp == fresh.stamp
        and (known.skipped or is_whole(folder / known.file, known.shape))
    ):
        return replace(known, source=fresh.source, group=fresh.group)
    _forget(note, folder / "index.json")  # they would describe frames that are being replaced
    fresh = _decode(fresh, folder, side=side, rate=rate)
    write_text(note, json.dumps(fresh.as_json()) + "\n")
    return fresh


def stamp_of(path: Path) -> tuple[int, int]:
    """Return the bytes of a video and when it was changed, in ns; of a folder the sum and the latest of its files."""
    files = [entry for entry in path.iterdir() if entry.is_file()] if path.is_dir() else [path]
    stats = [file.stat() for file in files]
    return sum(stat.st_size for stat in stats), max((stat.st_mtime_ns for stat in stats), default=0)


def _decode(fresh: Prepared, folder: Path, *, side: int, rate: float | None) -> Prepared:
    """Write the frames of a video and return what is known of it then."""
    file, path = folder / fresh.file, Path(fresh.source)
    try:
        with FrameFile(file) as frames:
            found = scan(path, side=side, rate=rate, keep=frames.append)
            shape = frames.finish()
    except UNREADABLE as error:
        return replace(fresh, skipped=skip(path, error).reason)
    spans = tuple((span.start, span.frames, span.rate) for span in found.spans)
    return replace(fresh, shape=shape, lost=found.lost, spans=spans)


def _read_note(note: Path) -> Prepared | None:
    """Return the note of a video; None when there is none, or it is damaged."""
    try:
        return Prepared.read(json.loads(note.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def _forget(*files: Path) -> None:
    for file in files:
        try:
            file.unlink(missing_ok=True)
        except OSError as error:
            raise OutputError(f"{file}: cannot be removed: {error.strerror or error}") from error
