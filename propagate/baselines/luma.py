"""The grey picture that flows are computed on."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from propagate.ops.picture import LUMA


def luma(rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the luma (H, W) in [0, 1] of a picture (H, W, 3).

    Equal pixels have equal luma to the last bit, wherever they lie; a matrix product does not promise that.
    """
    red, green, blue = (rgb[:, :, channel] * np.float32(weight / 255) for channel, weight in enumerate(LUMA))
    return np.asarray(red + green + blue, np.float32)


def luma_only(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a picture (H, W, 3) as its luma three times: colours to be found must not guide their own transfer."""
    return np.repeat(np.rint(luma(rgb) * 255).astype(np.uint8)[:, :, None], 3, axis=2)
