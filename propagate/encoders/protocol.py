"""What every encoder is: pictures in, features on a grid of cells out, in one step a frame and one a target."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

from torch import Tensor


@runtime_checkable
class Encoder(Protocol):
    """A network that turns a frame into features; it owns its normalisation, not the similarity.

    Attributes:
        name: its name in `ENCODERS`.
        settings: constructor arguments that differ from one file of weights to another; saved beside them.
        stride: pixels of the input per cell.
        offset: cell (r, c) lies at input pixel (stride * c + offset, stride * r + offset).
        channels: C, after `embed`.
        temporal: how many reference frames `embed` wants beside the target; 0 when frames are embedded alone.
        exact: similarity must be computed in float32.
        preset: the paper's settings of a run: fields of `PropagateConfig` to values.
    """

    name: str
    settings: Mapping[str, object]
    stride: int
    offset: float
    channels: int
    temporal: int
    exact: bool
    preset: Mapping[str, object]

    def encode(self, rgb: Tensor) -> Tensor:
        """Return what is kept of each frame, computed once a frame.

        Args:
            rgb: (B, 3, H, W) float32, in [0, 1].

        Returns:
            (B, Ct, h, w) with h = ceil(H / stride), w = ceil(W / stride).
        """
        ...

    def embed(self, stack: Tensor) -> Tensor:
        """Return the features of a target and its references, computed once a target.

        Args:
            stack: (T, Ct, h, w) from `encode`, in time order, the target last.

        Returns:
            (T, C, h, w).
        """
        ...


def check_rgb(rgb: Tensor) -> None:
    """Refuse what is not a batch of float pictures.

    Raises:
        ValueError: `rgb` is not (B, 3, H, W) floating.
    """
    if rgb.ndim != 4 or rgb.shape[1] != 3 or not rgb.is_floating_point():
        raise ValueError(f"rgb must be (B, 3, H, W) floating in [0, 1], not {tuple(rgb.shape)} {rgb.dtype}")
