"""Features from two depths: the last layer knows what a thing is, the one before it still sees its texture.

Where the last layer was trained and the one before it is compared, it serves as a head does elsewhere.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from propagate.encoders.protocol import Encoder
from propagate.encoders.resnet18 import ResNet18
from propagate.encoders.trunk import RESNET_WIDTHS
from propagate.errors import ConfigError

if TYPE_CHECKING:
    from propagate.config import PropagateConfig


def has_two_depths(encoder: Encoder) -> bool:
    """Return whether the encoder's last two layers have one stride and nothing comes after them."""
    return isinstance(encoder, ResNet18) and len(encoder.trunk.layers) > 2


def at_two_depths(encoder: Encoder, config: PropagateConfig) -> Encoder:
    """Return the encoder with the features of its last two layers, where the settings ask for it.

    Their cosines add up: (1 - shallow) of the last layer's and shallow of the other's. At 1 the last is not computed.

    Raises:
        ConfigError: the encoder gives one depth only, or similarity is not the cosine.
    """
    if not config.shallow:
        return encoder
    if not has_two_depths(encoder) or config.similarity != "cosine":
        what = "similarity is not 'cosine'" if has_two_depths(encoder) else f"{encoder.name!r} has one depth"
        raise ConfigError(f"shallow is {config.shallow:g}, but {what}", hint="--shallow 0")
    assert isinstance(encoder, ResNet18)
    both: Any = copy.deepcopy(encoder)
    both.trunk.shallow = config.shallow
    before = RESNET_WIDTHS[len(both.trunk.layers) - 2]
    both.channels = before if config.shallow == 1 else both.channels + before
    result: Encoder = both
    return result
