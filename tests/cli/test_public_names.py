"""The library's door: the public names resolve, and the example of the API does what it says."""

from __future__ import annotations

import runpy
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

import propagate
from propagate.errors import ConfigError
from propagate.formats.indexed_png import read_mask
from rendered import Clip

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples/api.py"


@pytest.mark.parametrize("name", propagate.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(propagate, name) is not None
    assert name in dir(propagate)


def test_other_names_are_not() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'runn'"):
        propagate.runn  # noqa: B018


def test_a_label_type_that_does_not_exist() -> None:
    with pytest.raises(ConfigError, match="did you mean 'masks'"):
        propagate.load_label_type("mask", (1,))


def test_the_example_of_the_api(project: Path, clip: Clip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["api.py", str(project / "clip.mp4"), str(project / "mask.png")])
    runpy.run_path(str(EXAMPLE), run_name="__main__")
    assert len(list((tmp_path / "api_masks").iterdir())) == 12
    assert np.array_equal(read_mask(tmp_path / "api_masks/00000.png").ids, clip.masks[0])


def test_the_readmes_python_runs_as_it_stands(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy(project / "clip.mp4", tmp_path / "clip.mp4")
    shutil.copy(project / "mask.png", tmp_path / "first_mask.png")
    script = tmp_path / "readme.py"
    script.write_text((ROOT / "README.md").read_text().partition("```python\n")[2].partition("```")[0])
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(script))
    assert len(list((tmp_path / "out").iterdir())) == 12
