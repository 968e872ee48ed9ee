"""The plain dense engine, written for reading: every product of every pair of cells, one loop over target cells.

This is what the fast paths are held equal to. It follows Vondrick eq. 1 and 2 literally.
"""

from __future__ import annotations

import torch
from torch import Tensor


def allowed(
    target: tuple[int, int], shape: tuple[int, int], *, radius: int | None, window: str
) -> list[tuple[int, int]]:
    """Return the reference cells (row, column) that the target cell may look at, row by row."""
    cells = [(row, column) for row in range(shape[0]) for column in range(shape[1])]
    if radius is None:
        return cells
    near = []
    for row, column in cells:
        dy, dx = row - target[0], column - target[1]
        inside = max(abs(dy), abs(dx)) <= radius if window == "square" else dy * dy + dx * dx <= radius * radius
        if inside:
            near.append((row, column))
    return near


def similarity(query: Tensor, key: Tensor, kind: str) -> Tensor:
    """Return the similarity of a target cell's feature (C,) with a reference cell's (C,)."""
    if kind == "distance":
        return -0.5 * (query - key).square().sum()
    if kind == "cosine":
        return torch.dot(query / query.norm(), key / key.norm())
    return torch.dot(query, key)


def propagate_cell(
    target: tuple[int, int],
    query: Tensor,
    references: list[tuple[Tensor, Tensor, int | None]],
    *,
    window: str,
    kind: str,
    temperature: float,
    topk: int | None,
) -> Tensor:
    """Return the labels (L,) of one target cell.

    Args:
        target: (row, column).
        query: (C,).
        references: features (C, h, w), labels (L, h, w) and radius of each frame.
    """
    scores, labels = [], []
    for keys, soft, radius in references:
        for row, column in allowed(target, keys.shape[1:], radius=radius, window=window):
            scores.append(similarity(query, keys[:, row, column], kind))
            labels.append(soft[:, row, column])
    score = torch.stack(scores)
    keep = score.argsort(descending=True)[:topk] if topk else torch.arange(len(score))
    weight = torch.softmax(score[keep] / temperature, dim=0)
    return (weight[:, None] * torch.stack(labels)[keep]).sum(0)


def propagate_frame(query: Tensor, references: list[tuple[Tensor, Tensor, int | None]], **settings) -> Tensor:
    """Return the labels (L, h, w) of a target frame with features (C, h, w)."""
    height, width = query.shape[1:]
    cells = [
        propagate_cell((row, column), query[:, row, column], references, **settings)
        for row in range(height)
        for column in range(width)
    ]
    return torch.stack(cells, 1).view(-1, height, width)
