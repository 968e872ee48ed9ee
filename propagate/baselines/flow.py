"""Optical flow: labels warped from frame to frame, or from the annotated frame (Vondrick 4.1)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from propagate.baselines.flow_cache import cached
from propagate.baselines.warp_propagation import Estimate, luma, warp_labels
from propagate.baselines.warped_labels import THRESHOLD
from propagate.errors import ConfigError
from propagate.labels.protocol import LabelType
from propagate.values import Annotation, Frame, Prediction

ATTACHMENT, TIGHTNESS, WARPS, ITERATIONS = 15.0, 0.3, 5, 10  # scikit-image's defaults, written out for the cache's key
KEY = f"tvl1 attachment={ATTACHMENT} tightness={TIGHTNESS} warps={WARPS} iterations={ITERATIONS}"
LEAST_TVL1_SIDE = 4  # pixels of a picture whose gradients can be taken at every level of the pyramid


def tvl1(target: NDArray[np.uint8], reference: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the flow (2, H, W), dx and dy in pixels: target pixel p shows reference pixel p + flow(p).

    Args:
        target: (H, W, 3).
        reference: (H, W, 3).
    """
    from skimage.registration import optical_flow_tvl1

    height, width = target.shape[:2]
    flow = optical_flow_tvl1(
        _grey(target),
        _grey(reference),
        attachment=ATTACHMENT,
        tightness=TIGHTNESS,
        num_warp=WARPS,
        num_iter=ITERATIONS,
        dtype=np.float32,
    )  # rows first
    return np.ascontiguousarray(flow[::-1, :height, :width])


def _grey(rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the luma (H, W) in [0, 1], its border repeated up to `LEAST_TVL1_SIDE`."""
    grey = luma(rgb)
    return np.pad(grey, [(0, max(0, LEAST_TVL1_SIDE - side)) for side in grey.shape], mode="edge")


SCALE = 0.5  # of the picture that a flow is computed at
LEAST_SIDE = 8  # pixels below which a picture is not made smaller


def warped(
    frames: Iterable[Frame],
    annotations: Sequence[Annotation],
    *,
    label_type: LabelType,
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
        label_type: the label type.
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
    return warp_labels(frames, annotations, label_type=label_type, estimate=sized, first=first, threshold=threshold)


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


Estimator = Literal["tvl1", "raft"]


def flow(
    frames: Iterable[Frame],
    annotations: Sequence[Annotation],
    *,
    label_type: LabelType,
    first: bool = False,
    estimator: Estimator = "tvl1",
    threshold: float = THRESHOLD,
    scale: float = SCALE,
    cache: Path | None = None,
) -> Iterator[Prediction]:
    """Return an iterator that warps labels by optical flow.

    Args:
        frames: in order.
        annotations: what is known of some of the frames.
        label_type: the label type; keypoints follow the flow as points, anything else is warped back pixel by pixel.
        first: warp from the annotated frame in one step ("non-recursive"); else from frame to frame ("recursive").
        estimator: what computes the flow.
        threshold: a pixel is an object if its warped score is above it and the highest; of masks only.
        scale: of the pictures that the flow is computed on.
        cache: a folder for flows; None keeps none.

    Raises:
        ConfigError: a setting is outside its range.
        WeightsError: RAFT is asked for and its weights are not on this machine.
    """
    estimate, key = load_estimator(estimator)
    return warped(
        frames,
        annotations,
        label_type=label_type,
        estimate=estimate,
        key=key,
        first=first,
        threshold=threshold,
        scale=scale,
        cache=cache,
    )


def load_estimator(name: str) -> tuple[Estimate, str]:
    """Return an estimator and the key of its flows in the cache.

    Raises:
        ConfigError: there is no such estimator.
        WeightsError: its weights are not on this machine.
    """
    if name == "tvl1":
        return tvl1, KEY
    if name == "raft":
        from propagate.baselines.raft import load_raft

        return load_raft()
    raise ConfigError(f"no flow estimator is called {name!r}", hint="one of tvl1, raft")


flow_first: partial[Iterator[Prediction]] = partial(flow, first=True)
