"""A root that is not what a benchmark expects is named in one InputError, whatever lies there."""

from __future__ import annotations

from pathlib import Path

import pytest

from propagate.errors import InputError
from propagate.evaluation import BENCHMARKS


@pytest.fixture(params=["missing", "circle", "empty", "circle inside", "file in a folder's place"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    place = tmp_path / "root"
    if request.param == "circle":
        place.symlink_to(tmp_path / "other")
        (tmp_path / "other").symlink_to(place)
    elif request.param != "missing":
        place.mkdir()
    if request.param == "circle inside":
        (place / "JPEGImages").mkdir()
        (place / "JPEGImages/480p").symlink_to("480p")
    if request.param == "file in a folder's place":
        for name in ("JPEGImages", "Annotations", "Images", "joint_positions", "lists"):
            (place / name).write_text("no folder", encoding="utf-8")
    return place


@pytest.mark.parametrize("name", list(BENCHMARKS))
def test_a_hostile_root_is_one_line_that_names_it(name: str, root: Path) -> None:
    with pytest.raises(InputError, match=str(root)):
        list(BENCHMARKS[name](root).list_sequences())
