"""Label words of the command line: `FILE`, `FRAME=FILE`, `FRAME!=FILE`, or a folder."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from propagate.errors import InputError

_LONGEST_INDEX = 9  # digits: a billion frames are a year of video


@dataclass(frozen=True)
class LabelSpec:
    """One label word.

    Attributes:
        frame: the frame it names, None when it names none (frame 0, or a folder).
        path: the file or folder.
        complete: objects that the label lacks have ended (`FRAME!=FILE`).
    """

    frame: int | None
    path: Path
    complete: bool = False


def parse_label(word: str) -> LabelSpec:
    """Return what a label word means; only digits before `=` or `!=` are a frame, other `=` belong to the file's name.

    Raises:
        InputError: nothing follows the `=`, or something that was meant as a frame is none.
    """
    match = re.match(r"([0-9]+)(!?)=", word)
    if match is None:
        _refuse_other_places(word)
        return LabelSpec(None, Path(word))
    if match.end() == len(word):
        raise InputError(f"{word}: no file is named", hint="write FRAME=FILE, such as 120=fix.png")
    if len(match[1]) > _LONGEST_INDEX:
        raise InputError(f"{word[:40]}...: a frame index of {len(match[1])} digits", hint="frames count 0, 1, 2, ...")
    return LabelSpec(int(match[1]), Path(word[match.end() :]), complete=match[2] == "!")


def _refuse_other_places(word: str) -> None:
    """Refuse `5s=FILE`, `-1=FILE` and the like, unless a file is called so."""
    match = re.match(r"([+-]?[0-9][0-9._:,]*s?|[+-][0-9]+|last|first|end|start)(!?)=(.+)", word, re.IGNORECASE)
    if match is None or os.path.lexists(word):
        return
    place, file = match[1], match[3]
    if place.lower().endswith("s"):
        hint = (
            f"write the frame's index: seconds times the rate, both said by `propagate info VIDEO`; such as 125={file}"
        )
        raise InputError(f"{word}: a label names a frame by its index, not by seconds ({place})", hint=hint)
    raise InputError(f"{word}: {place} is no frame, they count 0, 1, 2, ...", hint=f"write 120={file} for frame 120")
