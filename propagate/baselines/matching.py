"""SIFT flow between two pictures: dense descriptors matched coarse to fine (Liu, Yuen and Torralba, 2011).

As in the paper: dense SIFT, truncated L1 data and smoothness terms, a small weight on the displacement itself,
dual-layer min-sum belief propagation, and a pyramid in which each finer level searches a small window around what the
coarser one found; window sizes and weights of the authors' demo. Simpler than theirs: all messages are sent at once and
fewer times; the data's truncation is one number; no orientation is weighted by a power. Beyond theirs: the result lies
between whole pixels, without which a slow object would be rounded back to its place on every frame.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from propagate.baselines import beliefs, descriptors
from propagate.baselines.beliefs import best_labels
from propagate.baselines.descriptors import dense_sift

LEVELS = 4  # of the pyramid
TOP, WINDOW = 10, 2  # pixels of a level to either side that are searched: on the coarsest, and on the others
ITERATIONS = (12, 30)  # of the finest level, where the windows hardly differ any more, and of all others
LEAST_SIDE = 8  # pixels of the coarsest level
PIECE = 8192  # pixels compared at once, so that they stay in the processor's cache
TRUNCATION = 8.0  # of a data cost, that of unrelated surfaces (median 8.5 on photographs): a hidden one costs no more
KEY = (
    f"siftflow levels={LEVELS} top={TOP} window={WINDOW} iterations={ITERATIONS} truncation={TRUNCATION} "
    f"alpha={beliefs.SMOOTH} d={beliefs.JUMP} gamma={beliefs.SMALL} "
    f"cell={descriptors.CELL} clip={descriptors.CLIP} contrast={descriptors.CONTRAST} version=1"
)


@torch.inference_mode()
def sift_flow(target: NDArray[np.uint8], reference: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the flow (2, H, W), dx and dy in pixels: target pixel p shows reference pixel p + flow(p).

    Args:
        target: (H, W, 3).
        reference: (H, W, 3).
    """
    pyramid = _pyramid(dense_sift(target), dense_sift(reference))
    centres = torch.zeros(2, *pyramid[-1][0].shape[:2], dtype=torch.int64)
    for level in reversed(range(len(pyramid))):
        radius = TOP if level == len(pyramid) - 1 else WINDOW
        here, there = pyramid[level]
        data = data_costs(here, there, centres, radius=radius)
        flow = _matched(data, centres, iterations=ITERATIONS[min(level, 1)])
        if level:
            centres = _finer(flow, like=pyramid[level - 1][0])
    return flow.numpy()


def data_costs(here: Tensor, there: Tensor, centres: Tensor, *, radius: int) -> Tensor:
    """Return the L1 distances (n, n, H, W), truncated, of descriptors (H, W, D) to those of a window's rows, columns.

    Args:
        here: of the target.
        there: of the reference; a match outside the picture costs the truncation.
        centres: (2, H, W) int64, dx and dy from a pixel to its window's centre.
        radius: of the window; n is 2 * radius + 1.
    """
    height, width, depth = here.shape
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    x, y = (x + centres[0]).flatten(), (y + centres[1]).flatten()
    near, flat = here.view(-1, 1, depth), there.view(-1, depth)
    around = range(-radius, radius + 1)
    data = torch.empty(len(around), len(around), height * width)
    for start in range(0, height * width, PIECE):
        part = slice(start, start + PIECE)
        for i, dy in enumerate(around):
            row = y[part] + dy
            for j, dx in enumerate(around):
                column = x[part] + dx
                cell = row.clamp(0, height - 1) * width + column.clamp(0, width - 1)
                cost = torch.cdist(near[part], flat.index_select(0, cell)[:, None], p=1)[:, 0, 0]
                inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
                data[i, j, part] = torch.where(inside, cost.clamp_(max=TRUNCATION), TRUNCATION)
    return data.view(len(around), len(around), height, width)


def _pyramid(here: Tensor, there: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Return both pictures' descriptors (H, W, D) at full size and halved again and again, at most `LEVELS`."""
    levels = [(here, there)]
    while len(levels) < LEVELS and min(levels[-1][0].shape[:2]) >= 2 * LEAST_SIDE:
        levels.append((halved(levels[-1][0]), halved(levels[-1][1])))
    return levels


def halved(descriptors: Tensor) -> Tensor:
    """Return the means of 2x2 descriptors (h, w, D), of fewer at an odd border."""
    top, bottom = descriptors[::2], descriptors[1::2]
    if len(bottom) < len(top):
        bottom = torch.cat([bottom, top[-1:]])
    rows = top + bottom  # (h, W, D)
    left, right = rows[:, ::2], rows[:, 1::2]
    if right.shape[1] < left.shape[1]:
        right = torch.cat([right, left[:, -1:]], 1)
    return (left + right) / 4


def _matched(data: Tensor, centres: Tensor, *, iterations: int) -> Tensor:
    """Return the flow (2, H, W) float32 of the best labels, between whole pixels where the data say so."""
    costs = torch.stack(best_labels(data, centres, iterations=iterations))  # (2, n, H, W)
    best = costs.argmin(1)  # (2, H, W)
    u, v = best
    count = len(data)
    along_u = data.gather(0, v.expand(1, count, -1, -1))[0]  # (n, H, W)
    along_v = data.gather(1, u.expand(count, 1, -1, -1))[:, 0]
    between = torch.stack([_between(along_u, u), _between(along_v, v)])
    return centres + best - count // 2 + between


def _between(costs: Tensor, best: Tensor) -> Tensor:
    """Return how far (H, W) beyond its label the least of costs (n, H, W) lies, from -0.5 to 0.5.

    Costs are sums of absolute differences: two lines, taken to be equally steep, meet at the least one. It lies no
    farther away than the label's own cost can rise on such a line, so that an exact match stays exact. A label at the
    window's edge stays whole.
    """
    low, middle, high = (costs.gather(0, (best + step).clamp(0, len(costs) - 1)[None])[0] for step in (-1, 0, 1))
    steep = (torch.maximum(low, high) - middle).clamp(min=1e-6)
    most = (middle / steep).clamp(max=0.5)
    offset = torch.maximum(torch.minimum((low - high) / (2 * steep), most), -most)
    inside = (best > 0) & (best < len(costs) - 1)
    return torch.where(inside & (middle <= torch.minimum(low, high)), offset, 0.0)


def _finer(flow: Tensor, *, like: Tensor) -> Tensor:
    """Return the windows' centres (2, H, W) int64 of the next finer level, whose descriptors are (H, W, D)."""
    height, width = like.shape[:2]
    twice = 2 * flow.repeat_interleave(2, 1).repeat_interleave(2, 2)
    return twice[:, :height, :width].round().long()
