"""Label words of pictures and maps, `LABEL`, `FRAME=FILE` or a folder, as files on frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from propagate.errors import InputError
from propagate.formats.annotations import LabelSpec, parse_label
from propagate.formats.frames import check_frame, match_frames, natural_key
from propagate.jobs.source import stems_of
from propagate.video import VideoReader


@dataclass(frozen=True)
class Placed:
    """One file on one frame.

    Attributes:
        frame: its index.
        path: the file.
        how: how the frame was found, for a line to the user; empty when the word said it.
        complete: what the label lacks has ended.
    """

    frame: int
    path: Path
    how: str = ""
    complete: bool = False

    @property
    def said(self) -> str:
        """The line that says which file is on which frame."""
        return f"frame {self.frame}: {self.path}" + (f" ({self.how})" if self.how else "")


def placed_files(words: Sequence[str], reader: VideoReader, *, suffixes: frozenset[str]) -> list[Placed]:
    """Return the files that label words name, by frame.

    Args:
        words: `FILE` (frame 0), `FRAME=FILE`, `FRAME!=FILE`, or a folder whose files are matched by stem or number.
        reader: the video.
        suffixes: of the files that are taken from a folder.

    Raises:
        InputError: there is no such frame, a frame is named twice, or a folder holds nothing.
    """
    found: list[Placed] = []
    for spec in map(parse_label, words):
        found += _in_folder(spec, reader, suffixes) if spec.path.is_dir() else [_alone(spec)]
    found.sort(key=lambda item: item.frame)
    for item, before in zip(found, [None, *found], strict=False):
        check_frame(item.frame, len(reader.info.pts), where=str(item.path))
        if before is not None and before.frame == item.frame:
            raise InputError(f"{before.path} and {item.path} are both for frame {item.frame}", hint="give one of them")
    return found


def _alone(spec: LabelSpec) -> Placed:
    return Placed(spec.frame or 0, spec.path, complete=spec.complete)


def _in_folder(spec: LabelSpec, reader: VideoReader, suffixes: frozenset[str]) -> list[Placed]:
    files = sorted(
        (path for path in spec.path.iterdir() if path.suffix.lower() in suffixes),
        key=lambda path: natural_key(path.name),
    )
    if not files:
        raise InputError(f"{spec.path}: no file in this folder ends in one of {', '.join(sorted(suffixes))}")
    matched = match_frames([path.stem for path in files], stems=stems_of(reader), where=str(spec.path))
    return [Placed(frame, path, how, complete=spec.complete) for path, (frame, how) in zip(files, matched, strict=True)]
