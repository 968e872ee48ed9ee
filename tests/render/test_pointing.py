"""The strip of references with heat maps."""

from __future__ import annotations

import numpy as np
import pytest

from propagate.render.compare import GAP
from propagate.render.features import HEIGHT, named, pointing_strip


def strip(attention, *, references=2):
    picture = np.full((60, 80, 3), 90, np.uint8)
    names = ["frame 9", *(f"frame {number}" for number in range(references))]
    return pointing_strip(
        picture, [picture] * references, attention, xy=(40, 30), stride_xy=(8, 8), offset_xy=(3.5, 3.5), names=names
    )


def test_the_target_comes_first_and_heat_lies_where_it_looks():
    attention = np.zeros((2, 8, 10))
    attention[1, 5, 6] = 1
    drawn = strip(attention).astype(int)
    assert drawn.shape == (60, 3 * 80 + 2 * GAP, 3)
    cold, hot = drawn[30:, 80 + GAP : 160 + GAP], drawn[:, 160 + 2 * GAP :]
    assert cold[..., 0].max() - cold[..., 0].min() <= 1  # nothing looks here
    assert hot[44, 52, 0] > hot[44, 10, 0] + 50


def test_as_many_maps_as_references():
    with pytest.raises(ValueError, match="2 references need as many maps"):
        strip(np.zeros((3, 8, 10)))


def test_large_pictures_are_made_smaller_and_small_ones_kept():
    assert named(np.zeros((480, 854, 3), np.uint8), "x").shape == (HEIGHT, 427, 3)
    assert named(np.zeros((48, 64, 3), np.uint8), "x").shape == (48, 64, 3)
