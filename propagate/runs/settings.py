"""From the layers of settings to one configuration and the encoder that it names."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from propagate.config import PropagateConfig, read_settings, resolve
from propagate.errors import ConfigError

if TYPE_CHECKING:
    import torch

    from propagate.encoders.protocol import Encoder

TOOLS_OWN = ("rawcolor", "resnet18")  # encoders whose preset is the tool's, not a paper's
QUALITIES: Mapping[str, Mapping[str, Any]] = {  # what each is worth: the README's table
    "fast": {"encoder": "rawcolor", "edges": 4.0},  # the network at 320 pixels is worse (J .73) and not faster
    "balanced": {},
    "best": {"context": 15},
}
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

    def for_video(self, size: tuple[int, int]) -> Settled:
        """Return the same with the cells and depths that frames of (height, width) pixels get, without colour beside.

        Raises:
            ConfigError: something that the encoder cannot have.
        """
        from propagate.encoders.features import learned

        return replace(self, encoder=learned(self.encoder, self.config, size))


def settle(
    flags: Mapping[str, Any],
    *,
    file: Path | None = None,
    preset: str | None = None,
    quality: str | None = None,
    luma: bool = False,
) -> Settled:
    """Return the settings of a run and its encoder, loaded.

    Later wins: defaults < the encoder's preset < `quality` < PROPAGATE_WEIGHTS and PROPAGATE_DEVICE < `file` < `flags`.

    Args:
        flags: fields of `PropagateConfig` that were given on the command line.
        file: a YAML file of settings, such as the run.yaml of another run.
        preset: "paper" (or None) takes the encoder's preset, "tool" the tool's own instead of a paper's.
        quality: an entry of `QUALITIES`; None is "balanced".
        luma: the encoder will see grey pictures: `rawcolor` looks at the pattern of luma.

    Raises:
        ConfigError: an unknown setting, value, encoder, preset or quality.
        WeightsError: weights that are missing, damaged or of another encoder.
        DeviceError: the device is missing.
    """
    if preset not in (None, "paper", "tool"):
        raise ConfigError(f"no preset is called {preset!r}", hint="paper or tool")
    if quality not in (None, *QUALITIES):
        raise ConfigError(f"no quality is called {quality!r}", hint=f"one of {', '.join(QUALITIES)}")
    given = {name: os.environ[variable] for name, variable in _ENVIRONMENT.items() if os.environ.get(variable)}
    layers = [QUALITIES[quality or "balanced"], given, read_settings(file) if file else {}, dict(flags)]
    asked = resolve(*layers)  # refuses unknown names and values before anything is loaded
    from propagate.device import choose_device, choose_dtype, use_threads
    from propagate.encoders.build import prepare
    from propagate.encoders.features import tool_settings
    from propagate.encoders.library import shipped_weights
    from propagate.encoders.weights import open_encoder

    from_file = asked.weights not in (None, "random")
    named = not from_file or _last(layers, "encoder") >= _last(layers, "weights")
    weights = asked.weights or shipped_weights(asked.encoder)
    encoder = open_encoder(
        asked.encoder if named else None,  # weights of a later layer than the encoder's name bring their own
        weights,
        seed=asked.seed,
        settings={"patch": True} if luma and weights is None and asked.encoder == "rawcolor" else None,
    )
    own = tool_settings(encoder) if preset == "tool" and encoder.name not in TOOLS_OWN else encoder.preset
    chosen = {"encoder": asked.encoder if named else encoder.name, "weights": weights}
    config = resolve(own, *layers, chosen)
    device = choose_device(config.device)
    use_threads(config.threads)
    dtype = choose_dtype("float32" if encoder.exact else config.dtype, device)
    config = resolve(own, *layers, chosen, {"dtype": str(dtype).removeprefix("torch.")})
    return Settled(config, prepare(encoder, device, dtype), device, _digest(weights, config.encoder))


def _last(layers: Sequence[Mapping[str, Any]], name: str) -> int:
    """Return the number of the last layer that holds a setting, -1 when none does."""
    return max((number for number, layer in enumerate(layers) if name in layer), default=-1)


def _digest(weights: str | None, encoder: str) -> str | None:
    if weights is None or weights == "random":
        return None
    from propagate.encoders.library import find_weights
    from propagate.encoders.weights_file import file_digest

    return file_digest(find_weights(weights, encoder=encoder))
