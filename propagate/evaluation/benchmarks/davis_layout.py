"""Where DAVIS keeps its pictures, masks and lists: the layouts of 2016 and 2017, any resolution and any list.

ROOT/JPEGImages/RESOLUTION/SEQUENCE/*.jpg, ROOT/Annotations/RESOLUTION/SEQUENCE/*.png and lists as text files anywhere
under ROOT/ImageSets. A line of a list is a sequence's name, or, in the release of 2016, a frame's two paths:
`/JPEGImages/480p/bear/00000.jpg /Annotations/480p/bear/00000.png`.
"""

from __future__ import annotations

import csv
import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from propagate.errors import InputError
from propagate.files import list_folder

Year = Literal[2016, 2017]
SHOWN = 12  # names in a message


@dataclass(frozen=True)
class SequenceList:
    """What is to be evaluated.

    Attributes:
        names: the sequences, in the list's order.
        year: 2016 for all objects as one, 2017 for each on its own.
        title: what the list is called, "val"; "chosen" for sequences that were named.
    """

    names: tuple[str, ...]
    year: Year
    title: str = "chosen"


def choose(
    root: Path, *, year: Year | None, wanted: str | None, sequences: Sequence[str], resolution: str
) -> SequenceList:
    """Return the sequences to evaluate, every one with a folder of pictures and one of masks.

    Args:
        root: the data set.
        year: None to take it from the list's folder; without a list, 2016 only if ImageSets has no 2017.
        wanted: a list under ImageSets, "2017/val", or "val" where that is the only one.
        sequences: names that stand in place of a list.
        resolution: the folder's name, "480p".

    Raises:
        InputError: something of the layout is missing; what there is, is named.
    """
    check_resolution(root, resolution)
    if sequences and wanted is not None:
        raise InputError(f"{root}: a list and sequences by name are given", hint="give one of the two")
    if sequences:
        found = SequenceList(tuple(sequences), year or _year_of_root(root))
        where = "sequences"
    else:
        key, path = _choose_list(root, wanted, resolution)
        names, by_frame = _read_list(path)
        found = SequenceList(names, year or _year_of_list(root, key, by_frame), key.rpartition("/")[2])
        where = str(path)
    for kind in ("JPEGImages", "Annotations"):
        _check_names(found.names, root / kind / resolution, where=where)
    return found


def check_resolution(root: Path, resolution: str) -> None:
    """Check that pictures and masks of a resolution are there.

    Raises:
        InputError: they are not; those that exist are named.
    """
    if not root.is_dir():
        found = "is no folder" if root.exists() else "there is no such folder"
        raise InputError(f"{root}: {found}")
    for kind in ("JPEGImages", "Annotations"):
        folder = root / kind
        if not folder.is_dir():
            hint = "expected JPEGImages, Annotations and ImageSets in it"
            raise InputError(f"{root}: not the layout of DAVIS, there is no {kind}", hint=hint)
        if not (folder / resolution).is_dir():
            raise InputError(f"{folder}: there is no resolution {resolution}", hint=_there(_folders(folder)))


def _choose_list(root: Path, wanted: str | None, resolution: str) -> tuple[str, Path]:
    folder = root / "ImageSets"
    lists = {path.relative_to(folder).with_suffix("").as_posix(): path for path in sorted(folder.rglob("*.txt"))}
    if not lists:
        raise InputError(f"{folder}: there is no list of sequences", hint="name the sequences")
    if wanted is None:
        usual = [key for key in ("2017/val", "2016/val", f"{resolution}/val") if key in lists]
        keys = list(lists) if len(lists) == 1 else usual[:1]
        what = "several lists and none of them is 2017/val or 2016/val"
    else:
        name = wanted.removesuffix(".txt")
        keys = [name] if name in lists else [key for key in lists if key.rpartition("/")[2] == name]
        what = f"no list is called {wanted}" if not keys else f"several lists are called {wanted}"
    if len(keys) != 1:
        raise InputError(f"{folder}: {what}", hint=_there(keys or lists))
    return keys[0], lists[keys[0]]


def _read_list(path: Path) -> tuple[tuple[str, ...], bool]:
    """Return the names in a list, each once, and whether its lines are frames, as in the release of 2016."""
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as text: {error}") from error
    lines = [line for line in lines if line and not line.startswith("#")]
    if not lines:
        raise InputError(f"{path}: the list is empty")
    by_frame = "/" in lines[0]
    names = [Path(line.split()[0]).parent.name for line in lines] if by_frame else lines
    return tuple(dict.fromkeys(names)), by_frame


def _year_of_list(root: Path, key: str, by_frame: bool) -> Year:
    if by_frame or "2016" in key.split("/"):
        return 2016
    if key.partition("/")[0].isdecimal():  # 2017, 2019
        return 2017
    return _year_of_root(root)


def _year_of_root(root: Path) -> Year:
    return 2017 if (root / "ImageSets" / "2017").is_dir() or not (root / "ImageSets").is_dir() else 2016


def _check_names(names: Iterable[str], folder: Path, *, where: str) -> None:
    missing = [name for name in names if not (folder / name).is_dir()]
    if not missing:
        return
    existing = _folders(folder)
    near = difflib.get_close_matches(missing[0], existing, n=1)
    many = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
    hint = f"did you mean {near[0]}?" if near else _there(existing)
    raise InputError(f"{folder}: there is no sequence {missing[0]}{many}, named in {where}", hint=hint)


def _folders(folder: Path) -> list[str]:
    return sorted(path.name for path in list_folder(folder) if path.is_dir())


def _there(names: Iterable[str]) -> str:
    found = list(names)
    more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    return f"there are: {', '.join(found[:SHOWN])}{more}" if found else "it is empty"


NAMES = ("db_info.yml", "db_info.yaml", "attributes.yaml", "attributes.yml", "attributes.json", "attributes.csv")
FOLDERS = ("", "ImageSets", "Annotations", "data")
Attributes = dict[str, tuple[str, ...]]


def read_attributes(root: Path, given: Path | None = None) -> Attributes:
    """Return the attributes of every sequence that the data's file names; nothing when there is no such file.

    Args:
        root: the data set; the file is looked for in it, its ImageSets and its Annotations.
        given: the file itself.

    Raises:
        InputError: the file cannot be read.
    """
    if given is not None:
        return _read(given)
    places = (root / folder / name for folder in FOLDERS for name in NAMES)
    return next((_read(path) for path in places if path.is_file()), {})


def _read(path: Path) -> Attributes:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as text: {error}") from error
    if path.suffix.lower() == ".csv":
        rows = [[cell.strip() for cell in row] for row in csv.reader(text.splitlines())]
        return {row[0]: tuple(filter(None, row[1:])) for row in rows if row and row[0] and not row[0].startswith("#")}
    return _from_yaml(path, text)


def _from_yaml(path: Path, text: str) -> Attributes:
    import yaml

    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InputError(f"{path}: cannot be read as YAML or JSON: {error}") from error
    try:
        if isinstance(content, dict) and isinstance(content.get("sequences"), list):
            return {str(entry["name"]): _names(entry.get("attributes")) for entry in content["sequences"]}
        return {str(name): _names(value) for name, value in content.items()}
    except (AttributeError, KeyError, TypeError) as error:
        hint = "expected `sequences` with a name and attributes each, or a mapping of names to attributes"
        raise InputError(f"{path}: no attributes can be read", hint=hint) from error


def _names(value: Any) -> tuple[str, ...]:
    if value is None:
        return ()
    if isinstance(value, str):
        return tuple(value.replace(",", " ").split())
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise TypeError
    return tuple(value)
