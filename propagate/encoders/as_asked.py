"""An encoder as the settings ask for it: its cells, its depths, what is taken from its features or stands beside."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from propagate.config import TOOL
from propagate.encoders.color_beside import beside_color
from propagate.encoders.denser import at_stride
from propagate.encoders.less_mean import less_mean
from propagate.encoders.protocol import Encoder
from propagate.encoders.two_depths import at_two_depths, has_two_depths

if TYPE_CHECKING:
    from propagate.config import PropagateConfig


def as_asked(encoder: Encoder, config: PropagateConfig, video: tuple[int, int]) -> Encoder:
    """Return what computes the features that are compared.

    Args:
        encoder: as loaded.
        config: size, stride, shallow, less_mean, color.
        video: (height, width) of the frames.

    Raises:
        ConfigError: something that this encoder cannot have.
    """
    return beside_color(less_mean(learned(encoder, config, video), config), config)


def tool_settings(encoder: Encoder) -> dict[str, Any]:
    """Return the tool's own settings, without those that this encoder cannot have.

    Frames that are embedded together keep their size, similarity and temperature: `colorization` knows the place of a
    cell in a square of 32x32, and what its inner products say is lost to a cosine.
    """
    without: dict[str, Any] = {}
    if encoder.temporal:
        without |= {name: encoder.preset[name] for name in ("size", "similarity", "temperature")}
    if not has_two_depths(encoder):
        without["shallow"] = 0.0
    return {**TOOL, **without}


def learned(encoder: Encoder, config: PropagateConfig, video: tuple[int, int]) -> Encoder:
    """Return the same as the network itself gives it: no mean taken out, no colour beside; otherwise as `as_asked`."""
    return at_stride(at_two_depths(encoder, config), config, video)
