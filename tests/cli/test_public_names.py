"""The library's door: the public names resolve, and the example of the API does what it says."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import numpy as np
import pytest

import propagate
from propagate.errors import ConfigError
from propagate.formats.indexed_png import read_mask
from rendered import Clip

EXAMPLE = Path(__file__).resolve().parents[2] / "examples/api.py"


@pytest.mark.parametrize("name", propagate.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(propagate, name) is not None
    assert name in dir(propagate)


def test_other_names_are_not() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'runn'"):
        propagate.runn  # noqa: B018


def test_a_label_type_that_does_not_exist() -> None:
    with pytest.raises(ConfigError, match="did you mean 'masks'"):
        propagate.load_codec("mask", (1,))


def test_the_example_of_the_api(project: Path, clip: Clip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["api.py", str(project / "clip.mp4"), str(project / "mask.png")])
    runpy.run_path(str(EXAMPLE), run_name="__main__")
    assert len(list((tmp_path / "api_masks").iterdir())) == 12
    assert np.array_equal(read_mask(tmp_path / "api_masks/00000.png").ids, clip.masks[0])
