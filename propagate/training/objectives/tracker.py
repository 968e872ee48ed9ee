"""The differentiable tracker of TimeCycle (Wang 2019, 3.2): affinity f, localiser g, bilinear sampler h.

A patch is a square whose side is a third of the picture's. theta = (x, y, angle) says where it lies: x and y of its
centre, from -1 to 1 across the picture (0 is the picture's centre; -1 and 1 are its edges, half a pixel beyond the
outermost pixel centres), and its rotation in radians, positive from x towards y.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from propagate.errors import ConfigError

SHARE = 3  # the picture's side over the patch's: 240 and 80 pixels, 30 and 10 cells
WIDTHS = (128, 64)  # channels of the localiser's convolutions (published code)
KERNEL = 0.4  # side of their kernels as a share of the patch's side: 4 of 10 cells (published code)
LEAK = 0.1  # negative slope of the leaky ReLU after each convolution (published code)
FAINT = 1e-3  # shorter features are divided by this, not by their length, whose gradient would be enormous


@dataclass(frozen=True)
class Tracked:
    """Where a patch was found.

    Attributes:
        theta: (B, N, 3).
        patch: (B, N, C, p, p), the features there, of unit length.
        affinity: (B, N, h * w, p, p): for each cell of the query, how much it matches each cell of the picture.
    """

    theta: Tensor
    patch: Tensor
    affinity: Tensor


class Tracker(nn.Module):
    """T(x^I, x^p) = h(x^I, g(f(x^I, x^p))): the features of a picture that match those of a patch best.

    Args:
        size: pixels, the side of the picture.
        stride: pixels per cell.
        offset: the pixel at which the first cell lies; stride and offset are the encoder's.
        temperature: divides the inner products of unit features.

    Raises:
        ConfigError: neither the picture nor a third of it is a whole number of cells.
    """

    def __init__(self, *, size: int, stride: int, offset: float, temperature: float) -> None:
        super().__init__()
        if size % (SHARE * stride):
            step = SHARE * stride
            near = " or ".join(str(n) for n in (size // step * step, (size // step + 1) * step) if n)
            raise ConfigError(f"size is {size}, expected a multiple of {step} for patches of a third of it: {near}")
        self.temperature, self.side = temperature, size // SHARE
        self.cells, self.patch_cells = size // stride, size // SHARE // stride
        self.shift = (stride - 1 - 2 * offset) / size  # from a cell's pixel to the centre of its square of pixels
        self.localiser = Localiser(self.cells, self.patch_cells)
        middle, half = (self.side - 1) / 2, size / 2
        cells = (torch.arange(self.patch_cells) * stride + offset - middle) / half
        pixels = (torch.arange(self.side) - middle) / half
        self.register_buffer("cell_points", _square(cells), persistent=False)  # (p, p, 2)
        self.register_buffer("pixel_points", _square(pixels), persistent=False)  # (S/3, S/3, 2)
        self.cell_points: Tensor
        self.pixel_points: Tensor

    def forward(self, picture: Tensor, queries: Tensor) -> Tracked:
        """Return where in a picture each patch is found.

        Args:
            picture: (B, C, h, w) unit features.
            queries: (B, N, C, p, p) unit features of N patches a picture.
        """
        matches = affinity(picture, queries, temperature=self.temperature)  # (B, N, h*w, p, p)
        theta = self.localiser(matches.flatten(0, 1)).unflatten(0, matches.shape[:2])  # (B, N, 3)
        return Tracked(theta, self.crop(picture, theta), matches)

    def crop(self, picture: Tensor, theta: Tensor) -> Tensor:
        """Return h: the unit features (B, N, C, p, p) of a picture (B, C, h, w) at theta (B, N, 3), bilinearly.

        Features beyond the picture are zeros. The published code normalises features after sampling only; here they are
        normalised before and after.
        """
        where = self.cell_places(theta) + self.shift  # (B, N, p, p, 2)
        cropped = sample(picture, where.flatten(1, 2))  # (B, C, N*p, p)
        return unit(cropped.unflatten(2, where.shape[1:3]).transpose(1, 2), dim=2)

    def crop_pixels(self, picture: Tensor, theta: Tensor) -> Tensor:
        """Return the patches (B, N, 3, S/3, S/3) of pictures (B, 3, S, S) at theta (B, N, 3)."""
        cut = sample(picture, placed(theta, self.pixel_points).flatten(1, 2))  # (B, 3, N * S/3, S/3)
        patches: Tensor = cut.unflatten(2, (theta.shape[1], -1)).transpose(1, 2)
        return patches

    def cell_places(self, theta: Tensor) -> Tensor:
        """Return M(theta): where the patch's cells lie, (..., p, p, 2) from -1 to 1, for theta (..., 3)."""
        return placed(theta, self.cell_points)

    def misalignment(self, theta: Tensor, truth: Tensor) -> Tensor:
        """Return l_theta: the mean squared distance between the cells of patches at (..., 3) and (..., 3): (...)."""
        apart = self.cell_places(theta) - self.cell_places(truth)
        return apart.square().sum(-1).mean((-2, -1))

    def inliers(self, found: Tracked) -> Tensor:
        """Return the share of affinity, from 0 to 1, that agrees with theta: (...).

        The published code's similarity, after Rocco 2018: the affinity of each cell of the patch with the place where
        theta puts it, read bilinearly. Parts of `found` are (..., 3) and (..., h * w, p, p).
        """
        count, across = found.theta.shape[:-1].numel(), self.patch_cells
        where = (self.cell_places(found.theta) + self.shift).view(count * across**2, 1, 1, 2)
        maps = found.affinity.movedim(-3, -1).reshape(count * across**2, 1, self.cells, self.cells)
        return sample(maps, where).view(*found.theta.shape[:-1], across**2).mean(-1)


class Localiser(nn.Module):
    """g: from affinity to theta by two convolutions and one linear layer.

    The affinity is taken as a picture of the patch's cells, with one channel for each cell of the searched picture.

    Args:
        cells: of the picture's side.
        patch_cells: of the patch's side.
    """

    def __init__(self, cells: int, patch_cells: int) -> None:
        super().__init__()
        kernel = max(1, round(KERNEL * patch_cells))
        left = patch_cells - 2 * (kernel - 1)
        self.conv1 = nn.Conv2d(cells**2, WIDTHS[0], kernel, bias=False)
        self.conv2 = nn.Conv2d(WIDTHS[0], WIDTHS[1], kernel, bias=False)
        self.linear = nn.Linear(WIDTHS[1] * left**2, 3)
        for conv in (self.conv1, self.conv2):
            nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
        nn.init.normal_(self.linear.weight, std=0.01)  # the first theta is near zero: the picture's centre, not rotated
        nn.init.zeros_(self.linear.bias)

    def forward(self, matches: Tensor) -> Tensor:
        """Return theta (B, 3) of affinity (B, h * w, p, p)."""
        matches = nn.functional.leaky_relu(self.conv1(matches), LEAK)
        matches = nn.functional.leaky_relu(self.conv2(matches), LEAK)
        theta: Tensor = self.linear(matches.flatten(1))
        return theta


def affinity(picture: Tensor, queries: Tensor, *, temperature: float) -> Tensor:
    """Return f: for each cell of a patch, the softmax of its inner products over all cells of the picture.

    Args:
        picture: (B, C, h, w).
        queries: (B, N, C, p, p).
        temperature: divides the products.

    Returns:
        (B, N, h * w, p, p), adding up to 1 over h * w; its memory is ordered with h * w last.
    """
    across = queries.shape[-2:]
    cells = queries.permute(0, 1, 3, 4, 2).flatten(1, 3)  # (B, N*p*p, C)
    similarity = cells @ picture.flatten(2) / temperature  # (B, N*p*p, h*w)
    weights: Tensor = similarity.softmax(-1).unflatten(1, (queries.shape[1], *across))  # (B, N, p, p, h*w)
    return weights.permute(0, 1, 4, 2, 3)


def placed(theta: Tensor, points: Tensor) -> Tensor:
    """Return points (a, b, 2) as (x, y) around the middle, turned and moved by theta (..., 3): (..., a, b, 2)."""
    middle, angle = theta[..., None, None, :2], theta[..., None, None, 2]
    cos, sin = angle.cos(), angle.sin()
    x, y = points.to(theta.dtype).unbind(-1)
    return middle + torch.stack([cos * x - sin * y, sin * x + cos * y], -1)


def sample(picture: Tensor, where: Tensor) -> Tensor:
    """Return a picture (B, C, h, w) at places (B, a, b, 2), (x, y) from -1 to 1 across it: (B, C, a, b).

    Values beyond the picture are zeros.
    """
    return nn.functional.grid_sample(picture, where.to(picture.dtype), padding_mode="zeros", align_corners=False)


def unit(features: Tensor, *, dim: int = 1) -> Tensor:
    """Return features with unit length along `dim`, in float32 or float64; the faint stay shorter."""
    wide = features.to(torch.promote_types(features.dtype, torch.float32))
    return nn.functional.normalize(wide, dim=dim, eps=FAINT)


def draw_places(count: int, random: torch.Generator, *, turn: float) -> Tensor:
    """Return random theta (count, 3) on the CPU: rotated by up to `turn` radians, the whole patch in the picture."""
    drawn = torch.rand(count, 3, generator=random) * 2 - 1
    angle = drawn[:, 2] * turn
    free = 1 - (angle.cos().abs() + angle.sin().abs()) / SHARE  # the rotated square stays within the edges
    return torch.cat([drawn[:, :2] * free[:, None], angle[:, None]], 1)


def _square(steps: Tensor) -> Tensor:
    """Return (n, n, 2): (x, y) of the points of a square with these steps along each side."""
    y, x = torch.meshgrid(steps, steps, indexing="ij")
    return torch.stack([x, y], -1)
