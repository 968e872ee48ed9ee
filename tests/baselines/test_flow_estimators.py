"""Flows between two pictures of a photograph moved by an exactly known part of a pixel: size, sign and edges."""

from __future__ import annotations

from itertools import pairwise, product

import numpy as np
import pytest
import torch
from textured import texture

from photographs import photograph, sample, splines
from propagate.baselines import PROPAGATORS
from propagate.baselines.flow import at_scale, load_estimator, tvl1
from propagate.baselines.siftflow import (
    JUMP,
    SMALL,
    SMOOTH,
    TRUNCATION,
    best_labels,
    data_costs,
    dense_sift,
    halved,
    sift_flow,
)
from propagate.errors import WeightsError
from propagate.labels.masks import MaskLabels

RAFT_SMALL, RAFT_LARGE = "raft_small_C_T_V2-01064c6d.pth", "raft_large_C_T_SKHT_V2-ff5fadd5.pth"


def moved_photograph(dx: float, dy: float, *, size=(72, 96)) -> tuple[np.ndarray, np.ndarray]:
    """Return target and reference (H, W, 3) uint8: target pixel p shows what reference pixel p + (dx, dy) shows."""
    around = 10
    coefficients = splines(photograph("coffee", cover=(size[0] + 2 * around, size[1] + 2 * around)))
    y, x = np.meshgrid(*(np.arange(side) + float(around) for side in size), indexing="ij")
    pictures = [sample(coefficients, np.stack([x + by[0], y + by[1]], -1)) for by in ((dx, dy), (0, 0))]
    target, reference = (np.clip(np.rint(picture), 0, 255).astype(np.uint8) for picture in pictures)
    return target, reference


@pytest.mark.parametrize("motion", [(2.3, -1.6), (-3.5, 0.4)])
@pytest.mark.parametrize(
    ("estimate", "within"),
    [(tvl1, 0.1), (at_scale(tvl1, 0.5), 0.2), (sift_flow, 0.5), (at_scale(sift_flow, 0.5), 0.5)],
)
def test_a_known_motion_is_found(estimate, within, motion):
    flow = estimate(*moved_photograph(*motion))
    assert flow.shape == (2, 72, 96)
    assert flow.dtype == np.float32
    inner = flow[:, 8:-8, 8:-8]
    np.testing.assert_allclose(np.median(inner, axis=(1, 2)), motion, atol=within / 2)
    assert np.hypot(inner[0] - motion[0], inner[1] - motion[1]).mean() < within


@pytest.mark.parametrize("estimate", [tvl1, sift_flow])
def test_the_same_picture_has_not_moved(estimate):
    picture = texture(0)
    np.testing.assert_allclose(estimate(picture, picture), 0, atol=1e-3)


@pytest.mark.parametrize("estimate", [tvl1, sift_flow])
def test_flat_pictures_give_finite_flows(estimate):
    black, white = np.zeros((20, 30, 3), np.uint8), np.full((20, 30, 3), 255, np.uint8)
    for pair in ((black, black), (black, white)):
        assert np.isfinite(estimate(*pair)).all()


@pytest.mark.parametrize("size", [(48, 64), (47, 63), (9, 300)])
def test_a_flow_of_a_smaller_picture_is_in_pixels_of_the_picture(size):
    seen = []

    def estimate(target, reference):
        seen.append(target.shape[:2])
        height, width = target.shape[:2]
        return np.stack([np.full((height, width), width / 10), np.full((height, width), -height / 10)]).astype("f4")

    flow = at_scale(estimate, 0.5)(np.zeros((*size, 3), np.uint8), np.zeros((*size, 3), np.uint8))
    assert seen == [(max(round(size[0] / 2), 8), round(size[1] / 2))]
    np.testing.assert_allclose(flow[0], size[1] / 10, rtol=1e-5)
    np.testing.assert_allclose(flow[1], -size[0] / 10, rtol=1e-5)


def test_a_descriptor_tells_directions_and_not_brightness():
    ramp = np.zeros((24, 24, 3), np.uint8) + (np.arange(24)[None, :, None] * 4).astype(
        np.uint8
    )  # brighter to the right
    right = dense_sift(ramp).view(24, 24, 16, 8)[12, 12]
    down = dense_sift(ramp.transpose(1, 0, 2)).view(24, 24, 16, 8)[12, 12]
    assert right.argmax(1).tolist() == [0] * 16
    assert down.argmax(1).tolist() == [2] * 16  # a quarter turn of 8 directions
    torch.testing.assert_close(dense_sift(ramp + 90), dense_sift(ramp))
    assert dense_sift(np.full((9, 9, 3), 77, np.uint8)).abs().max() == 0


def test_descriptors_move_with_the_picture_and_have_length_one():
    picture = texture(1, (40, 60))
    whole, part = dense_sift(picture), dense_sift(np.ascontiguousarray(picture[3:, 5:]))
    torch.testing.assert_close(part[9:-9, 9:-9], whole[12:-9, 14:-9])
    assert whole.shape == (40, 60, 128)
    torch.testing.assert_close(whole.norm(dim=2).median(), torch.tensor(1.0), atol=0.05, rtol=0)


def test_data_costs_compare_the_window_around_each_centre():
    there = torch.rand(6, 7, 3)
    centres = torch.zeros(2, 6, 7, dtype=torch.int64)
    centres[0, 2, 3], centres[1, 2, 3] = 2, -1  # the window of pixel (row 2, column 3) lies around (row 1, column 5)
    data = data_costs(there, there, centres, radius=1)
    torch.testing.assert_close(data[0, 2, 2, 3], (there[0, 6] - there[2, 3]).abs().sum())
    torch.testing.assert_close(data[2, 0, 2, 3], (there[2, 4] - there[2, 3]).abs().sum())
    assert data[1, 1, 0, 0] == 0
    assert data[0, 1, 0, 0] == TRUNCATION  # above the picture


def test_halving_takes_the_mean_of_what_there_is():
    row = torch.tensor([[1.0, 2.0, 30.0], [3.0, 4.0, 50.0], [500.0, 700.0, 9000.0]])[:, :, None]
    assert halved(row)[:, :, 0].tolist() == [[2.5, 40.0], [600.0, 9000.0]]


@pytest.mark.parametrize("vertical", [False, True])
def test_beliefs_are_the_exact_least_costs_on_a_chain(vertical):
    count, length = 3, 5
    generator = torch.Generator().manual_seed(0)
    own = torch.rand(count, length, generator=generator) * 30
    centres = torch.tensor([0, 3, -1, 25, 1])
    windows = torch.stack([centres, torch.zeros_like(centres)]).view(2, 1, length)
    data = own.view(1, count, 1, length).expand(count, -1, -1, -1)
    if vertical:
        windows, data = windows.transpose(1, 2).flip(0), data.transpose(2, 3).transpose(0, 1)
    found = best_labels(data, windows, iterations=length)[int(vertical)].reshape(count, length)
    expected = torch.full((count, length), torch.inf)
    for labels in product(range(count), repeat=length):
        moved = [int(centres[n]) + label - 1 for n, label in enumerate(labels)]
        cost = sum(float(own[label, n]) + SMALL * abs(moved[n]) for n, label in enumerate(labels))
        cost += sum(min(SMOOTH * abs(a - b), JUMP) for a, b in pairwise(moved))
        for n, label in enumerate(labels):
            expected[label, n] = min(expected[label, n], cost)
    torch.testing.assert_close(found - found.amin(0), expected - expected.amin(0), atol=1e-3, rtol=0)


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """Return an empty folder of torch's weights."""
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    (tmp_path / "checkpoints").mkdir()
    return tmp_path / "checkpoints"


def test_raft_without_weights_says_which_and_where(hub):
    message = f"RAFT's weights are not on this machine: .*checkpoints holds neither {RAFT_LARGE} nor {RAFT_SMALL}"
    with pytest.raises(WeightsError, match=message):
        PROPAGATORS["flow"]([], [], label_type=MaskLabels((1,)), estimator="raft")
    assert not list(hub.iterdir())


def test_damaged_raft_weights_are_named(hub):
    (hub / RAFT_SMALL).write_bytes(b"not weights")
    with pytest.raises(WeightsError, match=rf"{RAFT_SMALL}: cannot be read as RAFT's weights"):
        load_estimator("raft")
    torch.save({"other": torch.zeros(1)}, hub / RAFT_SMALL)
    with pytest.raises(WeightsError, match=rf"{RAFT_SMALL}: cannot be read as RAFT's weights"):
        load_estimator("raft")


def test_raft_is_loaded_from_the_machine_and_takes_any_size(hub):
    from torchvision.models.optical_flow import raft_small

    torch.manual_seed(0)
    network = raft_small(weights=None).eval()
    torch.save(network.state_dict(), hub / RAFT_SMALL)
    estimate, key = load_estimator("raft")
    assert RAFT_SMALL in key
    target, reference = texture(0, (128, 136)), texture(1, (128, 136))
    flow = estimate(target, reference)
    with torch.inference_mode():
        pair = [torch.from_numpy(one).permute(2, 0, 1)[None] / 127.5 - 1 for one in (target, reference)]
        torch.testing.assert_close(torch.from_numpy(flow), network(*pair)[-1][0], atol=1e-3, rtol=1e-3)
    assert estimate(texture(0), texture(1)).shape == (2, 48, 64)


def test_raft_s_direction_is_that_of_all_estimators():
    """The network's flow goes from its first picture to its second: the target must be the first."""
    from propagate.baselines.raft import raft

    class Difference(torch.nn.Module):
        def forward(self, first, second, *, num_flow_updates):
            return [(first - second)[:, :2]]

    bright, dark = np.full((130, 131, 3), 255, np.uint8), np.zeros((130, 131, 3), np.uint8)
    np.testing.assert_allclose(raft(Difference())(bright, dark), np.full((2, 130, 131), 2.0))
