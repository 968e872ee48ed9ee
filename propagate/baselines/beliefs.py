"""Belief propagation for SIFT flow: the smoothest good match of every pixel within its window (Liu 2011, 2.2).

Two layers, of horizontal and of vertical displacements, each a grid with four neighbours; the data term joins them.
All messages are sent at once (the authors send them in sweeps), so fewer iterations of more work are needed.
"""

from __future__ import annotations

import torch
from torch import Tensor

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
