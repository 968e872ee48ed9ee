"""CVAT's `labelmap.txt` ("Segmentation mask 1.1"): which colour is which label."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from propagate.errors import InputError
from propagate.formats.palette import pack_colors


def find_labelmap(path: Path) -> Path | None:
    """Return the `labelmap.txt` beside a mask, or above it when the mask lies in CVAT's `SegmentationClass`."""
    folders = [path.parent, *([path.parent.parent] if path.parent.name == "SegmentationClass" else [])]
    return next((folder / "labelmap.txt" for folder in folders if (folder / "labelmap.txt").is_file()), None)


def read_labelmap(path: Path) -> dict[int, int]:
    """Return the id of every packed colour: 1, 2, ... in the order of the lines, black being background.

    Lines are `label:R,G,B:parts:actions`; empty lines and those that start with `#` are skipped.

    Raises:
        InputError: a line has no colour, or a colour comes twice.
    """
    ids: dict[int, int] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8-sig", errors="replace").splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        code = _line_color(line, where=f"{path}, line {number}")
        if code in ids:
            raise InputError(f"{path}, line {number}: the colour of another label comes again")
        if code:
            ids[code] = len(ids) + 1
    return ids


def _line_color(line: str, *, where: str) -> int:
    fields = line.split(":")
    numbers = fields[1].split(",") if len(fields) > 1 else []
    if len(numbers) != 3 or not all(n.strip().isdecimal() and int(n) < 256 for n in numbers):
        raise InputError(f"{where}: expected label:R,G,B:: but found {line!r}")
    return int(pack_colors(np.array([int(n) for n in numbers], np.uint8)))
