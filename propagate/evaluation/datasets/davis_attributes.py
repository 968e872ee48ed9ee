"""What makes a DAVIS sequence hard, from the data's own file: occlusion OCC, fast motion FM, and so on.

The development kit of 2016 has db_info.yml: a list `sequences` of mappings with a `name` and a list `attributes`. A
plain mapping of names to lists (YAML or JSON) and CSV rows `sequence,ATTR,ATTR` are read too.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from propagate.errors import InputError

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
