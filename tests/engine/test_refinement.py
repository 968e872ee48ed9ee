"""Outlines: a fine cell decides among the fine cells around what its cell points to, as a plain loop does."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from textured import frame, propagation

from propagate.config import resolve
from propagate.encoders.dilation import denser
from propagate.encoders.features import Box, FeatureExtractor
from propagate.encoders.weights import load_encoder
from propagate.engine.refinement import FineKeys, Patch, box_around, outline, refined
from propagate.labels.keypoints import KeypointLabels
from propagate.labels.masks import MaskLabels
from propagate.ops.attention import as_keys, as_query
from propagate.ops.grid import fold, unfold
from propagate.values import Annotation
from rendered import render

SHAPE = (6, 7)  # cells
REFINED = {"refine": True, "certain": 0.9, "lab_weight": 15.0, "radius": 5, "topk": 3, "edges": 4.0}


def random_patch(box, similarity, channels=5):
    features = torch.randn(channels, 2 * (box.bottom - box.top), 2 * (box.right - box.left))
    return features, Patch.of(box, features, similarity)


def by_hand(cell, target, references, pointed, *, similarity, temperature, topk):
    """Return the labels (4, L) of a cell's fine cells, None for one without a candidate.

    Args:
        cell: (row, column).
        target: features of fine cells, a dict of (row, column).
        references: for each, features as of `target` and labels (L, 2 h, 2 w).
        pointed: (frame, row, column) of each coarse candidate.
    """
    around = [(f, 2 * y + dy, 2 * x + dx) for f, y, x in pointed for dy in range(-1, 3) for dx in range(-1, 3)]
    candidates = sorted({one for one in around if one[1:] in references[one[0]][0]})
    rows = []
    for y in (2 * cell[0], 2 * cell[0] + 1):
        for x in (2 * cell[1], 2 * cell[1] + 1):
            if not candidates:
                rows.append(None)
                continue
            query = as_query(target[y, x][:, None, None], similarity)
            keys = [as_keys(references[f][0][r, c][:, None, None], similarity) for f, r, c in candidates]
            score = torch.stack([(query * key).sum() for key in keys])
            best = score.argsort(descending=True)[:topk]
            weight = torch.softmax(score[best] / temperature, 0)
            soft = torch.stack([references[f][1][:, r, c] for f, r, c in candidates])[best]
            rows.append((weight[:, None] * soft).sum(0))
    return rows


@pytest.mark.parametrize("similarity", ["cosine", "dot", "distance"])
def test_equals_a_plain_loop(similarity):
    torch.manual_seed(0)
    box, boxes = Box(1, 2, 5, 7), [Box(0, 0, 4, 5), None, Box(2, 1, 6, 7)]
    inside = lambda box, data: {  # noqa: E731
        (2 * box.top + y, 2 * box.left + x): data[:, y, x] for y in range(data.shape[1]) for x in range(data.shape[2])
    }
    features, target = random_patch(box, similarity)
    labels = torch.rand(3, 3, 12, 14).softmax(1)
    patches, references = [], []
    for one, soft in zip(boxes, labels, strict=True):
        data, patch = (None, None) if one is None else random_patch(one, similarity)
        patches.append(patch)
        references.append(({} if one is None else inside(one, data), soft))
    cells = torch.tensor([9, 13, 17, 30])
    pointed = torch.tensor([[0, 2, 50, 125], [1, 88, 51, -1], [110, 2, 52, -1]])  # (K, Z) over 3 * 42 cells
    before = torch.rand(4, 12)
    found = refined(
        before,
        cells,
        target=target,
        keys=FineKeys.of(patches, shape=SHAPE),
        known=torch.cat([fold(soft, 2).flatten(1).T for soft in labels]),
        pointed=pointed,
        temperature=0.3,
        topk=4,
    ).view(4, 3, 4)
    for number, cell in enumerate(cells.tolist()):
        there = [divmod(one, 42) for one in pointed[:, number].tolist() if one >= 0]
        there = [(f, *divmod(rest, 7)) for f, rest in there]
        expected = by_hand(
            divmod(cell, 7), inside(box, features), references, there, similarity=similarity, temperature=0.3, topk=4
        )
        for part, row in enumerate(expected):
            kept = before.view(4, 3, 4)[number, :, part]
            torch.testing.assert_close(found[number, :, part], kept if row is None else row, atol=1e-5, rtol=1e-5)
    assert all(row is None for row in expected) is False
    assert torch.equal(found[2], before.view(4, 3, 4)[2])  # it points into a frame without fine features


def test_an_outline_is_where_a_neighbourhood_holds_two_labels():
    soft = torch.zeros(2, 10, 16)
    soft[0] = 1
    soft[:, 4, 7] = torch.tensor([0.0, 1.0])  # in cell (2, 3)
    soft[:, 9, 15] = torch.tensor([0.5, 0.5])  # in the last
    expected = torch.zeros(5, 8, dtype=torch.bool)
    expected[1:4, 2:5] = expected[3:, 6:] = True
    assert torch.equal(outline(soft), expected)
    assert box_around(outline(soft)) == Box(0, 0, 5, 8)
    assert box_around(torch.zeros(5, 8, dtype=torch.bool)) is None


@pytest.fixture(scope="module")
def network():
    return load_encoder("resnet18", "random")


@pytest.mark.parametrize("size", [(96, 128), (101, 139)])
@pytest.mark.parametrize("box", [Box(0, 0, 4, 5), Box(5, 6, 9, 11), Box(8, 12, 12, 16), Box(6, 9, 13, 18)])
def test_fine_features_are_those_of_the_denser_network(network, size, box):
    rgb = np.random.default_rng(0).integers(0, 255, (*size, 3), np.uint8)
    settings = {"lab_weight": 30.0, "center_features": False, "layer_mix": 1.0, "size": 96}
    features = FeatureExtractor(network, resolve(network.preset, settings, {"refine": True}), size)
    whole = FeatureExtractor(network, resolve(network.preset, settings, {"stride": 4}), size).encode(rgb)
    found = features.closer(features.view(rgb), box)
    there = whole[:, 2 * box.top : 2 * box.bottom, 2 * box.left : 2 * box.right]
    wanted = (2 * (box.bottom - box.top), 2 * (box.right - box.left))
    edges = (0, wanted[1] - there.shape[2], 0, wanted[0] - there.shape[1])  # the grid may end beyond the picture
    there = torch.nn.functional.pad(there[None], edges, mode="replicate")[0]
    torch.testing.assert_close(found, there, atol=1e-5, rtol=1e-4)
    assert denser(network).stride == 4


@pytest.fixture(scope="module")
def clip():
    return render(size=(128, 192), frames=9)


def steps(clip, network, annotations, label_type, **settings):
    frames = [frame(index, rgb) for index, rgb in enumerate(clip.frames)]
    moving = propagation(
        annotations, label_type=label_type, encoder=network, pictures=frames.__getitem__, **{**REFINED, **settings}
    )
    return moving, [(moving.step(one), moving.state()) for one in frames]


def given(clip):
    moved = np.roll(clip.masks[4], 3, axis=1)
    return [Annotation(0, clip.masks[0], (1,)), Annotation(4, np.where(moved == 1, 2, 0), (2,))]


def test_no_bit_depends_on_what_is_skipped(clip, network):
    runs = [steps(clip, network, given(clip), MaskLabels((1, 2)), search_all=whole)[1] for whole in (False, True)]
    for (one, state), (other, same) in zip(*runs, strict=True):
        np.testing.assert_array_equal(one.array, other.array)
        assert torch.equal(state.soft, same.soft)


def test_a_restored_run_goes_on_bit_for_bit(clip, network):
    again, found = steps(clip, network, given(clip), MaskLabels((1, 2)), context=2)
    assert all(any(group.box for group in found[at][1].groups) for at in (2, 5))
    for before in (3, 6):
        again.restore(before, lambda index: found[index][1])
        for index in range(before, len(found)):
            np.testing.assert_array_equal(again.step(frame(index, clip.frames[index])).array, found[index][0].array)
            for group, same in zip(again.state().groups, found[index][1].groups, strict=True):
                assert (group.ids, group.start, group.end, group.box) == (same.ids, same.start, same.end, same.box)
                assert torch.equal(group.soft, same.soft)
                assert torch.equal(group.origin, same.origin)


def test_what_is_given_of_one_object_moves_no_bit_of_another(clip, network):
    first, later = given(clip)
    alone = steps(clip, network, [first], MaskLabels((1, 2)))[1]
    both = steps(clip, network, [first, later], MaskLabels((1, 2)))[1]
    for (_, before), (_, after) in zip(alone, both, strict=True):
        assert torch.equal(before.group_of(1).soft[1], after.group_of(1).soft[1])


def test_labels_have_fine_cells_and_masks_are_better_for_it(clip, network):
    truth = [mask == 1 for mask in clip.masks]
    share = {}
    for refine in (False, True):
        moving, found = steps(clip, network, [given(clip)[0]], MaskLabels((1,)), refine=refine, layer_mix=1.0)
        assert found[-1][1].soft.shape[1] == moving.grid.rows * (2 if refine else 1)
        pairs = [(one.array == 1, real) for (one, _), real in zip(found, truth, strict=True)]
        share[refine] = np.mean([(mask & real).sum() / (mask | real).sum() for mask, real in pairs])
    assert share[True] > share[False]


def test_points_are_refined_too(clip, network):
    points = Annotation(0, np.array([[60.0, 50.0], [70.0, 54.0]]), ("a", "b"))
    _, found = steps(clip, network, [points], KeypointLabels(("a", "b"), visible=0.0))
    assert found[3][1].soft.shape[1:] == (2 * 16, 2 * 24)
    assert np.isfinite(found[0][0].array).all()


def test_unfolded_parts_are_in_the_order_of_the_fine_cells():
    soft = torch.arange(48.0).view(1, 6, 8)
    flat = fold(soft, 2).flatten(1).T  # (12, 4)
    assert flat[5].tolist() == [soft[0, 2 + part // 2, 2 + part % 2] for part in range(4)]
    assert torch.equal(unfold(flat.T.reshape(-1, 3, 4), 2), soft)
