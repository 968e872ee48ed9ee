from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from propagate.errors import OutputError
from propagate.formats.images import read_picture, write_rgb


def test_what_is_written_is_read(tmp_path: Path) -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (7, 5, 3), dtype=np.uint8)
    write_rgb(tmp_path / "a.png", rgb)
    np.testing.assert_array_equal(read_picture(tmp_path / "a.png"), rgb)
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_a_missing_folder_is_said(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"a\.png: cannot be written"):
        write_rgb(tmp_path / "none" / "a.png", np.zeros((2, 2, 3), np.uint8))
