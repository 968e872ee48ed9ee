"""The pointer over a batch of training clips: labels copied through affinity, with gradients (Vondrick eq. 1 and 2).

Similarity is the inner product of the features as they are; normalise them first for a cosine. Everything is computed
in float32 at least, whatever autocast says: a loss takes the logarithm of what is copied. No affinity is kept for the
backward pass where torch has a fused attention for the device; it is computed again.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

TILE = 8  # target cells on a tile's side


def copy_everywhere(query: Tensor, keys: Tensor, labels: Tensor, *, temperature: float = 1.0) -> Tensor:
    """Return labels copied from all cells of all reference frames together: one softmax over R * h * w cells.

    Args:
        query: (B, C, h, w) features of the target frames.
        keys: (B, R, C, h, w) features of their reference frames.
        labels: (B, R, L, h, w) of the reference frames.
        temperature: divides the inner products.

    Returns:
        (B, L, h, w), where labels that sum to 1 over L still do.

    Raises:
        ValueError: the shapes do not belong together.
    """
    batch, channels, height, width = query.shape
    same = keys.shape[:2] == labels.shape[:2] and keys.shape[3:] == labels.shape[3:]
    if not same or (keys.shape[0], *keys.shape[2:]) != tuple(query.shape):
        raise ValueError(_mismatch(query, keys, labels))
    targets = query.flatten(2).transpose(1, 2)[:, None]  # (B, 1, Q, C)
    references = keys.transpose(2, 1).flatten(2).view(batch, 1, channels, -1).transpose(2, 3)  # (B, 1, M, C)
    carried = labels.transpose(2, 1).flatten(2).view(batch, 1, labels.shape[2], -1).transpose(2, 3)  # (B, 1, M, L)
    copied = _attend(targets, references, carried, bias=None, temperature=temperature)  # (B, 1, Q, L)
    return copied[:, 0].transpose(1, 2).reshape(batch, -1, height, width)


def copy_nearby(query: Tensor, keys: Tensor, labels: Tensor, *, radius: int, temperature: float = 1.0) -> Tensor:
    """Return labels copied from the cells around each target cell's own place: restricted attention (CorrFlow 3.3).

    Target cells are taken in tiles of 8x8, each with the window that its cells can reach; so memory is that of the
    windows of keys, not of (2 * radius + 1)^2 shifted copies of the features. Cells beyond the radius or outside the
    picture are no candidates.

    Args:
        query: (B, C, h, w) features of the target frames.
        keys: (B, C, h, w) features of one reference frame each.
        labels: (B, L, h, w) of the reference frames.
        radius: cells; |dx|, |dy| <= radius.
        temperature: divides the inner products.

    Returns:
        (B, L, h, w).

    Raises:
        ValueError: the shapes do not belong together.
    """
    if keys.shape != query.shape or labels[:, :1].shape != keys[:, :1].shape:
        raise ValueError(_mismatch(query, keys, labels))
    height, width = query.shape[2:]
    reach = min(radius, max(height, width) - 1)
    bias = _reachable(height, width, reach=reach, like=query)  # (tiles, 64, (8 + 2 * reach)^2)
    targets = _windows(query, margin=0)  # (B, tiles, 64, C)
    copied = _attend(
        targets, _windows(keys, margin=reach), _windows(labels, margin=reach), bias=bias, temperature=temperature
    )  # (B, tiles, 64, L)
    return _untile(copied, height, width)


def _attend(targets: Tensor, keys: Tensor, labels: Tensor, *, bias: Tensor | None, temperature: float) -> Tensor:
    """Return softmax(targets keys^T / temperature + bias) labels, (B, G, q, L).

    Features and labels are given equal width by zeros, which change no product, and lie channels last: without either,
    torch passes the fused kernels over and keeps the affinity, without a word.

    Args:
        targets: (B, G, q, C); G groups, each with keys of its own.
        keys: (B, G, m, C).
        labels: (B, G, m, L).
        bias: (G, q, m), 0 or -inf.
        temperature: divides the products.
    """
    count = labels.shape[-1]
    dtype = torch.promote_types(torch.promote_types(targets.dtype, labels.dtype), torch.float32)
    wide = max(targets.shape[-1], count)
    wide += -wide % 4
    parts = [F.pad(part.to(dtype), (0, wide - part.shape[-1])).contiguous() for part in (targets, keys, labels)]
    with torch.autocast(targets.device.type, enabled=False):
        mask = None if bias is None else bias.to(dtype)[None]
        copied = F.scaled_dot_product_attention(parts[0], parts[1], parts[2], attn_mask=mask, scale=1.0 / temperature)
    return copied[..., :count]


def _windows(cells: Tensor, *, margin: int) -> Tensor:
    """Return every 8x8 tile of (B, C, h, w) with `margin` cells around it, zeros outside: (B, tiles, side^2, C)."""
    height, width = cells.shape[2:]
    side = TILE + 2 * margin
    padded = F.pad(cells, (margin, margin - (width % -TILE), margin, margin - (height % -TILE)))
    windows = padded.unfold(2, side, TILE).unfold(3, side, TILE)  # (B, C, rows, columns, side, side)
    return windows.permute(0, 2, 3, 4, 5, 1).flatten(3, 4).flatten(1, 2)


def _untile(tiles: Tensor, height: int, width: int) -> Tensor:
    """Return (B, tiles, 64, L) as (B, L, height, width), without the cells that filled up the last tiles."""
    rows, columns = math.ceil(height / TILE), math.ceil(width / TILE)
    cells = tiles.view(tiles.shape[0], rows, columns, TILE, TILE, -1).permute(0, 5, 1, 3, 2, 4)
    return cells.flatten(4, 5).flatten(2, 3)[:, :, :height, :width]


def _reachable(height: int, width: int, *, reach: int, like: Tensor) -> Tensor:
    """Return (tiles, 64, side^2): 0 where a target cell may look, -inf beyond the radius or the picture.

    Cells that only fill up a last tile look where the picture's last row or column does, so that none looks nowhere.
    """
    down, across = (_along(length, reach, like.device) for length in (height, width))  # (rows, 8, side)
    both = down[:, None, :, None, :, None] & across[None, :, None, :, None, :]  # (rows, columns, 8, 8, side, side)
    allowed = both.flatten(4, 5).flatten(2, 3).flatten(0, 1)
    return torch.zeros(allowed.shape, device=like.device).masked_fill_(~allowed, -torch.inf)


def _along(length: int, reach: int, device: torch.device) -> Tensor:
    """Return (tiles, 8, 8 + 2 * reach) along one axis: whether a target may look at a place of its tile's window."""
    first = torch.arange(0, length, TILE, device=device)[:, None, None]
    target = (first + torch.arange(TILE, device=device)[:, None]).clamp(max=length - 1)  # (tiles, 8, 1)
    place = first - reach + torch.arange(TILE + 2 * reach, device=device)  # (tiles, 1, side)
    return ((place - target).abs() <= reach) & (place >= 0) & (place < length)


def _mismatch(query: Tensor, keys: Tensor, labels: Tensor) -> str:
    shapes = ", ".join(f"{name} {tuple(t.shape)}" for name, t in (("query", query), ("keys", keys), ("labels", labels)))
    return f"the grids, frames and channels of a clip must agree, not {shapes}"
