"""An encoder as the settings ask for it: its cells, its depths, and what stands beside its features."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from propagate.config import TOOL
from propagate.encoders.color_beside import beside_color
from propagate.encoders.denser import at_stride
from propagate.encoders.protocol import Encoder
from propagate.encoders.two_depths import at_two_depths, has_two_depths

if TYPE_CHECKING:
    from propagate.config import PropagateConfig


def as_asked(encoder: Encoder, config: PropagateConfig, video: tuple[int, int]) -> Encoder:
    """Return what computes the features that are compared.

    Args:
        encoder: as loaded.
        config: size, stride, shallow, color.
        video: (height, width) of the frames.

    Raises:
        ConfigError: something that this encoder cannot have.
    """
    return beside_color(learned(encoder, config, video), config)


def tool_settings(encoder: Encoder) -> dict[str, Any]:
    """Return the tool's own settings, without those that this encoder cannot have."""
    cannot = {"color": bool(encoder.temporal), "shallow": not has_two_depths(encoder)}
    return {name: 0.0 if cannot.get(name) else value for name, value in TOOL.items()}


def learned(encoder: Encoder, config: PropagateConfig, video: tuple[int, int]) -> Encoder:
    """Return the same without colour beside it: what the network itself sees; arguments and errors as `as_asked`."""
    return at_stride(at_two_depths(encoder, config), config, video)
