from __future__ import annotations

import numpy as np
import pytest

from propagate.render.compare import colors_strip, picture_rows, resized


def flat(value: int, *, size: tuple[int, int] = (20, 40)) -> np.ndarray:
    return np.full((*size, 3), value, np.uint8)


def test_rows_lie_below_each_other_in_their_order() -> None:
    strip = picture_rows([[flat(10), flat(20)], [flat(30), flat(40)]], height=10)
    assert strip.shape == (2 * 10 + 4, 2 * 20 + 4, 3)
    assert [int(strip[row, column, 0]) for row in (5, 19) for column in (10, 34)] == [10, 20, 30, 40]


@pytest.mark.parametrize("rows", [[], [[]], [[flat(1)], []]])
def test_rows_that_do_not_fit(rows: list[list[np.ndarray]]) -> None:
    with pytest.raises(ValueError, match="rows must hold equally many pictures"):
        picture_rows(rows, height=10)


def test_a_picture_keeps_its_shape() -> None:
    assert resized(flat(1, size=(100, 150)), 50).shape == (50, 75, 3)


def test_masks_are_above_predicted_colours_above_true_ones() -> None:
    mask = np.ones((20, 40), np.uint8)
    strip = colors_strip([flat(100)], [mask], [flat(200)], height=20)
    top, middle, bottom = strip[10, 20], strip[34, 20], strip[58, 20]
    assert top[0] > top[1]  # id 1 is red
    assert (middle.tolist(), bottom.tolist()) == ([200] * 3, [100] * 3)
