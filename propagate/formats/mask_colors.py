"""CVAT's `labelmap.txt` ("Segmentation mask 1.1"): which colour is which label."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from propagate.errors import InputError
from propagate.files import read_bytes
from propagate.formats.mask_forms import MAX_COLORS, Ids, RawMask
from propagate.formats.palette import davis_ids, pack_colors, unpack_color


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
    text = read_bytes(path).decode("utf-8-sig", errors="replace")
    for number, line in enumerate(text.splitlines(), 1):
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
    if len(numbers) != 3 or not all(re.fullmatch("[0-9]{1,3}", n.strip()) and int(n) < 256 for n in numbers):
        raise InputError(f"{where}: expected label:R,G,B:: but found {line!r}")
    return int(pack_colors(np.array([int(n) for n in numbers], np.uint8)))


WHITE = 0xFFFFFF
Rule = Literal["davis", "labelmap", "ascending"]
_FORMS: dict[Rule, str] = {
    "davis": "colours of the DAVIS palette",
    "labelmap": "colours by labelmap.txt",
    "ascending": "colours in ascending (R, G, B)",
}


@dataclass(frozen=True)
class MaskFile:
    """One mask as ids.

    Attributes:
        path: the file.
        ids: (H, W) int32, 0 is background.
        objects: the ids that occur, ascending, without 0.
        form: which form was recognised, in plain words.
        colors: the (R, G, B) of each id, for masks that were given as colours.
    """

    path: Path
    ids: Ids
    objects: tuple[int, ...]
    form: str
    colors: dict[int, tuple[int, int, int]] = field(default_factory=dict)


def resolve(raws: Sequence[RawMask]) -> list[MaskFile]:
    """Return the masks with an id for every colour, the same colour the same id in all of them.

    Raises:
        InputError: a colour is not in the labelmap, the colours look anti-aliased, or some masks hold colours without a
            fixed order while others hold ids.
    """
    colored = [raw for raw in raws if raw.colored]
    if not colored:
        return [_mask_file(raw) for raw in raws]
    codes = sorted(set().union(*(raw.objects for raw in colored)))
    ids, rule = _color_ids(codes, colored)
    if rule == "ascending" and len(colored) < len(raws):
        plain = next(raw for raw in raws if not raw.colored)
        raise InputError(
            f"{colored[0].path} holds colours but {plain.path} holds ids",
            hint="give all masks in one form, or a labelmap.txt",
        )
    return [_mask_file(_recolor(raw, ids, _FORMS[rule]), ids) if raw.colored else _mask_file(raw) for raw in raws]


def _color_ids(codes: list[int], raws: Sequence[RawMask]) -> tuple[dict[int, int], Rule]:
    """Return the id of every packed colour, and the rule that gave it."""
    davis = davis_ids(np.array([unpack_color(code) for code in codes], np.uint8).reshape(-1, 3))
    if davis is not None:
        return dict(zip(codes, davis.tolist(), strict=True)), "davis"
    declared = _labelmap(raws)
    if declared is not None:
        return declared, "labelmap"
    soft = set(codes) - set().union(*(set(raw.objects) - raw.edges for raw in raws))
    greys = codes[-1] == WHITE and all(len(set(unpack_color(code))) == 1 for code in codes)
    if len(codes) > MAX_COLORS or (len(codes) > 1 and (greys or 2 * len(soft) >= len(codes))):
        hint = "draw it without anti-aliasing and save it as an indexed PNG"
        raise InputError(f"{raws[0].path}: {len(codes)} colours that look like anti-aliasing", hint=hint)
    return {code: place for place, code in enumerate(codes, 1)}, "ascending"


def _labelmap(raws: Sequence[RawMask]) -> dict[int, int] | None:
    """Return the labelmap that all masks share, None when none has one."""
    files = sorted({found for raw in raws if (found := find_labelmap(raw.path)) is not None})
    if not files:
        return None
    ids = read_labelmap(files[0])
    for other in files[1:]:
        if read_labelmap(other) != ids:
            raise InputError(f"{files[0]} and {other} give colours different ids", hint="keep one of them")
    for raw in raws:
        missing = [unpack_color(code) for code in raw.objects if code not in ids]
        if missing:
            raise InputError(f"{raw.path}: the colour {missing[0]} is not in {files[0]}", hint="add a line for it")
    return ids


def _recolor(raw: RawMask, ids: dict[int, int], form: str) -> RawMask:
    """Return a mask whose colours are ids; how its transparency was taken stays said."""
    table = np.array([ids.get(code, 0) for code in raw.table.tolist()], np.int32)
    return RawMask(raw.path, raw.places, table, raw.form.replace("colours", form, 1))


def _mask_file(raw: RawMask, color_ids: dict[int, int] | None = None) -> MaskFile:
    colors = {place: unpack_color(code) for code, place in (color_ids or {}).items() if place in raw.objects}
    return MaskFile(raw.path, raw.values, raw.objects, raw.form, dict(sorted(colors.items())))
