"""Text files of points: their rows and cells, and how numbers are written in them."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Iterator
from pathlib import Path

from propagate.errors import InputError


def number(text: str, *, where: str, what: str) -> float:
    """Return a cell as a number, NaN for an empty one or "nan".

    Raises:
        InputError: it is no number, or infinite.
    """
    try:
        value = float(text) if text.strip() else math.nan
    except ValueError as error:
        raise InputError(f"{where}: {what} is not a number: {text!r}") from error
    if math.isinf(value):
        raise InputError(f"{where}: {what} is infinite")
    return value


def read_text(path: Path) -> str:
    """Return a text file's content, without a byte order mark.

    Raises:
        InputError: there is no such file, it is empty, or not text.
    """
    if not path.is_file():
        raise InputError(f"{path}: there is no such file")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        hint = "export the points as CSV or JSON"
        raise InputError(f"{path}: not a text file in UTF-8", hint=hint) from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error
    if not text.strip():
        raise InputError(f"{path}: the file is empty")
    return text


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
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    try:
        for row in reader:
            if any(cell.strip() for cell in row):
                yield reader.line_num, row
    except csv.Error as error:
        raise InputError(f"{path}, line {reader.line_num}: not a table: {error}") from error


def csv_line(cells: Iterable[str]) -> str:
    """Return one line of a table; cells with a comma, quote or line break are quoted."""
    special = frozenset(',"\r\n')
    return ",".join('"' + c.replace('"', '""') + '"' if special & set(c) else c for c in cells) + "\n"
