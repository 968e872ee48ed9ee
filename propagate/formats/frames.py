"""Which file belongs to which frame: by stem, by the number in the stem, or by index; and what a name gives away."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from pathlib import Path

from propagate.errors import InputError

logger = logging.getLogger(__name__)
_LONGEST = 18  # digits of a number in a name: dates and milliseconds fit


def stem_digits(stem: str) -> str:
    """Return the last group of digits in a stem (`clip2_img0123` has 0123), "" without digits or with too many."""
    groups = re.findall(r"[0-9]+", stem)
    return groups[-1] if groups and len(groups[-1]) <= _LONGEST else ""


def stem_number(stem: str) -> int | None:
    """Return the last group of digits in a stem as a number (`clip2_img0123` is 123), or None without digits."""
    digits = stem_digits(stem)
    return int(digits) if digits else None


def stem_numbers(stems: Sequence[str]) -> dict[int, int] | None:
    """Return the index of each number in the stems of a video's frames; None unless each has one of its own."""
    places = {number: index for index, stem in enumerate(stems) if (number := stem_number(stem)) is not None}
    return places if len(places) == len(stems) > 0 else None


def match_frames(names: Sequence[str], *, stems: Sequence[str] | None, where: str) -> list[tuple[int, str]]:
    """Return the frame index of every name, and how it was found.

    If any name is one of the video's stems, then all must be. Else the last digits of each name are compared with
    those of the stems, so that mask_003 belongs to frame_003 wherever that stands; only without stems that are all
    numbered are the digits an index. One rule for all: mixing would put files on frames that nobody meant.

    Args:
        names: stems of files, without folder and suffix.
        stems: the stems of the video's frames in order, or None for none to match with.
        where: the folder or file that holds the names, for messages.

    Returns:
        (index, "by stem", "by number" or "by index") per name.

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
    numbers = stem_numbers(stems or ())
    if numbers is None or all(index == number for number, index in numbers.items()):
        return [(_number(name, where=where), "by index") for name in names]
    return [(_numbered(name, numbers, stems or (), where=where), "by number") for name in names]


def step_frames(names: Sequence[str], *, step: int, stems: Sequence[str] | None, where: str) -> list[tuple[int, str]]:
    """Return the frame of every name, and how it was found: the k-th name, counted from 0, belongs to frame k * step.

    Numbers in the names may count the files, from 0 or 1, or be those of the frames; other ones are refused where all
    names have one that is a frame's, and said where some have.

    Args:
        names: stems of a folder's files, in order.
        step: frames from one to the next.
        stems: the stems of the video's frames in order.
        where: the folder, for messages.

    Raises:
        InputError: the numbers of the names contradict their order.
    """
    frames = [place * step for place in range(len(names))]
    known = stem_numbers(stems or ()) or {index: index for index in range(len(stems or ()))}
    numbers = [stem_number(name) for name in names]
    counted = step > 1 and numbers in ([*range(len(names))], [*range(1, len(names) + 1)])
    odd = [
        (name, known[number], frame)
        for name, number, frame in zip(names, numbers, frames, strict=True)
        if number in known and known[number] != frame
    ]
    if odd and not counted:
        name, named, landing = odd[0]
        found = f"{name} speaks of frame {named}, but is the mask of frame {landing} by --label-step {step}"
        hint = "leave --label-step out where names are to be matched with frames"
        if numbers != [frame + 1 for frame in frames] and all(number in known for number in numbers):
            raise InputError(f"{where}: {found}", hint=f"rename it, or {hint}")
        logger.warning("%s: %s; %s", where, found, hint)
    return [(frame, f"by --label-step {step}") for frame in frames]


def warn_of_numbers(paths: Sequence[Path], landing: int, *, stems: Sequence[str] | None) -> None:
    """Say that files for one frame, an object each, have the numbers of frames, unless these count the objects."""
    known = stem_numbers(stems or ()) or {}
    numbers = [stem_number(path.stem) for path in paths]
    counted = sorted(number or 0 for number in numbers)
    if counted in ([*range(len(paths))], [*range(1, len(paths) + 1)]):
        return
    meant = [f"{known[n]}={path.name}" for path, n in zip(paths, numbers, strict=True) if n in known]
    if len(meant) == len(paths):
        message = (
            "%s are put on frame %d, an object each; if they belong to the frames that they are numbered as, write %s"
        )
        logger.warning(message, ", ".join(path.name for path in paths), landing, " ".join(meant))


def _number(name: str, *, where: str) -> int:
    number = stem_number(name)
    if number is None:
        hint = "name it after the frame's stem or index"
        raise InputError(f"{where}: {name if len(name) < 60 else name[:60] + '...'} matches no frame", hint=hint)
    return number


def _numbered(name: str, numbers: dict[int, int], stems: Sequence[str], *, where: str) -> int:
    number = _number(name, where=where)
    if number not in numbers:
        hint = f"the video's frames are called {stems[0]} to {stems[-1]}; name it after one of them"
        raise InputError(f"{where}: {name} matches no frame, none has the number {number}", hint=hint)
    return numbers[number]


def place_file(
    path: Path, frame: int | None, *, stems: Sequence[str] | None, from_folder: bool, alone: bool = True
) -> tuple[int, str]:
    """Return the frame of a single label file and how it was found; a name that contradicts it is refused or said.

    Args:
        path: the file.
        frame: the frame that was named (`3=FILE`), None when none was.
        stems: the stems of the video's frames in order.
        from_folder: the stems are names of a folder's images, not numbers that frames of a video file are given.
        alone: no other file is given without a frame; several may be objects that are numbered.

    Raises:
        InputError: its name is that of another frame than it would be put on.
    """
    names = list(stems or ())
    named = names.index(path.stem) if path.stem in names else None
    if frame is None and named is not None and from_folder:
        return named, "by stem"
    landing, how = (0, "the first") if frame is None else (frame, "named")
    if named is not None and named != landing and (from_folder or frame is None):
        raise _contradicts(path, landing, named, names)
    if alone or frame is not None:
        _check_number(path, landing, names, refuse=frame is None)
    return landing, how


def _check_number(path: Path, landing: int, stems: Sequence[str], *, refuse: bool) -> None:
    """Compare the number in a file's name with the frame it is put on: refuse the same digits, say other ones."""
    digits = stem_digits(path.stem)
    if not digits or landing >= max(len(stems), 1):
        return
    if int(digits) in (landing, stem_number(stems[landing]) if stems else None):
        return
    alike = [index for index, stem in enumerate(stems) if len(digits) > 1 and stem_digits(stem) == digits]
    if refuse and alike:
        raise _contradicts(path, landing, alike[0], stems)
    place = (stem_numbers(stems) or {}).get(int(digits))
    if place is not None and place != landing:
        message = "%s is put on frame %d (%s); if it belongs to %s, write %d=%s"
        logger.warning(message, path, landing, stems[landing], stems[place], place, path.name)


def _contradicts(path: Path, landing: int, named: int, stems: Sequence[str]) -> InputError:
    there = stems[landing] if landing < len(stems) else "which does not exist"
    found = f"named after frame {named} ({stems[named]}) but would be put on frame {landing} ({there})"
    hint = f"write {named}={path}, or {f'0={path} for the first frame' if landing == 0 else 'rename it'}"
    return InputError(f"{path}: {found}", hint=hint)


def check_frame(frame: int, frame_count: int | None, *, where: str) -> None:
    """Check that a frame exists; nothing is checked when the count is not known.

    Raises:
        InputError: the video ends before it.
    """
    if frame_count is not None and frame >= frame_count:
        frames = f"{frame_count} frame{'s' if frame_count != 1 else ''}"
        raise InputError(f"{where}: there is no frame {frame}, the video has {frames}, counted from 0")
