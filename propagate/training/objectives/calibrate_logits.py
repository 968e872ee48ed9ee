"""A new network's plain inner products, brought to where a softmax over them can learn.

Under He's variance the products of an untrained `corrflow` lie hundreds apart, so that every cell takes the colour of
one other, whichever has the longest features; the first hundreds of steps then only make all products alike.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from propagate.encoders.build import as_module
from propagate.encoders.protocol import Encoder

SPREAD = 3.0  # standard deviation of a cell's products with the cells of its own frame, over the temperature
FRAMES = 32  # that are looked at


@torch.no_grad()
def calibrate_logits(encoder: Encoder, frames: Tensor, *, temperature: float) -> None:
    """Make the last convolution's outputs zero in the mean, and their products `SPREAD` apart.

    Batch norm takes its statistics of these frames, as in training. Done for networks whose last convolution has a
    bias, `corrflow` and `colorization`; others, and frames without any structure, change nothing. Where several frames
    are embedded together, each is with itself.

    Args:
        encoder: new.
        frames: (N, 3, H, W) in [0, 1], of which the first `FRAMES` are looked at.
        temperature: divides the products in training.
    """
    module = as_module(encoder)
    last = [part for part in module.modules() if isinstance(part, nn.Conv2d | nn.Conv3d)][-1]
    if last.bias is None:
        return
    training = module.training
    module.train()
    found = encoder.encode(frames[:FRAMES].to(last.weight))  # (N, C, h, w)
    if encoder.temporal:
        found = torch.stack([encoder.embed(frame.expand(encoder.temporal + 1, -1, -1, -1))[-1] for frame in found])
    module.train(training)
    mean = found.mean((0, 2, 3))
    cells = (found - mean[:, None, None]).flatten(2).float()  # (N, C, h * w)
    spread = torch.stack([(cell.T @ cell).std(1).mean() for cell in cells]).mean() / temperature  # a frame at a time
    if not 0 < float(spread) < math.inf:
        return
    last.bias -= mean.to(last.bias)
    for part in (last.weight, last.bias):
        part *= (SPREAD / spread).sqrt().to(part)
