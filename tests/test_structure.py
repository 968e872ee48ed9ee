"""The shape of the house in figures, as `python tests/structure.py` prints it."""

from __future__ import annotations

from pathlib import Path

import pytest
from structure import Structure, read_structure


@pytest.fixture(scope="module")
def structure() -> Structure:
    return read_structure()


def test_there_are_no_more_files_than_a_newcomer_can_find_one_among(structure: Structure) -> None:
    assert len(structure.lines) <= 210


def test_a_file_holds_one_noun(structure: Structure) -> None:
    assert {module: lines for module, lines in structure.lines.items() if lines > 500} == {}


def test_no_two_modules_import_one_another(structure: Structure) -> None:
    assert structure.cycles() == []


def test_few_small_files_serve_one_other_alone(structure: Structure) -> None:
    assert len(structure.small_with_one_importer()) <= 15


def test_what_is_counted(tmp_path: Path) -> None:
    files = {
        "__init__": 'NAMES = {"a": "propagate.a:A"}\n',
        "a": "from propagate import b\n",
        "b": "def late():\n    from propagate.c import C\n",
        "c": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from propagate.d import D\nimport propagate.b\n",
        "d": "import propagate.a\n",
    }
    (tmp_path / "propagate").mkdir()
    for name, text in files.items():
        (tmp_path / f"propagate/{name}.py").write_text(text)
    found = read_structure(tmp_path)
    assert found.cycles() == [("propagate.b", "propagate.c")]
    assert found.small_with_one_importer() == {"propagate.c": "propagate.b"}
