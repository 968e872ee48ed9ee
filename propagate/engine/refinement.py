"""Where labels meet: a second search among cells of half the size, around the cells that the first one points to.

The first search looks far, over cells that are as large as thin parts of objects; the second only decides among what it
found. It takes place where the neighbourhood of a cell holds more than one label, an object's outline, and it needs
fine features of little more than that part of a frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from propagate.encoders.features import FINER, Box
from propagate.ops.attention import Similarity

AROUND = 1  # fine cells around a cell's own ones that are looked at as well
DOUBT = 0.25  # of a label, from which a cell counts as several; .01 and .4 give the same J within .002
MARGIN = 2  # cells around an outline that later frames may point to
CHUNK = 1 << 23  # bytes of fine features that are gathered at once


@dataclass(frozen=True)
class Patch:
    """Fine features of a part of a frame.

    Attributes:
        box: in cells.
        features: (cells, C), fine cells row by row.
        offset: (cells,) float32, what is taken from the product with a query for their similarity.
    """

    box: Box
    features: Tensor
    offset: Tensor

    @classmethod
    def of(cls, box: Box, features: Tensor, similarity: Similarity) -> Patch:
        """Return a patch of features (C, 2 * rows, 2 * columns), as they are compared."""
        flat = features.flatten(1).T.float()
        if similarity == "cosine":
            flat = F.normalize(flat, dim=1)
        offset = 0.5 * flat.square().sum(1) if similarity == "distance" else torch.zeros_like(flat[:, 0])
        return cls(box, flat.to(features.dtype).contiguous(), offset)


def outline(soft: Tensor, *, peak: float = 1.0) -> Tensor:
    """Return whether a cell's neighbourhood of nine cells holds more than one label, (h, w) bool.

    Args:
        soft: (L, 2 * h, 2 * w) probabilities; where none is almost 1 there is more than one label.
        peak: as of `LabelType`.
    """
    alone = soft >= 1 - DOUBT * peak
    one, channel = alone.any(0), alone.float().argmax(0)
    high, low = torch.where(one, channel, len(soft)), torch.where(one, channel, -1)
    extremes = F.max_pool2d(torch.stack([high, -low]).float(), FINER)
    high, low = F.max_pool2d(extremes, 3, stride=1, padding=1).unbind(0)
    return high.ne(-low)


def box_around(cells: Tensor) -> Box | None:
    """Return the box around cells (h, w) bool with its margin, None where there are none."""
    down, across = (torch.nonzero(cells.any(axis))[:, 0].tolist() for axis in (1, 0))
    if not down:
        return None
    height, width = cells.shape
    top, left = max(0, down[0] - MARGIN), max(0, across[0] - MARGIN)
    return Box(top, left, min(height, down[-1] + 1 + MARGIN), min(width, across[-1] + 1 + MARGIN))


@dataclass(frozen=True)
class FineKeys:
    """The fine cells of several frames.

    Attributes:
        patches: of each of R frames, None where it has none.
        boxes: (R, 4) int64, `Box` of each frame in fine cells; an empty one where a frame has no patch.
        shape: (h, w) of the grid.
    """

    patches: tuple[Patch | None, ...]
    boxes: Tensor
    shape: tuple[int, int]

    @classmethod
    def of(cls, patches: Sequence[Patch | None], *, shape: tuple[int, int]) -> FineKeys | None:
        """Return the fine cells of frames, None where there are none."""
        there = next((patch for patch in patches if patch is not None), None)
        if there is None:
            return None
        boxes = [(0, 0, 0, 0) if patch is None else tuple(FINER * side for side in patch.box) for patch in patches]
        return cls(tuple(patches), torch.tensor(boxes, device=there.features.device), shape)

    def scores(self, queries: Tensor, fine: Tensor) -> Tensor:
        """Return the similarity of queries (Z, 4, C) with fine cells (Z, M) from `around`, (Z, M, 4) float32.

        It is -inf where there is no fine cell.
        """
        cells = fine.flatten()
        keys = torch.zeros(len(cells), queries.shape[2], device=cells.device)
        offset = torch.full((len(cells),), torch.inf, device=cells.device)
        each = self.shape[0] * self.shape[1] * FINER**2
        for frame, patch in enumerate(self.patches):
            if patch is not None:
                here = torch.nonzero((cells >= 0) & (cells // each == frame))[:, 0]
                place = self._places(cells[here], frame, patch.box)
                keys[here], offset[here] = patch.features[place].float(), patch.offset[place]
        products = keys.view(*fine.shape, -1) @ queries.float().transpose(1, 2)
        return products - offset.view(*fine.shape, 1)

    def _places(self, cells: Tensor, frame: int, box: Box) -> Tensor:
        """Return where the features of a frame's fine cells, counted over all frames, lie in its patch."""
        y, x = cells // (FINER * self.shape[1]), cells % (FINER * self.shape[1])
        top = FINER * (box.top + frame * self.shape[0])
        return (y - top) * (FINER * (box.right - box.left)) + x - FINER * box.left

    def around(self, cells: Tensor) -> Tensor:
        """Return the fine cells in and around cells, counted over all frames, none twice; -1 where there is none.

        Args:
            cells: (K, Z) int64, counted over all frames; -1 is none.

        Returns:
            (Z, M) int64.
        """
        (height, width), count = self.shape, self.shape[0] * self.shape[1]
        frame, cell = cells.clamp(min=0).T // count, cells.clamp(min=0).T % count  # (Z, K)
        along = torch.arange(-AROUND, FINER + AROUND, device=cells.device)
        y = ((cell // width * FINER)[..., None, None] + along[:, None]).expand(-1, -1, -1, len(along)).flatten(1)
        x = ((cell % width * FINER)[..., None, None] + along).expand(-1, -1, len(along), -1).flatten(1)
        frame = frame.repeat_interleave(len(along) ** 2, 1)  # (Z, M)
        top, left, bottom, right = self.boxes[frame].unbind(-1)
        inside = (y >= top) & (y < bottom) & (x >= left) & (x < right)
        inside &= (cells.T >= 0).repeat_interleave(len(along) ** 2, 1)
        fine = torch.where(inside, (frame * height * FINER + y) * (width * FINER) + x, -1).sort(1).values
        again = torch.zeros_like(inside)
        again[:, 1:] = fine[:, 1:] == fine[:, :-1]
        return fine.masked_fill(again, -1)


def refined(
    labels: Tensor,
    cells: Tensor,
    *,
    target: Patch,
    keys: FineKeys,
    known: Tensor,
    pointed: Tensor,
    temperature: float,
    topk: int,
) -> Tensor:
    """Return the labels of some cells of a target frame, each fine cell pointing for itself: (Z, L * 4).

    A fine cell that has no candidate keeps its label.

    Args:
        labels: (Z, L * 4), of the cells, as the first search found them.
        cells: (Z,) int64, cells of the target within its patch.
        target: the target's fine features.
        keys: those of the references.
        known: (R * h * w, L * 4), the references' labels.
        pointed: (K, Z) int64, what the first search points to, counted over all references; -1 is none.
        temperature, topk: as of the first search.
    """
    parts = FINER**2
    queries = _queries(target, cells, keys.shape)  # (Z, 4, C)
    fine = keys.around(pointed)  # (Z, M)
    step = max(1, CHUNK // (fine.shape[1] * queries.shape[2] * 4))
    pieces = zip(queries.split(step), fine.split(step), strict=True)
    scores = torch.cat([keys.scores(some, there) for some, there in pieces])  # (Z, M, 4)
    best, order = scores.topk(min(topk, scores.shape[1]), dim=1)  # (Z, k, 4)
    weights = torch.softmax(best / temperature, dim=1)
    chosen = fine[:, :, None].expand_as(scores).gather(1, order).clamp(min=0)
    y, x = chosen // (keys.shape[1] * FINER), chosen % (keys.shape[1] * FINER)
    cell, part = y // FINER * keys.shape[1] + x // FINER, y % FINER * FINER + x % FINER
    found = (known.view(len(known), -1, parts)[cell, :, part] * weights[..., None]).sum(1)  # (Z, 4, L)
    found = torch.where(
        best[:, :1].transpose(1, 2) > -torch.inf, found, labels.view(len(cells), -1, parts).transpose(1, 2)
    )
    return found.transpose(1, 2).flatten(1)


def _queries(target: Patch, cells: Tensor, shape: tuple[int, int]) -> Tensor:
    """Return the features of the four fine cells of each cell, (Z, 4, C)."""
    y, x = cells // shape[1] - target.box.top, cells % shape[1] - target.box.left
    along = torch.arange(FINER, device=cells.device)
    across = FINER * (target.box.right - target.box.left)
    place = (FINER * y[:, None, None] + along[:, None]) * across + FINER * x[:, None, None] + along
    return target.features[place.flatten(1)]
