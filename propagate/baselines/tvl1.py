"""TV-L1: a classical coarse-to-fine flow that is not learned (Zach, Pock and Bischof, 2007), by scikit-image."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from propagate.baselines.luma import luma

ATTACHMENT, TIGHTNESS, WARPS, ITERATIONS = 15.0, 0.3, 5, 10  # scikit-image's defaults, written out for the cache's key
KEY = f"tvl1 attachment={ATTACHMENT} tightness={TIGHTNESS} warps={WARPS} iterations={ITERATIONS}"
LEAST_SIDE = 4  # pixels of a picture whose gradients can be taken at every level of the pyramid


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
    """Return the luma (H, W) in [0, 1], its border repeated up to `LEAST_SIDE`."""
    grey = luma(rgb)
    return np.pad(grey, [(0, max(0, LEAST_SIDE - side)) for side in grey.shape], mode="edge")
