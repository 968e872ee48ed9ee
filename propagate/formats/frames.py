"""Which file belongs to which frame: natural order, and matching by stem or by number."""

from __future__ import annotations

import re
from collections.abc import Sequence

from propagate.errors import InputError


def natural_key(name: str) -> tuple[tuple[int, int, str], ...]:
    """Return a sort key that puts `img2` before `img10`."""
    pieces = re.findall(r"\d+|\D+", name)
    return (*((0, int(p), "") if p.isdecimal() else (1, 0, p.lower()) for p in pieces), (-1, 0, name))


def stem_number(stem: str) -> int | None:
    """Return the last group of digits in a stem as a number (`clip2_img0123` is 123), or None without digits."""
    groups = re.findall(r"[0-9]+", stem)
    return int(groups[-1]) if groups else None


def match_frames(names: Sequence[str], *, stems: Sequence[str] | None, where: str) -> list[tuple[int, str]]:
    """Return the frame index of every name, and how it was found.

    If any name is one of the video's stems, then all must be; else the last digits of each name are its index. One
    rule for all: mixing both in a folder would put files on frames that nobody meant.

    Args:
        names: stems of files, without folder and suffix.
        stems: the stems of the video's frames in order, or None for none to match with.
        where: the folder or file that holds the names, for messages.

    Returns:
        (index, "by stem" or "by index") per name.

    Raises:
        InputError: a name matches no frame.
    """
    places = {stem: index for index, stem in enumerate(stems or ())}
    if any(name in places for name in names):
        for name in names:
            if name not in places:
                raise InputError(
                    f"{where}: {name} is the stem of no frame, while others are", hint="rename or remove it"
                )
        return [(places[name], "by stem") for name in names]
    return [(_number(name, where=where), "by index") for name in names]


def _number(name: str, *, where: str) -> int:
    number = stem_number(name)
    if number is None:
        hint = "name it after the frame's stem or index"
        raise InputError(f"{where}: {name} matches no frame", hint=hint)
    return number


def check_frame(frame: int, frame_count: int | None, *, where: str) -> None:
    """Check that a frame exists; nothing is checked when the count is not known.

    Raises:
        InputError: the video ends before it.
    """
    if frame_count is not None and frame >= frame_count:
        frames = f"{frame_count} frame{'s' if frame_count != 1 else ''}"
        raise InputError(f"{where}: there is no frame {frame}, the video has {frames}, counted from 0")
