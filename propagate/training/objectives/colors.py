"""Quantised colours as targets: clusters of the chroma plane, fitted on the run's own data, one-hot at the cells.

Every pixel takes the cluster nearest to its chroma, in Lab of RGB, and becomes one-hot; a cell is then one-hot of the
cluster that most of its pixels have. So nothing is made up between two colours that meet in a cell: not a third one,
which the mean of the two would give, nor the cluster numbered between theirs, which published code gets by resizing
a map of indices linearly (`notes/peers.md`, k 3).
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from propagate.ops.cluster import fit_clusters
from propagate.ops.color import rgb_to_lab
from propagate.ops.grid import average_matrix

SAMPLES = 100_000  # colours that are fitted
# Added to a probability before its logarithm, so that a colour that is nowhere in the window costs 46 and not infinity.
# Plain products are large before training: at 1e-8, a third of CorrFlow's cells lay below it, and would not be taught.
FLOOR = 1e-20


def sample_chroma(frames: Tensor) -> Tensor:
    """Return the a and b of about `SAMPLES` pixels, (n, 2) on the CPU, equally many of each frame, always the same.

    Args:
        frames: (N, 3, H, W) in [0, 1].
    """
    pixels = frames.flatten(2).cpu()  # (N, 3, H * W)
    each = min(max(1, SAMPLES // len(pixels)), pixels.shape[2])
    random = torch.Generator().manual_seed(0)
    drawn = [frame[:, torch.randperm(frame.shape[1], generator=random)[:each]] for frame in pixels]
    return rgb_to_lab(torch.cat(drawn, 1)[:, None].float())[1:, 0].T  # (N * each, 2)


def chroma(clips: Tensor) -> Tensor:
    """Return a and b of Lab, (B, T, 2, H, W) float32, of (B, T, 3, H, W) clips in [0, 1]."""
    with torch.no_grad(), torch.autocast(clips.device.type, enabled=False):
        return torch.stack([rgb_to_lab(clip)[:, 1:] for clip in clips.float()])


def cross_entropy(copied: Tensor, truth: Tensor) -> Tensor:
    """Return the mean over cells of -sum truth * log copied; both are distributions (B, K, h, w), not logits.

    A pointer copies probabilities, so a softmax here would be a second one (a bug of published code).
    """
    return -(truth * (copied + FLOOR).log()).sum(1).mean()


class QuantizedColors(nn.Module):
    """One-hot colours of cells, after `fit` (Vondrick 3.2, 3.4; CorrFlow 3.5). The clusters are saved with the module.

    CorrFlow quantises "in the Lab space" without saying which channels; its published code clusters a and b, as
    Vondrick's paper does, and so do we.

    Args:
        count: of clusters, K.
        stride, offset: of the encoder: cell (r, c) lies at pixel (stride * c + offset, stride * r + offset).
    """

    clusters: Tensor  # (K, 2) a, b; NaN until they are fitted

    def __init__(self, count: int, *, stride: int, offset: float) -> None:
        super().__init__()
        self.stride, self.offset = stride, offset
        self.register_buffer("clusters", torch.full((count, 2), torch.nan))

    def fit(self, frames: Tensor) -> None:
        """Cluster the colours of (N, 3, H, W) frames in [0, 1]."""
        centres = fit_clusters(sample_chroma(frames).numpy(), count=len(self.clusters))
        self.clusters.copy_(torch.from_numpy(centres))

    def record(self) -> list[list[float]]:
        """Return the clusters, [[a, b], ...]."""
        return [[float(a), float(b)] for a, b in self.clusters]

    def forward(self, clips: Tensor) -> Tensor:
        """Return (B, T, K, h, w) float32, one-hot, of (B, T, 3, H, W) clips in [0, 1].

        Raises:
            ValueError: the clusters were not fitted.
        """
        return self.of_chroma(chroma(clips))

    def of_chroma(self, ab: Tensor) -> Tensor:
        """Return the same of the clips' chroma, (B, T, 2, H, W), as `chroma` gives it."""
        if self.clusters.isnan().any():
            raise ValueError("the clusters of colours are not known: fit them on frames first")
        with torch.no_grad(), torch.autocast(ab.device.type, enabled=False):
            return torch.stack([self._vote(clip) for clip in ab])  # a clip at a time, for memory

    def _vote(self, ab: Tensor) -> Tensor:
        """Return (T, K, h, w), one-hot of what most pixels of a cell have, of the chroma (T, 2, H, W)."""
        clusters = self.clusters.float()
        near = 2 * ab.movedim(1, -1) @ clusters.T - clusters.square().sum(1)  # (T, H, W, K), falls with the distance
        pixels = F.one_hot(near.argmax(-1), len(clusters)).movedim(-1, 1).float()  # (T, K, H, W)
        down, across = (_means(length, self.stride, self.offset).to(pixels) for length in ab.shape[-2:])
        shares = down @ (pixels @ across.T)  # (T, K, h, w)
        return F.one_hot(shares.argmax(1), len(clusters)).movedim(-1, 1).float()


def _means(length: int, stride: int, offset: float) -> Tensor:
    """Return the (cells, length) matrix that averages pixels over the cells along one axis."""
    centres = np.arange(-(-length // stride), dtype=np.float64) * stride + offset
    return average_matrix(centres, float(stride), length)
