"""Similarity to affinity, and what is copied through it (Vondrick 3.1, CorrFlow 3.3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from propagate.values import Affinity

Similarity = Literal["cosine", "dot", "distance"]
SPREAD = 0.55  # cells, of the weight of neighbours: half of it on the cell itself (tuned on davis_dev: 0.55 > 0.7 > 1)
CHUNK = 32  # candidates per chunk in `strongest`, and then:
FINER_CHUNK = 8  # of those in the chunks that stay; so that 8192 candidates are ranked as 256, 40 and 80 for k = 10


@dataclass(frozen=True)
class Candidates:
    """Reference cells that a target cell may point to.

    Attributes:
        similarity: (K, Q) float32; -inf where there is no candidate.
        cells: (K, Q) int64, indices into the M cells of the references searched.
    """

    similarity: Tensor
    cells: Tensor


def with_neighbours(features: Tensor, size: int) -> Tensor:
    """Return (C, h, w) features with those of the cells around each appended, (C * size * size, h, w).

    Products and squared distances become weighted means over the neighbourhood, nearer cells counting more; cells
    beyond the border repeat it.
    """
    if size == 1:
        return features
    reach = size // 2
    padded = torch.nn.functional.pad(features[None].float(), (reach, reach, reach, reach), mode="replicate")
    around = torch.nn.functional.unfold(padded, size).view(features.shape[0], size * size, *features.shape[1:])
    fall = torch.exp(-0.5 * (torch.arange(-reach, reach + 1, device=features.device) / SPREAD).square())
    weight = (fall[:, None] * fall[None]).flatten()
    around = around * (weight / weight.sum()).sqrt()[None, :, None, None]
    return around.flatten(0, 1).to(features.dtype)


def as_query(features: Tensor, similarity: Similarity) -> Tensor:
    """Return (C, h, w) features of a target frame such that their products with `as_keys` are the similarity.

    "distance" stands for -|q - k|^2 / 2 up to a term that is the same for all keys of a query, which softmax ignores.
    """
    if similarity == "cosine":
        return torch.nn.functional.normalize(features.float(), dim=0).to(features.dtype)
    if similarity == "distance":
        return torch.cat([features, torch.ones_like(features[:1])])
    return features


def as_keys(features: Tensor, similarity: Similarity) -> Tensor:
    """Return (C, h, w) features of a reference frame such that their products with `as_query` are the similarity."""
    if similarity == "distance":
        return torch.cat([features, -0.5 * features.square().sum(0, keepdim=True)])
    return as_query(features, similarity)


def strongest(similarity: Tensor, k: int, *, chunk: int = CHUNK) -> tuple[Tensor, Tensor]:
    """Return the k largest of (B, M, Q) along M and their indices, both (B, k, Q), largest first; exact.

    The k largest lie in the k chunks with the largest maxima, so only those chunks are looked into.
    """
    batch, count, queries = similarity.shape
    if count % chunk or count <= k * chunk:
        values, indices = similarity.float().topk(min(k, count), dim=1)
        return values, indices
    chunked = similarity.view(batch, count // chunk, chunk, queries)
    chunks = chunked.amax(2).topk(k, dim=1, sorted=False).indices  # (B, k, Q)
    pick = chunks[:, :, None].expand(-1, -1, chunk, -1)
    values, inner = strongest(torch.gather(chunked, 1, pick).flatten(1, 2), k, chunk=FINER_CHUNK)
    return values, torch.gather(chunks, 1, inner // chunk) * chunk + inner % chunk


def full_layout(keys: Tensor) -> Tensor:
    """Return (C, h, w) keys as (M, C), cells row by row, followed by zeros up to a whole number of chunks."""
    flat = keys.flatten(1).T
    return torch.nn.functional.pad(flat, (0, 0, 0, -flat.shape[0] % CHUNK)).contiguous()


def full_candidates(query: Tensor, keys: Tensor, *, count: int, topk: int | None) -> Candidates:
    """Return candidates among all cells of a reference frame.

    Args:
        query: (C, Q) target cells.
        keys: from `full_layout`.
        count: how many of the keys are cells.
        topk: how many candidates to keep; None keeps all.
    """
    similarity = keys @ query  # (M, Q)
    if topk is None:
        cells = torch.arange(count, device=query.device)[:, None].expand(-1, query.shape[1])
        return Candidates(similarity[:count].float(), cells)
    similarity[count:] = -torch.inf
    values, cells = strongest(similarity[None], topk)
    return Candidates(values[0], cells[0].clamp_(max=count - 1))


def merge(parts: list[Candidates], topk: int | None) -> Candidates:
    """Return the union of candidates, the `topk` strongest of it (None: all), strongest first."""
    if len(parts) == 1:
        return parts[0]
    similarity = torch.cat([part.similarity for part in parts])
    cells = torch.cat([part.cells for part in parts])
    if topk is None or similarity.shape[0] <= topk:
        return Candidates(similarity, cells)
    values, order = similarity.topk(topk, dim=0)
    return Candidates(values, cells.gather(0, order))


def affinity(candidates: Candidates, temperature: float) -> Affinity:
    """Return the softmax of similarity / temperature over the candidates of each target cell (Vondrick eq. 2, 3.3)."""
    weights = torch.softmax(candidates.similarity / temperature, dim=0)
    return Affinity(weights, candidates.cells)


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
