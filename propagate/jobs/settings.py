"""From the layers of settings to one configuration and the encoder that it names."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from propagate.config import PropagateConfig, read_settings, resolve
from propagate.errors import ConfigError

if TYPE_CHECKING:
    import torch

    from propagate.encoders.protocol import Encoder

TOOLS_OWN = ("rawcolor", "resnet18")  # encoders whose preset is the tool's, not a paper's
_ENVIRONMENT = {"weights": "PROPAGATE_WEIGHTS", "device": "PROPAGATE_DEVICE"}


@dataclass(frozen=True)
class Settled:
    """All that is settled before a run.

    Attributes:
        config: the resolved settings; `dtype` is never "auto".
        encoder: on its device.
        device: where tensors live.
        weights: SHA-256 of the file of weights, None without one.
    """

    config: PropagateConfig
    encoder: Encoder
    device: torch.device
    weights: str | None


def settle(
    flags: Mapping[str, Any],
    *,
    file: Path | None = None,
    preset: str | None = None,
    encoder_settings: Mapping[str, Any] | None = None,
) -> Settled:
    """Return the settings of a run and its encoder, loaded.

    Later wins: defaults < the encoder's preset < PROPAGATE_WEIGHTS and PROPAGATE_DEVICE < `file` < `flags`.

    Args:
        flags: fields of `PropagateConfig` that were given on the command line.
        file: a YAML file of settings, such as the run.yaml of another run.
        preset: "paper" (or None) takes the encoder's preset, "tool" leaves a paper's out.
        encoder_settings: constructor arguments of an encoder without a file, such as `{"patch": True}`.

    Raises:
        ConfigError: an unknown setting, value, encoder or preset.
        WeightsError: weights that are missing, damaged or of another encoder.
        DeviceError: the device is missing.
    """
    if preset not in (None, "paper", "tool"):
        raise ConfigError(f"no preset is called {preset!r}", hint="paper or tool")
    given = {name: os.environ[variable] for name, variable in _ENVIRONMENT.items() if os.environ.get(variable)}
    layers = [given, read_settings(file) if file else {}, dict(flags)]
    asked = resolve(*layers)  # refuses unknown names and values before anything is loaded
    from propagate.device import choose_device, choose_dtype, use_threads
    from propagate.encoders.prepare import prepare
    from propagate.encoders.weights import open_encoder

    from_file = asked.weights not in (None, "random")
    named = not from_file or _last(layers, "encoder") >= _last(layers, "weights")
    encoder = open_encoder(
        asked.encoder if named else None,  # weights of a later layer than the encoder's name bring their own
        asked.weights,
        seed=asked.seed,
        settings=None if from_file else encoder_settings,
    )
    own = {} if preset == "tool" and encoder.name not in TOOLS_OWN else encoder.preset
    name = asked.encoder if named else encoder.name
    config = resolve(own, *layers, {"encoder": name})
    device = choose_device(config.device)
    use_threads(config.threads)
    dtype = choose_dtype("float32" if encoder.exact else config.dtype, device)
    config = resolve(own, *layers, {"encoder": name, "dtype": str(dtype).removeprefix("torch.")})
    return Settled(config, prepare(encoder, device, dtype), device, _digest(asked.weights, name))


def _last(layers: Sequence[Mapping[str, Any]], name: str) -> int:
    """Return the number of the last layer that holds a setting, -1 when none does."""
    return max((number for number, layer in enumerate(layers) if name in layer), default=-1)


def _digest(weights: str | None, encoder: str) -> str | None:
    if weights is None or weights == "random":
        return None
    from propagate.encoders.library import find_weights
    from propagate.encoders.weights_file import file_digest

    return file_digest(find_weights(weights, encoder=encoder))
