"""Maps: planes come back, stay apart, follow what moves; constants stay constant."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from propagate.config import resolve
from propagate.encoders.build import build_encoder
from propagate.engine.propagation import Propagation
from propagate.labels.maps import MapLabels, MapPlane, describe_plane
from propagate.ops.grid import Grid
from propagate.values import Annotation, Frame

GRID = Grid.of((32, 48), size=480, stride=4, offset=1.5)
PARTS = MapPlane("parts", "probability", 3, (0, 4, 9))
DEPTH = MapPlane("depth", "value", 2)
LABEL_TYPE = MapLabels([DEPTH, PARTS])


def example():
    """Return an annotation of both planes: a ramp, a constant, and a square of part 4 in part 9 in nothing."""
    parts = np.zeros((32, 48), np.int32)
    parts[4:28, 4:28], parts[12:20, 12:20] = 9, 4
    depth = np.stack([np.tile(np.arange(48.0), (32, 1)), np.full((32, 48), -2.5)], axis=2)
    return Annotation(0, LABEL_TYPE.stacked({"parts": parts, "depth": depth}), ("depth", "parts"))


def decode(soft, *, annotation=None, label_type=LABEL_TYPE):
    frame = Frame(index=0, time=0.0, rgb=np.zeros((32, 48, 3), np.uint8), stem="00000")
    return label_type.decode(soft, GRID, frame=frame, annotation=annotation)


def test_planes_and_stacked_are_inverse():
    taken = LABEL_TYPE.planes(example().array)
    np.testing.assert_array_equal(LABEL_TYPE.stacked(taken), example().array)
    assert taken["parts"].shape == (32, 48)
    assert taken["depth"].shape == (32, 48, 2)


def test_probabilities_of_each_plane_sum_to_one():
    soft = LABEL_TYPE.encode(example(), GRID)
    assert soft.shape == (5, 8, 12)
    torch.testing.assert_close(soft[2:].sum(0), torch.ones(8, 12))
    torch.testing.assert_close(LABEL_TYPE.nothing(GRID)[2:].sum(0), torch.ones(8, 12))


def test_the_annotated_frame_is_as_given():
    np.testing.assert_array_equal(decode(LABEL_TYPE.encode(example(), GRID), annotation=example()), example().array)


def test_decoding_gives_edges_on_cells_and_smooth_values_back():
    decoded = LABEL_TYPE.planes(decode(LABEL_TYPE.encode(example(), GRID)))
    wanted = LABEL_TYPE.planes(example().array)
    assert (decoded["parts"] == wanted["parts"]).mean() > 0.98  # corners are rounded
    assert set(np.unique(decoded["parts"])) == {0, 4, 9}
    np.testing.assert_allclose(decoded["depth"][:, 2:-2], wanted["depth"][:, 2:-2], atol=1e-4)


def test_one_probability_plane_is_of_that_kind():
    assert MapLabels([PARTS]).kind == "probability"
    assert LABEL_TYPE.kind == "value"  # several planes, several sums to one


def test_combine_keeps_the_planes_that_are_not_named():
    predicted, encoded = torch.rand(5, 8, 12), LABEL_TYPE.encode(example(), GRID)
    only_parts = Annotation(3, example().array, ("parts",))
    combined = LABEL_TYPE.combine(predicted, only_parts, encoded)
    assert torch.equal(combined[:2], predicted[:2])
    assert torch.equal(combined[2:], encoded[2:])


def test_complete_replaces_all():
    encoded = LABEL_TYPE.encode(example(), GRID)
    complete = Annotation(3, example().array, ("parts",), complete=True)
    assert torch.equal(LABEL_TYPE.combine(torch.rand(5, 8, 12), complete, encoded), encoded)


def run(label_type, array, frames):
    encoder = build_encoder("rawcolor", settings={"stride": 4})
    config = resolve(encoder.preset, {"topk": 5})
    annotation = Annotation(0, array, label_type.ids)
    propagation = Propagation([annotation], label_type=label_type, encoder=encoder, config=config)
    return [propagation.step(Frame(t, t / 24, rgb, f"{t:05d}")) for t, rgb in enumerate(frames)]


def moving(frames=4):
    """Return frames (T, 32, 48, 3) of noise in which a brighter noisy square moves right, a cell a frame."""
    rng = np.random.default_rng(0)
    pictures = np.tile(rng.integers(0, 100, (1, 32, 48, 3), np.uint8), (frames, 1, 1, 1))
    square = rng.integers(140, 255, (12, 12, 3), np.uint8)
    for t in range(frames):
        pictures[t, 12:24, 8 + 4 * t : 20 + 4 * t] = square
    return pictures


def test_planes_follow_a_square_and_a_constant_stays():
    parts = np.zeros((32, 48), np.int32)
    parts[12:24, 8:20] = 4
    depth = np.stack([parts / 4.0, np.full((32, 48), -2.5)], axis=2)
    shown = run(LABEL_TYPE, LABEL_TYPE.stacked({"parts": parts, "depth": depth}), moving())
    last = LABEL_TYPE.planes(shown[-1].array)
    wanted = np.roll(parts, 12, axis=1)
    assert (last["parts"] == wanted).mean() > 0.97
    assert np.abs(last["depth"][..., 0] - wanted / 4.0)[14:22, 22:30].max() < 0.2
    np.testing.assert_allclose(last["depth"][..., 1], -2.5, atol=1e-4)
    torch.testing.assert_close(shown[-1].labels.soft[2:].sum(0), torch.ones(8, 12))


def test_describe_plane():
    assert describe_plane("p", example().array[..., 2].astype(np.int32), "probability") == MapPlane(
        "p", "probability", 3, (0, 4, 9)
    )
    assert describe_plane("v", np.zeros((4, 4, 2), np.float32), "value") == MapPlane("v", "value", 2)


def test_planes_are_needed_and_must_fit():
    with pytest.raises(ValueError, match="at least one plane"):
        MapLabels([])
    with pytest.raises(ValueError, match="2 channels for the categories"):
        MapPlane("p", "probability", 2, (0, 1, 2))
