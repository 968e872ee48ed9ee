"""Transfer is a weighted sum, without two distant sources, or of the strongest alone."""

from __future__ import annotations

import torch

from propagate.ops.attention import follow, transfer, transfer_near
from propagate.values import Affinity


def test_transfer_by_hand():
    pointers = Affinity(torch.tensor([[0.75], [0.25]]), torch.tensor([[2], [0]]))
    labels = torch.tensor([[4.0, 0.0], [9.0, 9.0], [0.0, 8.0]])
    assert transfer(pointers, labels).tolist() == [[1.0, 6.0]]


def test_transfer_is_the_weighted_sum():
    cells, weights = torch.randint(0, 40, (6, 30)), torch.rand(6, 30).softmax(0)
    labels = torch.rand(40, 5)
    expected = (weights[..., None] * labels[cells]).sum(0)
    torch.testing.assert_close(transfer(Affinity(weights, cells), labels), expected)


def test_transfer_keeps_what_sums_to_one():
    labels = torch.rand(40, 5).softmax(1)
    pointers = Affinity(torch.rand(6, 30).softmax(0), torch.randint(0, 40, (6, 30)))
    torch.testing.assert_close(transfer(pointers, labels).sum(1), torch.ones(30))


def test_near_leaves_out_what_lies_far_from_the_strongest():
    position = torch.tensor([[0.0, 0.0], [1.0, 0.0], [50.0, 0.0]])
    pointers = Affinity(torch.tensor([[0.4], [0.2], [0.4 - 1e-3]]), torch.tensor([[0], [1], [2]]))
    labels = torch.tensor([[3.0], [6.0], [1000.0]])
    near = transfer_near(pointers, labels, position=position, reach=1.5)
    torch.testing.assert_close(near, torch.tensor([[4.0]]))  # (0.4 * 3 + 0.2 * 6) / 0.6


def test_near_with_a_wide_reach_is_transfer():
    labels = torch.rand(40, 5)
    pointers = Affinity(torch.rand(6, 30).softmax(0), torch.randint(0, 40, (6, 30)))
    near = transfer_near(pointers, labels, position=torch.rand(40, 2), reach=2)
    torch.testing.assert_close(near, transfer(pointers, labels))


def test_follow_takes_the_strongest_unmixed():
    pointers = Affinity(torch.tensor([[0.3, 0.6], [0.7, 0.4]]), torch.tensor([[0, 1], [2, 3]]))
    labels = torch.tensor([[0, 10], [1, 11], [2, 12], [3, 13]])
    assert follow(pointers, labels).tolist() == [[2, 12], [1, 11]]
