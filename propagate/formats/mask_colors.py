"""Ids for masks that were given as colours, the same colour the same id over all annotated frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np

from propagate.errors import InputError
from propagate.formats.labelmap import find_labelmap, read_labelmap
from propagate.formats.mask_forms import MAX_COLORS, Ids, RawMask, positive
from propagate.formats.palette import davis_ids, unpack_color

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
    codes = sorted(set().union(*(positive(raw.values).tolist() for raw in colored)))
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
    soft = set(codes) - set().union(*(set(positive(raw.values).tolist()) - raw.edges for raw in raws))
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
        missing = [unpack_color(code) for code in positive(raw.values).tolist() if code not in ids]
        if missing:
            raise InputError(f"{raw.path}: the colour {missing[0]} is not in {files[0]}", hint="add a line for it")
    return ids


def _recolor(raw: RawMask, ids: dict[int, int], form: str) -> RawMask:
    codes, places = np.unique(raw.values, return_inverse=True)
    table = np.array([ids[code] if code else 0 for code in codes.tolist()], np.int32)
    return replace(raw, values=table[places].reshape(raw.values.shape), form=form)


def _mask_file(raw: RawMask, color_ids: dict[int, int] | None = None) -> MaskFile:
    objects = tuple(positive(raw.values).tolist())
    colors = {place: unpack_color(code) for code, place in (color_ids or {}).items() if place in objects}
    return MaskFile(raw.path, raw.values, objects, raw.form, dict(sorted(colors.items())))
