"""A term of `pretext`: pictures for the encoder and the loss of their features; and the loss of known places."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

FLOOR = 1e-8  # added to a probability before its logarithm, so that a cell that was lost costs 18 and not infinity


@dataclass(frozen=True)
class Task:
    """What a term asks of the encoder in one step.

    Attributes:
        pictures: (N, 3, S, S) in [0, 1].
        loss: of the features (N, C, h, w) of `pictures`, float32: a scalar.
    """

    pictures: Tensor
    loss: Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Cells:
    """Where an encoder's cells lie in its input: pixel (stride * c + offset, stride * r + offset)."""

    stride: int
    offset: float

    def at_centres(self, field: Tensor) -> Tensor:
        """Return what a field (B, H, W, ...) over pixels says at the cells' centres, (B, h, w, ...).

        A centre between pixels takes the one before it.
        """
        first = int(self.offset)
        return field[:, first :: self.stride, first :: self.stride]

    def from_pixels(self, places: Tensor) -> Tensor:
        """Return the fractional cells (..., 2) column, row of pixels (..., 2) x, y."""
        return (places - self.offset) / self.stride


def unit(features: Tensor) -> Tensor:
    """Return (..., C, h, w) features of length 1, so that products are cosines."""
    return torch.nn.functional.normalize(features, dim=-3)


def log_pointer(query: Tensor, keys: Tensor, *, temperature: float) -> Tensor:
    """Return the logarithm of where each target cell points: (B, Q, M), softmax of cosine / temperature over M.

    Args:
        query: (B, C, Q) of length 1.
        keys: (B, C, M) of length 1.
        temperature: divides similarity.
    """
    return torch.log_softmax(query.mT @ keys / temperature, dim=2)


def place_weights(places: Tensor, shape: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Return the four cells around places, and how much of a place each is (bilinear, sum 1).

    Args:
        places: (..., 2) fractional cells column, row; they are brought inside the grid.
        shape: (h, w) of the grid.

    Returns:
        cells (..., 4) int64, row by row; weights (..., 4).
    """
    last = torch.tensor([shape[1] - 1, shape[0] - 1], device=places.device)
    held = torch.minimum(places.clamp_min(0), last.to(places.dtype))
    low = held.floor().long()
    high = torch.minimum(low + 1, last)
    right, down = (held - low).unbind(-1)
    columns = torch.stack([low[..., 0], high[..., 0], low[..., 0], high[..., 0]], -1)
    rows = torch.stack([low[..., 1], low[..., 1], high[..., 1], high[..., 1]], -1)
    weights = torch.stack([(1 - right) * (1 - down), right * (1 - down), (1 - right) * down, right * down], -1)
    return rows * shape[1] + columns, weights


def place_loss(log_probability: Tensor, places: Tensor, known: Tensor, *, shape: tuple[int, int]) -> Tensor:
    """Return how far pointers are from known places: the mean over known cells of KL(bilinear weights | pointer).

    It is the cross-entropy less what the best pointer would still have, so a perfect one costs 0.

    Args:
        log_probability: (B, Q, M) with M = h * w.
        places: (B, Q, 2) fractional cells column, row of the reference.
        known: (B, Q) cells that count; with none of them the loss is 0.
        shape: (h, w).
    """
    cells, weights = place_weights(places, shape)  # (B, Q, 4)
    said = log_probability.gather(2, cells)
    each = (torch.special.xlogy(weights, weights) - weights * said).sum(2)
    return torch.where(known, each, 0).sum() / known.sum().clamp_min(1)
