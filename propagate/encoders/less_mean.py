"""Features less their frame's mean: what all cells of a frame share tells none of them apart.

After a ReLU no feature is negative, so that the cosines of any two cells are high and differ little. Without the mean
they spread over [-1, 1]: on davis_dev worth J .006 and F .008 (layer2 of the weights that ship, colour beside it).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

from propagate.encoders.color_beside import FINE
from propagate.encoders.protocol import Encoder
from propagate.errors import ConfigError

if TYPE_CHECKING:
    from propagate.config import PropagateConfig


class LessMean:
    """An encoder whose features have a mean of zero over the cells of each frame, in every channel.

    Args:
        encoder: embeds frames alone.
        config: similarity.

    Raises:
        ConfigError: the encoder embeds frames together, or similarity is not the cosine.
    """

    def __init__(self, encoder: Encoder, config: PropagateConfig) -> None:
        if not _can_lose_mean(encoder, config):
            embeds = f"{encoder.name!r} embeds frames together"
            what = embeds if encoder.temporal else f"similarity is {config.similarity!r}, not 'cosine'"
            raise ConfigError(f"less_mean is set, but {what}", hint="--no-less-mean")
        self._encoder = encoder
        self.name, self.settings, self.preset = encoder.name, encoder.settings, encoder.preset
        self.stride, self.offset, self.temporal, self.exact = encoder.stride, encoder.offset, 0, encoder.exact
        self.channels = encoder.channels

    def encode(self, rgb: Tensor) -> Tensor:
        """Return (B, C, h, w), in the dtype of the encoder's features, of (B, 3, H, W) pictures in [0, 1]."""
        features = self._encoder.encode(rgb)
        whole = features.float()
        return (whole - whole.mean((2, 3), keepdim=True)).to(features.dtype)

    def embed(self, stack: Tensor) -> Tensor:
        """Return the embedding of `stack` (T, C, h, w), each frame alone."""
        return self._encoder.embed(stack)


def less_mean(encoder: Encoder, config: PropagateConfig) -> Encoder:
    """Return the encoder with features less their frame's mean where the settings ask for it.

    "auto" takes the mean from cells of 8 pixels or more; in finer ones (see `color_weight`) it was no gain.

    Raises:
        ConfigError: see `LessMean`.
    """
    if config.less_mean == "auto":
        return LessMean(encoder, config) if encoder.stride >= FINE and _can_lose_mean(encoder, config) else encoder
    return LessMean(encoder, config) if config.less_mean else encoder


def _can_lose_mean(encoder: Encoder, config: PropagateConfig) -> bool:
    return not encoder.temporal and config.similarity == "cosine"
