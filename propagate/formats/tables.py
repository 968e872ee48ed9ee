"""Text files of points: their rows and cells, JSON, and the one way in which numbers are read and written."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from propagate.errors import InputError
from propagate.files import read_bytes

_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,2})?")
_INDEX = re.compile(r"[0-9]+(\.0*)?")
_LONGEST = 40  # characters of a number that a person or a program means
_LONGEST_INDEX = 9  # digits: a billion frames are a year of video
_ESCAPED = re.compile(r"\\udc([89a-f][0-9a-f])")
_SHOWN = 40  # characters of a cell in a message


def number(text: str, *, where: str, what: str, nan: bool = False) -> float:
    """Return a cell as a number, NaN for an empty one.

    Only what people mean by a number is one: not "1_000", "0x10", "inf", full-width digits or 5000 digits, all of which
    Python's own parser takes.

    Args:
        text: the cell.
        where: file and line, for messages.
        what: what the cell is ("x of nose").
        nan: "NaN" is an empty cell, as pandas writes it.

    Raises:
        InputError: it is no number.
    """
    text = text.strip()
    if not text or (nan and text.lower() == "nan"):
        return math.nan
    if text.lower().lstrip("+-") in ("inf", "infinity"):
        raise InputError(f"{where}: {what} is infinite")
    if text.lower() == "nan":
        raise InputError(f"{where}: {what} is not a number: {text!r}", hint="leave the cell of an absent point empty")
    if _NUMBER.fullmatch(text) is None or len(text) > _LONGEST:
        hint = "write digits and one dot, such as 12.5"
        raise InputError(f"{where}: {what} is not a number: {shown(text)}", hint=hint)
    return float(text)


def frame_index(text: str, *, where: str) -> int | None:
    """Return a cell as a frame's index, None when it is no number at all but a name.

    Raises:
        InputError: it is a number, but no frame has it.
    """
    if _INDEX.fullmatch(text) and len(text.partition(".")[0].lstrip("0")) <= _LONGEST_INDEX:
        return int(text.partition(".")[0])
    if _NUMBER.fullmatch(text) or _is_number_to_python(text):
        found = shown(text).strip("'")
        raise InputError(f"{where}: {found} is no frame, they count 0, 1, 2, ...")
    return None


def _is_number_to_python(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return re.fullmatch(r"[+-]?0[xob][0-9a-f_]+", text.lower()) is not None
    return True


def shown(value: object) -> str:
    """Return a value as a message shows it, not longer than a line bears."""
    text = repr(value)
    return text if len(text) <= _SHOWN + 2 else f"{text[:_SHOWN]}... ({len(text)} characters)"


def decode(text: str) -> str:
    r"""Return text in which bytes of names that are not UTF-8 (`\udcXX`, see `atomic.encode`) are themselves again."""
    return _ESCAPED.sub(lambda match: chr(0xDC00 + int(match[1], 16)), text)


def read_text(path: Path) -> str:
    """Return a text file's content, without a byte order mark.

    Raises:
        InputError: there is no such file, it is empty, or not text.
    """
    try:
        text = read_bytes(path, wanted="a text file").decode("utf-8-sig")
    except UnicodeDecodeError as error:
        hint = "export the points as CSV or JSON in UTF-8"
        raise InputError(f"{path}: not a text file in UTF-8", hint=hint) from error
    if not text.strip():
        raise InputError(f"{path}: the file is empty")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def parse_json(text: str, *, where: str) -> Any:
    """Return parsed JSON whose numbers are numbers that people mean, and whose names come once.

    Args:
        text: JSON.
        where: the file, or file and line, for messages.

    Raises:
        InputError: a name comes twice in one object, a number is huge, NaN or infinite, or brackets nest too deeply.
        json.JSONDecodeError: it is not JSON; the caller knows the line.
    """

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        names = [name for name, _ in pairs]
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise InputError(f"{where}: {twice!r} is given twice")
        return dict(pairs)

    def finite(digits: str) -> float:
        return number(digits, where=where, what="a value")

    def whole(digits: str) -> int | float:
        return int(digits) if len(digits) <= _LONGEST_INDEX else finite(digits)

    def refused(name: str) -> float:
        raise InputError(f"{where}: {name} is not JSON", hint="write null for a point that is absent")

    try:
        return json.loads(text, object_pairs_hook=unique, parse_float=finite, parse_int=whole, parse_constant=refused)
    except RecursionError as error:
        raise InputError(f"{where}: its brackets nest too deeply to be points") from error


def rounded(value: float, digits: int) -> float | None:
    """Return a float as files hold it, None for NaN; -0.0 becomes 0.0 so that equal results give equal bytes."""
    return None if math.isnan(value) else round(float(value), digits) + 0.0


def cell_text(value: float, digits: int) -> str:
    """Return a float as a cell of a table, empty for NaN."""
    short = rounded(value, digits)
    return "" if short is None else repr(short)


def csv_rows(path: Path, text: str, *, separator: str = ",") -> Iterator[tuple[int, list[str]]]:
    """Return the line number and the cells of every row of a table that is not empty.

    Raises:
        InputError: a cell is too long to be one, such as after an open quote.
    """
    reader = csv.reader(io.StringIO(decode(text), newline=""), delimiter=separator)
    try:
        for row in reader:
            if any(cell.strip() for cell in row):
                yield reader.line_num, row
    except csv.Error as error:
        raise InputError(f"{path}, line {reader.line_num}: not a table: {error}") from error


def csv_line(cells: Iterable[str]) -> str:
    """Return one line of a table; cells with a comma, quote or line break are quoted."""
    line = io.StringIO(newline="")
    csv.writer(line, lineterminator="\r\n").writerow(cells)  # so that both kinds of line breaks are quoted
    return line.getvalue().removesuffix("\r\n") + "\n"
