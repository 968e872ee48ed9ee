"""Labels warped by a flow: its size, its cache, and the loop in one call (Vondrick 4.1)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from propagate.baselines.carrying import Estimate, carry
from propagate.baselines.flow_cache import cached
from propagate.errors import ConfigError
from propagate.labels.protocol import Codec
from propagate.values import Annotation, Frame, Prediction

SCALE = 0.5  # of the picture that a flow is computed at
LEAST_SIDE = 8  # pixels below which a picture is not made smaller


def warped(
    frames: Iterable[Frame],
    annotations: Sequence[Annotation],
    *,
    codec: Codec,
    estimate: Estimate,
    key: str,
    first: bool,
    threshold: float,
    scale: float,
    cache: Path | None,
) -> Iterator[Prediction]:
    """Return an iterator over the predictions of a flow; settings are checked before the first frame.

    Args:
        frames: in order.
        annotations: what is known of some of the frames.
        codec: the label type.
        estimate: the flow between two pictures of any one size.
        key: the estimator's name and parameters, for the cache.
        first: warp from the annotated frame, not from the frame before.
        threshold: of a mask's warped score, in [0, 1).
        scale: of the pictures that `estimate` sees, in (0, 1].
        cache: a folder for flows; None keeps none.

    Raises:
        ConfigError: a setting is outside its range.
        OutputError: the cache's folder cannot be made.
    """
    if not 0 <= threshold < 1:
        raise ConfigError(f"threshold is {threshold}, but a warped score lies in [0, 1]", hint="such as 0.5")
    if not 0 < scale <= 1:
        raise ConfigError(f"scale is {scale}, but a flow is computed at a size in (0, 1] of the picture's")
    sized = at_scale(cached(estimate, cache, key=key), scale)
    return carry(frames, annotations, codec=codec, estimate=sized, first=first, threshold=threshold)


def at_scale(estimate: Estimate, scale: float) -> Estimate:
    """Return an estimator that works on pictures made smaller, and enlarges the flow and its vectors."""

    def smaller(target: NDArray[np.uint8], reference: NDArray[np.uint8]) -> NDArray[np.float32]:
        height, width = target.shape[:2]
        size = scaled((height, width), scale)
        flow = estimate(resized(target, size), resized(reference, size))
        if size == (height, width):
            return flow
        full = torch.nn.functional.interpolate(torch.from_numpy(flow)[None], (height, width), mode="bilinear")[0]
        return (full * torch.tensor([width / size[1], height / size[0]]).view(2, 1, 1)).numpy()

    return smaller


def scaled(size: tuple[int, int], scale: float) -> tuple[int, int]:
    """Return a (height, width) times `scale`, no side below the smaller of `LEAST_SIDE` and its own."""
    height, width = (max(round(side * scale), min(side, LEAST_SIDE)) for side in size)
    return height, width


def resized(rgb: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Return a picture (H, W, 3) at (height, width), antialiased."""
    if rgb.shape[:2] == size:
        return rgb
    picture = torch.from_numpy(np.require(rgb, requirements=["C", "W"])).permute(2, 0, 1)[None]
    small = torch.nn.functional.interpolate(picture, size, mode="bilinear", antialias=True)[0]
    return np.ascontiguousarray(small.permute(1, 2, 0).numpy())
