"""The DAVIS palette: known colours, and recognising them."""

from __future__ import annotations

import numpy as np

from propagate.formats.palette import davis_ids, davis_palette, pack_colors, unpack_color


def test_first_colors_are_those_of_voc() -> None:
    known = [[0, 0, 0], [128, 0, 0], [0, 128, 0], [128, 128, 0], [0, 0, 128], [128, 0, 128], [0, 128, 128]]
    assert davis_palette()[:7].tolist() == known
    assert davis_palette()[[8, 255]].tolist() == [[64, 0, 0], [224, 224, 192]]


def test_colors_are_all_different_and_known_by_id() -> None:
    palette = davis_palette()
    ids = davis_ids(palette[::-1])
    assert ids is not None
    assert ids.tolist() == list(range(255, -1, -1))


def test_another_color_is_not_of_the_palette() -> None:
    assert davis_ids(np.array([[128, 0, 0], [0, 0, 0]], np.uint8)) is not None
    assert davis_ids(np.array([[128, 0, 0], [255, 255, 255]], np.uint8)) is None


def test_packing_keeps_color_and_order() -> None:
    colors = np.array([[0, 0, 255], [0, 1, 0], [1, 0, 0]], np.uint8)
    codes = pack_colors(colors).tolist()
    assert codes == sorted(codes)
    assert [list(unpack_color(code)) for code in codes] == colors.tolist()
