"""Words of the command line on labels: `FILE`, `FRAME=FILE`, `FRAME!=FILE`, or a folder; and `ID@FIRST:LAST`."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from propagate.errors import ConfigError, InputError
from propagate.formats.tables import read_text

if TYPE_CHECKING:
    from propagate.values import Absence

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


def read_absences(words: Sequence[str]) -> tuple[Absence, ...]:
    """Return the absences that words say, by frame; an id is the text that stands before the last `@`.

    Args:
        words: `ID@FRAME`, `ID@FIRST:LAST` with both frames included, or a file of such lines, where `#` begins a
            comment.

    Raises:
        ConfigError: a word is neither, or a range ends before it begins.
        InputError: a file cannot be read, or one of its lines is malformed.
    """
    found: set[Absence] = set()
    for word in words:
        if os.path.lexists(word):
            found |= _absences_of(Path(word))
        else:
            found.add(_absence(word, where="--absent "))
    return tuple(sorted(found, key=lambda one: (one.first, one.last, str(one.id))))


_ABSENCE = re.compile(r"(.+)@([0-9]{1,9})(?::([0-9]{1,9}))?")
_ABSENCE_HINT = "write ID@120, ID@120:180 for frames 120 to 180, or name a file of such lines"


def _absence(word: str, *, where: str) -> Absence:
    """Return the absence that a word says; raises `ConfigError` for one that says none."""
    match = _ABSENCE.fullmatch(word)
    if match is None:
        raise ConfigError(f"{where}{word}: no object and frames", hint=_ABSENCE_HINT)
    first, last = int(match[2]), int(match[3] or match[2])
    if last < first:
        raise ConfigError(f"{where}{word}: ends before it begins", hint=f"write {match[1]}@{last}:{first}")
    from propagate.values import Absence  # it needs NumPy: nothing else here does

    return Absence(match[1].strip(), first, last)


def _absences_of(path: Path) -> set[Absence]:
    """Return the absences that a file says, a line each."""
    found = set()
    for number, line in enumerate(read_text(path).splitlines(), 1):
        if text := re.sub(r"(^|\s)#.*", "", line).strip():
            try:
                found.add(_absence(text, where=f"{path}, line {number}: "))
            except ConfigError as error:
                raise InputError(str(error)) from error
    return found
