"""From the layers of settings to one configuration and the network that it names."""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from propagate.config import PropagateConfig, read_settings, resolve
from propagate.encoders.library import find_weights, shipped_weights
from propagate.encoders.weights_file import file_digest
from propagate.errors import ConfigError
from propagate.settings import current_names, shown

if TYPE_CHECKING:
    import torch

    from propagate.encoders.protocol import Encoder

TOOLS_OWN = ("rawcolor", "resnet18")  # encoders whose preset is the tool's, not a paper's
QUALITIES: Mapping[str, Mapping[str, Any]] = {  # what each is worth: the README's table
    "fast": {
        "encoder": "rawcolor",
        "edges": 4.0,
        "certain": 0.9,
    },  # the network at 320 pixels is worse (J .73) and not faster
    "balanced": {},
    "best": {"context": 15},
}
_ENVIRONMENT = {"weights": "PROPAGATE_WEIGHTS", "device": "PROPAGATE_DEVICE"}


@dataclass(frozen=True)
class SettingLayers:
    """What was said of a run's settings, as plain data: two runs whose layers are equal are set alike.

    Later wins: defaults < the encoder's preset (or the tool's) < `quality` < `environment` < `file` < `flags`.

    Attributes:
        preset: "paper" (or None) takes the encoder's own preset, "tool" the tool's instead of a paper's.
        quality: an entry of `QUALITIES`; None is "balanced".
        environment: what PROPAGATE_WEIGHTS and PROPAGATE_DEVICE say.
        file: what a file of settings says, such as the run.yaml of another run.
        flags: fields of `PropagateConfig` that were given on the command line.
    """

    preset: str | None = None
    quality: str | None = None
    environment: Mapping[str, Any] = field(default_factory=dict)
    file: Mapping[str, Any] = field(default_factory=dict)
    flags: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.preset not in (None, "paper", "tool"):
            raise ConfigError(f"no preset is called {shown(self.preset)}", hint="paper or tool")
        if self.quality not in (None, *QUALITIES):
            raise ConfigError(f"no quality is called {shown(self.quality)}", hint=f"one of {', '.join(QUALITIES)}")

    def above_preset(self) -> tuple[Mapping[str, Any], ...]:
        """Return what stands above an encoder's preset, the later winning."""
        return (QUALITIES[self.quality or "balanced"], self.environment, self.file, self.flags)

    def resolve(self, preset: Mapping[str, Any]) -> PropagateConfig:
        """Return the settings of a run with an encoder's preset; nothing is read, looked up or loaded.

        Raises:
            ConfigError: an unknown setting, or a value that it cannot take.
        """
        return resolve(preset, *self.above_preset())

    def with_flags(self, flags: Mapping[str, Any]) -> SettingLayers:
        """Return the same with more flags, which win over those that are there."""
        return replace(self, flags={**current_names(PropagateConfig, self.flags), **flags})


def read_layers(
    flags: Mapping[str, Any] | None = None,
    *,
    file: Path | None = None,
    preset: str | None = None,
    quality: str | None = None,
) -> SettingLayers:
    """Return the layers of settings of a command: its options, a file that is read now, and the environment's.

    Raises:
        ConfigError: the file cannot be read, or there is no such preset or quality.
    """
    environment = {name: os.environ[variable] for name, variable in _ENVIRONMENT.items() if os.environ.get(variable)}
    return SettingLayers(preset, quality, environment, read_settings(file) if file else {}, dict(flags or {}))


@dataclass(frozen=True)
class ModelName:
    """Which network and which weights layers of settings name; known without loading either.

    Attributes:
        encoder: an entry of `ENCODERS`; None: the weights bring their own.
        weights: a name, a path, "random", or None for an encoder that needs none.
        digest: SHA-256 of the file of weights, None without one.
    """

    encoder: str | None
    weights: str | None
    digest: str | None


def name_model(layers: SettingLayers) -> ModelName:
    """Return which network layers of settings name. Torch is not imported.

    Raises:
        ConfigError: an unknown setting, or a value that it cannot take.
        WeightsError: there are no such weights.
    """
    asked = layers.resolve({})  # refuses unknown names and values before anything is loaded
    from_file = asked.weights not in (None, "random")
    named = not from_file or _last(layers, "encoder") >= _last(layers, "weights")
    encoder = asked.encoder if named else None  # weights of a later layer than the encoder's name bring their own
    weights = asked.weights or shipped_weights(asked.encoder)
    if weights is None or weights == "random":
        return ModelName(encoder, weights, None)
    return ModelName(encoder, weights, file_digest(find_weights(weights, encoder=asked.encoder)))


def _last(layers: SettingLayers, name: str) -> int:
    """Return the number of the last layer that holds a setting, -1 when none does."""
    return max((number for number, layer in enumerate(layers.above_preset()) if name in layer), default=-1)


@dataclass(frozen=True)
class LoadedModel:
    """A network with all settings of a run.

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


def load_model(layers: SettingLayers, *, luma: bool = False) -> LoadedModel:
    """Return the settings of a run and its network; of the same weights and settings it is loaded once a process.

    Args:
        layers: what was said of the settings.
        luma: the encoder will see grey pictures: `rawcolor` looks at the pattern of luma.

    Raises:
        ConfigError: an unknown setting, value or encoder.
        WeightsError: weights that are missing, damaged or of another encoder.
        DeviceError: the device is missing.
    """
    name = name_model(layers)
    from propagate.device import choose_device, choose_dtype, use_threads

    patch = luma and name.weights is None and name.encoder == "rawcolor"
    encoder = _open(name, layers.resolve({}).seed, patch)
    layers = layers.with_flags({"encoder": name.encoder or encoder.name, "weights": name.weights})
    preset = _preset(encoder, layers.preset)
    config = layers.resolve(preset)
    device = choose_device(config.device)
    use_threads(config.threads)
    dtype = choose_dtype("float32" if encoder.exact else config.dtype, device)
    config = layers.with_flags({"dtype": str(dtype).removeprefix("torch.")}).resolve(preset)
    return LoadedModel(config, _prepared(name, config.seed, patch, device, dtype), device, name.digest)


def _preset(encoder: Encoder, preset: str | None) -> Mapping[str, Any]:
    from propagate.encoders.features import tool_settings

    return tool_settings(encoder) if preset == "tool" and encoder.name not in TOOLS_OWN else encoder.preset


@functools.lru_cache(maxsize=4)  # nothing writes to an encoder that it is given
def _open(name: ModelName, seed: int, patch: bool) -> Encoder:
    from propagate.encoders.weights import open_encoder

    return open_encoder(name.encoder, name.weights, seed=seed, settings={"patch": True} if patch else None)


@functools.lru_cache(maxsize=4)
def _prepared(name: ModelName, seed: int, patch: bool, device: torch.device, dtype: torch.dtype) -> Encoder:
    from propagate.encoders.build import prepare

    return prepare(_open(name, seed, patch), device, dtype)
