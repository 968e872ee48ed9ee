"""SIFT flow: dense SIFT matched from coarse to fine by belief propagation (Liu 2011), as in Vondrick 4.1."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from propagate.baselines.flow import SCALE, warped
from propagate.baselines.warp_propagation import luma
from propagate.baselines.warped_labels import THRESHOLD
from propagate.labels.protocol import LabelType
from propagate.values import Annotation, Frame, Prediction

ORIENTATIONS, CELLS = 8, 4  # a descriptor has ORIENTATIONS * CELLS * CELLS values
CELL = 3  # pixels on a cell's side, as the authors' demo
CLIP = 0.2  # of a normalised value, so that one strong edge does not drown the rest (Lowe)
CONTRAST = 0.01  # added to the length, in gradients of a picture in [0, 1]: noise on flat surfaces stays small


def dense_sift(rgb: NDArray[np.uint8]) -> Tensor:
    """Return descriptors (H, W, 128) float32 of a picture (H, W, 3), none longer than 1."""
    histograms = _cells(_orientations(torch.from_numpy(luma(rgb))))  # (8, H + 9, W + 9)
    height, width = rgb.shape[:2]
    parts = [
        histograms[:, CELL * row : CELL * row + height, CELL * column : CELL * column + width]
        for row in range(CELLS)
        for column in range(CELLS)
    ]
    descriptors = torch.cat(parts).permute(1, 2, 0).contiguous()
    return _normalised(_normalised(descriptors).clamp_(max=CLIP))


def _orientations(grey: Tensor) -> Tensor:
    """Return a grey picture's (H, W) length of gradient, shared between the two nearest of 8 directions: (8, H, W)."""
    padded = torch.nn.functional.pad(grey[None, None], (1, 1, 1, 1), mode="replicate")[0, 0]
    dx = (padded[1:-1, 2:] - padded[1:-1, :-2]) / 2
    dy = (padded[2:, 1:-1] - padded[:-2, 1:-1]) / 2
    turn = torch.atan2(dy, dx) * (ORIENTATIONS / (2 * math.pi))  # in directions, -4 to 4
    away = (turn[None] - torch.arange(ORIENTATIONS).view(-1, 1, 1)).remainder(ORIENTATIONS)
    share = (1 - torch.minimum(away, ORIENTATIONS - away)).clamp(min=0)
    return share * torch.hypot(dx, dy)


def _cells(orientations: Tensor) -> Tensor:
    """Return the sums (8, H + 9, W + 9) over cells whose centres lie half way between pixels, from -4.5 on.

    A cell takes from the pixels within `CELL` of its centre, less with distance: SIFT's linear binning.
    """
    around = torch.arange(2 * CELL) - (CELL - 0.5)  # (6,) pixels from the centre
    tent = 1 - around.abs() / CELL
    reach = CELL * (CELLS - 1) // 2 + CELL  # 7: the outermost tap of the outermost cell
    padded = torch.nn.functional.pad(orientations[:, None], (reach,) * 4, mode="replicate")
    across = torch.nn.functional.conv2d(padded, tent.view(1, 1, 1, -1))
    return torch.nn.functional.conv2d(across, tent.view(1, 1, -1, 1))[:, 0]


def _normalised(descriptors: Tensor) -> Tensor:
    """Return descriptors (H, W, D), each divided by its length and a little more."""
    length: Tensor = torch.linalg.vector_norm(descriptors, dim=2, keepdim=True)
    return descriptors / (length + CONTRAST)


SMOOTH, JUMP, SMALL = 2.0, 40.0, 0.005  # alpha, d and gamma (eta) of the authors' demo, for descriptors of length 1


def best_labels(data: Tensor, centres: Tensor, *, iterations: int) -> tuple[Tensor, Tensor]:
    """Return beliefs (n, H, W) of the horizontal and of the vertical displacements: costs, the least is the best.

    Minimised by min-sum messages over each pixel p and its neighbours q: the data, SMALL * (|u| + |v|), and
    min(SMOOTH * |u(p) - u(q)|, JUMP) + min(SMOOTH * |v(p) - v(q)|, JUMP).

    Args:
        data: (n, n, H, W), of rows (v) and columns (u) from -r to r around a pixel's own centre.
        centres: (2, H, W), dx and dy of the windows' centres.
        iterations: how often every pixel hears from its neighbours.
    """
    layers = [_Layer(centres[0], len(data)), _Layer(centres[1], len(data))]
    across, down = layers
    for _ in range(iterations):
        to_across = (data + down.heard()[:, None]).amin(0)  # (n, H, W), of u
        to_down = (data + across.heard()[None]).amin(1)
        across.send(to_across)
        down.send(to_down)
    to_across = (data + down.heard()[:, None]).amin(0)
    to_down = (data + across.heard()[None]).amin(1)
    return across.heard() + to_across, down.heard() + to_down


class _Layer:
    """The messages of one layer.

    Args:
        centre: (H, W), of each pixel's window of labels.
        count: n, how many labels.
    """

    def __init__(self, centre: Tensor, count: int) -> None:
        labels = torch.arange(count) - count // 2
        self.own = SMALL * (centre + labels.view(-1, 1, 1)).abs().float()  # (n, H, W)
        apart = labels.view(-1, 1, 1, 1) - labels.view(1, -1, 1, 1)  # (n, n, 1, 1), label of the hearer less sender's
        self.down = _step(centre[1:] - centre[:-1] + apart)  # to the pixel below
        self.right = _step(centre[:, 1:] - centre[:, :-1] + apart)
        self.messages = torch.zeros(4, *self.own.shape)  # from above, below, the left, the right

    def heard(self) -> Tensor:
        """Return the cost (n, H, W) of each label by itself and by what the neighbours said."""
        return self.own + self.messages.sum(0)

    def send(self, other: Tensor) -> None:
        """Send messages to all four neighbours; `other` (n, H, W) is what the other layer says."""
        heard = self.heard() + other
        above, below, left, right = heard - self.messages
        self.messages[0, :, 1:] = _message(below[:, :-1], self.down)
        self.messages[1, :, :-1] = _message(above[:, 1:], self.down.transpose(0, 1))
        self.messages[2, :, :, 1:] = _message(right[:, :, :-1], self.right)
        self.messages[3, :, :, :-1] = _message(left[:, :, 1:], self.right.transpose(0, 1))


def _step(apart: Tensor) -> Tensor:
    """Return the cost of neighbouring displacements that lie so many pixels apart."""
    return (SMOOTH * apart.abs().float()).clamp(max=JUMP)


def _message(sender: Tensor, step: Tensor) -> Tensor:
    """Return the least cost (n, h, w) of each of the hearer's labels over the sender's (n, h, w).

    `step` is (n, n, h, w). Its least value is taken away, so that messages stay small.
    """
    cost = (sender[None] + step).amin(1)
    return cost - cost.amin(0, keepdim=True)


LEVELS = 4  # of the pyramid
TOP, WINDOW = 10, 2  # pixels of a level to either side that are searched: on the coarsest, and on the others
ITERATIONS = (12, 30)  # of the finest level, where the windows hardly differ any more, and of all others
LEAST_SIDE = 8  # pixels of the coarsest level
PIECE = 8192  # pixels compared at once, so that they stay in the processor's cache
TRUNCATION = 8.0  # of a data cost, that of unrelated surfaces (median 8.5 on photographs): a hidden one costs no more
KEY = (
    f"siftflow levels={LEVELS} top={TOP} window={WINDOW} iterations={ITERATIONS} truncation={TRUNCATION} "
    f"alpha={SMOOTH} d={JUMP} gamma={SMALL} "
    f"cell={CELL} clip={CLIP} contrast={CONTRAST} version=1"
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


def siftflow(
    frames: Iterable[Frame],
    annotations: Sequence[Annotation],
    *,
    label_type: LabelType,
    first: bool = False,
    threshold: float = THRESHOLD,
    scale: float = SCALE,
    cache: Path | None = None,
) -> Iterator[Prediction]:
    """Return an iterator that warps labels by SIFT flow.

    Args:
        frames: in order.
        annotations: what is known of some of the frames.
        label_type: the label type; keypoints follow the flow as points, anything else is warped back pixel by pixel.
        first: warp from the annotated frame in one step; else from frame to frame.
        threshold: a pixel is an object if its warped score is above it and the highest; of masks only.
        scale: of the pictures that the flow is computed on.
        cache: a folder for flows; None keeps none.

    Raises:
        ConfigError: a setting is outside its range.
    """
    return warped(
        frames,
        annotations,
        label_type=label_type,
        estimate=sift_flow,
        key=KEY,
        first=first,
        threshold=threshold,
        scale=scale,
        cache=cache,
    )
