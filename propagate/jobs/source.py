"""A job's video and its range of frames; labels that fall outside of it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from propagate.errors import ConfigError, InputError
from propagate.values import Annotation
from propagate.video import VideoReader
from propagate.video.folder import list_images


def parse_place(word: str | None) -> int | float | None:
    """Return a place in a video: "120" is a frame, "12.5s" are seconds.

    Raises:
        ConfigError: it is neither.
    """
    if word is None:
        return None
    if re.fullmatch(r"\d+", word):
        return int(word)
    if re.fullmatch(r"(\d+\.?\d*|\.\d+)s", word):
        return float(word[:-1])
    raise ConfigError(f"{word!r} is no place in a video", hint="a frame such as 120, or seconds such as 12.5s")


def stems_of(reader: VideoReader) -> list[str]:
    """Return the stem of every frame of the whole video."""
    if reader.info.kind == "folder":
        return [path.stem for path in list_images(Path(reader.info.path))]
    return [f"{index:05d}" for index in range(len(reader.info.pts))]


def default_out(video: str, ending: str) -> Path:
    """Return where results go without `-o`: beside the caller, called after the video."""
    path = Path(video).resolve()
    stem = "stdin" if video == "-" else path.name if path.is_dir() else path.stem
    return Path(f"{stem}.{ending}")


def within(annotations: Sequence[Annotation], reader: VideoReader) -> tuple[tuple[Annotation, ...], tuple[str, ...]]:
    """Return the annotations between `--start` and `--end`, and what to say of the others and of frames before them.

    Raises:
        InputError: none lies there.
    """
    kept = tuple(a for a in annotations if reader.first <= a.frame < reader.last)
    span = f"frames {reader.first} to {reader.last - 1}"
    others = [a.frame for a in annotations if a not in kept]
    if not kept:
        raise InputError(
            f"no label lies in {span}: the first is on frame {min(others)}",
            hint=f"name the frame: {reader.first}=FILE",
        )
    notes = [f"labels outside {span} are not used: {', '.join(map(str, sorted(others)))}"] if others else []
    first = min(a.frame for a in kept)
    if first > reader.first:
        before = first - reader.first
        notes.append(f"{before} frame{'s' if before > 1 else ''} before the first label (frame {first}) stay empty")
    return kept, tuple(notes)
