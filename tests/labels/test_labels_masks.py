"""Masks: they come back from the grid, probabilities sum to 1, and what is said of each object is true."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage
from textured import frame, overlap, square, texture

from propagate.labels.masks import MaskLabels
from propagate.labels.protocol import Trace, made_certain, read_labels, total
from propagate.ops.grid import Grid
from propagate.values import Annotation

SIZE = (48, 64)
GRID = Grid.of(SIZE, size=480, stride=4, offset=1.5)  # 12 x 16 cells
FRAME = frame(1, texture(0))
BOTH = square(8) + square(40, number=2)


def annotated(array, *, at=0, complete=False):
    return Annotation(at, array, tuple(int(n) for n in np.unique(array) if n), complete)


def decode(label_type, soft, grid=GRID, *, annotation=None, trace=None, last=None):
    array, states = read_labels(label_type, soft, grid, frame=FRAME, annotation=annotation, trace=trace, last=last)
    return array, {state.id: state for state in states}


def trace_to(cells, soft, *, at=0):
    """Return a trace of which cell (r, c) ends at `cells` (h, w) of frame `at`, annotated with `soft`."""
    return Trace(torch.full(cells.shape, at), cells, {at: soft}, 1)


def own_cells():
    return torch.arange(GRID.rows * GRID.columns).view(GRID.rows, GRID.columns)


def test_bands_of_whole_cells_come_back_exactly():
    bands = np.arange(64)[None].repeat(48, 0) // 8 % 3
    label_type = MaskLabels((1, 2))
    np.testing.assert_array_equal(decode(label_type, label_type.encode(annotated(bands), GRID))[0], bands)


def test_labels_as_fine_as_pixels_come_back_exactly():
    ragged = np.random.default_rng(0).integers(0, 4, SIZE)
    label_type, fine = MaskLabels((1, 2, 3)), GRID.finer(4)
    np.testing.assert_array_equal(decode(label_type, label_type.encode(annotated(ragged), fine), fine)[0], ragged)


@pytest.mark.parametrize("offset", [0.0, 1.5])
def test_a_disc_comes_back_but_for_its_rim(offset):
    y, x = np.indices(SIZE)
    disc = ((y - 23.3) ** 2 + (x - 30.8) ** 2 < 15**2).astype(int)
    grid, label_type = Grid.of(SIZE, size=480, stride=4, offset=offset), MaskLabels((1,))
    assert overlap(decode(label_type, label_type.encode(annotated(disc), grid), grid)[0] == 1, disc == 1) > 0.95


def test_ids_need_not_be_consecutive():
    label_type = MaskLabels((3, 77, 500))
    array, states = decode(
        label_type, label_type.encode(annotated(square(8, number=77) + square(40, number=500)), GRID)
    )
    assert (array.dtype, set(np.unique(array))) == (np.uint16, {0, 77, 500})
    assert [state.visible for state in states.values()] == [False, True, True]


@pytest.mark.parametrize("video", [(48, 64), (45, 61), (30, 41)])
def test_encoded_probabilities_sum_to_one(video):
    label_type, mask = MaskLabels(tuple(range(1, 40))), np.random.default_rng(1).integers(0, 40, video)
    soft = label_type.encode(annotated(mask), Grid.of(video, size=30, stride=4, offset=0))
    torch.testing.assert_close(soft.sum(0), torch.ones(soft.shape[1:]))
    torch.testing.assert_close(label_type.nothing(GRID).sum(0), torch.ones(12, 16))


def test_more_objects_than_one_chunk_are_ranked_over_all():
    stripes = np.arange(64)[None].repeat(48, 0) // 4 + 1  # 16 ids of one column of cells, and 20 absent ones
    label_type = MaskLabels(tuple(range(1, 37)))
    np.testing.assert_array_equal(decode(label_type, label_type.encode(annotated(stripes), GRID))[0], stripes)


def test_combining_keeps_what_the_annotation_does_not_name():
    label_type, fix = MaskLabels((1, 2)), annotated(square(32))
    predicted = label_type.encode(annotated(BOTH), GRID)
    combined = label_type.combine(predicted, fix, label_type.encode(fix, GRID))
    torch.testing.assert_close(combined.sum(0), torch.ones(12, 16))
    assert (combined[1] == label_type.encode(fix, GRID)[1]).all()
    assert combined[2, 4:8].sum(0).tolist() == [0] * 12 + [4, 4, 0, 0]  # the left half is covered by object 1


def test_combining_with_nothing_predicted_or_all_known_is_the_annotation():
    label_type, fix = MaskLabels((1, 2)), annotated(square(32), complete=True)
    encoded = label_type.encode(fix, GRID)
    assert label_type.combine(None, fix, encoded) is encoded
    assert label_type.combine(label_type.encode(annotated(BOTH), GRID), fix, encoded) is encoded


def test_area_box_and_centroid_by_hand():
    mask = np.zeros(SIZE, int)
    mask[10:12, 20:24] = 1  # 8 pixels around (21.5, 10.5)
    mask[12, 20] = 1  # and one below the first
    label_type, given = MaskLabels((1,)), annotated(mask)
    state = decode(label_type, label_type.encode(given, GRID), annotation=given)[1][1]
    assert (state.area, state.box, state.visible) == (9, (20, 10, 4, 3), True)
    assert state.centroid == pytest.approx(((8 * 21.5 + 20) / 9, (8 * 10.5 + 12) / 9))


@pytest.mark.parametrize("seed", range(4))
def test_extents_are_those_of_every_object_looked_at_alone(seed):
    mask = np.random.default_rng(seed).choice([0, 0, 0, 0, 3, 7, 300], (9, 13))
    mask[: 2 * seed], mask[:, :seed] = 0, 0
    label_type = MaskLabels((3, 5, 7, 300))
    given = annotated(np.pad(mask, ((20, 19), (51, 0))))
    states = decode(label_type, label_type.encode(given, GRID), annotation=given)[1]
    boxes = ndimage.find_objects(given.array, max_label=300)
    for number, state in states.items():
        y, x = np.nonzero(given.array == number)
        assert state.area == len(y)
        if len(y):
            rows, columns = boxes[number - 1]
            extent = columns.start, rows.start, columns.stop - columns.start, rows.stop - rows.start
            assert (state.box, "border" in state.flags) == (extent, columns.stop == 64)
            assert state.centroid == pytest.approx((x.mean(), y.mean()))


def test_an_object_that_is_gone_has_vanished_if_it_was_ever_there():
    label_type = MaskLabels((1, 2))
    states = decode(label_type, label_type.nothing(GRID), last={1: True})[1]
    assert (states[1].flags, states[2].flags) == (("vanished",), ())
    assert (states[1].area, states[1].box, states[1].confidence) == (0, None, 0)


def test_an_object_that_was_gone_has_reappeared():
    label_type = MaskLabels((1, 2))
    states = decode(label_type, label_type.encode(annotated(BOTH), GRID), last={1: False, 2: True})[1]
    assert (states[1].flags, states[2].flags) == (("reappeared",), ())


def test_an_object_of_which_most_is_missing_has_shrunk():
    label_type = MaskLabels((1, 2))
    whole = label_type.encode(annotated(BOTH), GRID)
    columns = np.indices(BOTH.shape)[1]
    edge = np.quantile(columns[BOTH == 1], 0.3)
    left = label_type.encode(annotated(np.where((BOTH == 1) & (columns > edge), 0, BOTH)), GRID)
    states = decode(label_type, left, trace=trace_to(own_cells(), whole))[1]
    assert ("shrunk" in states[1].flags, "shrunk" in states[2].flags) == (True, False)
    given = annotated(BOTH)
    states = decode(label_type, left, annotation=given, trace=trace_to(own_cells(), whole))[1]
    assert not any("shrunk" in state.flags for state in states.values())  # a person drew it so


@pytest.mark.parametrize(("left", "top"), [(0, 16), (48, 16), (16, 0), (16, 32)])
def test_an_object_at_the_border_is_flagged(left, top):
    label_type = MaskLabels((1,))
    given = annotated(square(left, top=top))
    assert decode(label_type, label_type.encode(given, GRID), annotation=given)[1][1].flags == ("border",)


def test_a_perfect_copy_is_certain():
    label_type = MaskLabels((1, 2))
    soft = label_type.encode(annotated(BOTH), GRID)
    states = decode(label_type, soft, trace=trace_to(own_cells(), soft))[1]
    assert [state.confidence for state in states.values()] == [pytest.approx(1)] * 2
    assert all("swapped" not in state.flags for state in states.values())


def test_a_chain_that_ends_on_the_background_is_doubted():
    label_type = MaskLabels((1, 2))
    soft = label_type.encode(annotated(BOTH), GRID)
    states = decode(label_type, soft, trace=trace_to(torch.zeros_like(own_cells()), soft))[1]
    assert [state.confidence for state in states.values()] == [0, 0]
    assert states[1].flags == ()


def test_a_chain_that_ends_on_a_rival_is_a_swap():
    label_type = MaskLabels((1, 2))
    soft = label_type.encode(annotated(BOTH), GRID)
    crossed = soft[[0, 2, 1]]  # the annotated frame has 2 where this one says 1
    states = decode(label_type, soft, trace=trace_to(own_cells(), crossed))[1]
    assert all(state.flags == ("swapped",) and state.confidence == 0 for state in states.values())


def test_confidence_stays_between_zero_and_one():
    label_type, soft = MaskLabels((1, 2)), torch.rand(3, 12, 16).softmax(0)
    cells = torch.randint(0, 192, (12, 16))
    states = decode(label_type, soft, trace=trace_to(cells, torch.rand(3, 12, 16).softmax(0)))[1]
    assert all(0 <= state.confidence <= 1 for state in states.values())


@pytest.mark.parametrize("ids", [(), (0, 1), ("a",)])
def test_ids_must_be_positive_numbers(ids):
    with pytest.raises(ValueError, match="mask ids must be positive whole numbers"):
        MaskLabels(ids)


@pytest.mark.parametrize("ids", [(2, 1), (1, 1)])
def test_ids_must_ascend(ids):
    with pytest.raises(ValueError, match="mask ids must ascend"):
        MaskLabels(ids)


def test_an_object_that_is_nowhere_changes_no_bit_of_a_sum():
    soft = torch.rand(5, 13, 17, generator=torch.Generator().manual_seed(0))
    places = torch.tensor([0, 2, 3, 7, 19])
    more = torch.zeros(20, 13, 17).index_copy_(0, places, soft)
    assert torch.equal(total(more), total(soft))
    torch.testing.assert_close(total(soft), soft.sum(0, keepdim=True))


def test_what_is_nearly_certain_is_made_so():
    soft = torch.tensor([[0.91, 0.89, 0.04, 0.9999999], [0.06, 0.07, 0.95, 0.0], [0.03, 0.04, 0.01, 1e-7]])[..., None]
    found = made_certain(soft, share=0.9)[..., 0]
    assert found[:, [0, 2, 3]].tolist() == [[1.0, 0.0, 1.0], [0.0, 1.0, 0.0], [0.0, 0.0, 0.0]]
    assert torch.equal(found[:, 1], soft[:, 1, 0])
    assert made_certain(soft, share=1.0)[:, 3, 0].tolist() == [1.0, 0.0, 0.0]  # up to rounding, always
