"""Transfer: copy labels through affinity (Vondrick eq. 1), and follow the strongest pointer."""

from __future__ import annotations

import torch
from torch import Tensor

from propagate.values import Affinity


def transfer(affinity: Affinity, labels: Tensor) -> Tensor:
    """Return y_j = sum_i A_ij c_i for every target cell: (Q, L).

    Args:
        affinity: (K, Q) weights and cells.
        labels: (M, L) float32, the labels of all reference cells.
    """
    cells, weights = affinity.cells.T.contiguous(), affinity.weights.T.contiguous()  # (Q, K)
    return torch.nn.functional.embedding_bag(cells, labels, per_sample_weights=weights, mode="sum")


def transfer_near(affinity: Affinity, labels: Tensor, *, position: Tensor, reach: float) -> Tensor:
    """Return labels averaged over only those candidates that agree with the strongest one: (Q, L).

    Coordinates must not be averaged over two different sources: the mean lies at neither.

    Args:
        affinity: (K, Q) weights and cells.
        labels: (M, L) float32.
        position: (M, 2) what the candidates are compared by, in cells.
        reach: candidates farther than this from the strongest one's position are left out.
    """
    best = affinity.weights.argmax(0, keepdim=True)  # (1, Q)
    where = position[affinity.cells]  # (K, Q, 2)
    anchor = where.gather(0, best[..., None].expand(-1, -1, 2))
    near = (where - anchor).square().sum(-1) <= reach**2
    weights = affinity.weights * near
    return transfer(Affinity(weights / weights.sum(0), affinity.cells), labels)


def follow(affinity: Affinity, labels: Tensor) -> Tensor:
    """Return the labels of the strongest candidate of every target cell, unmixed: (Q, L).

    Args:
        affinity: (K, Q) weights and cells.
        labels: (M, L) of any dtype.
    """
    best = affinity.cells.gather(0, affinity.weights.argmax(0, keepdim=True))[0]
    return labels[best]
