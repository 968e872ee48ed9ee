"""Quantised colours: k-means over the chroma plane, and the nearest cluster of any colour (Vondrick 2018, 3.4)."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np
from scipy.cluster.vq import kmeans2, vq

if TYPE_CHECKING:
    from numpy.typing import NDArray

ROUNDS = 60  # chroma settles in 20 to 60


def fit_clusters(ab: NDArray[np.floating], *, count: int = 16, seed: int = 0) -> NDArray[np.float64]:
    """Return the centres of `count` clusters of colours, by k-means from spread-out starting points (k-means++).

    Equal data and seed give equal centres in equal order. Where the data holds fewer than `count` colours, some
    centres are equal, and `nearest_cluster` uses only the first of them.

    Args:
        ab: (N, 2) chroma of Lab.
        count: how many clusters, 16 in the paper.
        seed: of the choice of the starting points.

    Returns:
        (count, 2), ascending in a, then in b.

    Raises:
        ValueError: there is no colour, one is not finite, or the shape is another.
    """
    points = np.asarray(ab, dtype=np.float64)
    if points.ndim != 2 or points.shape[1] != 2 or not len(points) or not np.isfinite(points).all():
        raise ValueError(f"colours must be (N, 2), finite, with N of 1 or more, not {points.shape}")
    colors = np.unique(points, axis=0)
    if len(colors) <= count:
        return np.concatenate([colors, np.repeat(colors[-1:], count - len(colors), axis=0)])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a cluster that lost its last member stays where it was
        centres, _ = kmeans2(points, count, iter=ROUNDS, minit="++", seed=np.random.default_rng(seed))
    return np.asarray(centres[np.lexsort((centres[:, 1], centres[:, 0]))])


def nearest_cluster(ab: NDArray[np.floating], centres: NDArray[np.floating]) -> NDArray[np.intp]:
    """Return the cluster of each colour: the index of the nearest centre, the lower one of two equally near.

    Args:
        ab: (..., 2) chroma of Lab.
        centres: (K, 2).

    Returns:
        (...) from 0 to K - 1.

    Raises:
        ValueError: a colour or a centre is not finite, or a shape is another.
    """
    points = np.asarray(ab, dtype=np.float64)
    if points.shape[-1:] != (2,) or centres.ndim != 2 or centres.shape[1] != 2:
        raise ValueError(f"colours must be (..., 2) and centres (K, 2), not {points.shape} and {centres.shape}")
    if not points.size:
        return np.zeros(points.shape[:-1], dtype=np.intp)
    nearest, _ = vq(points.reshape(-1, 2), np.asarray(centres, dtype=np.float64))
    return np.asarray(nearest, dtype=np.intp).reshape(points.shape[:-1])
