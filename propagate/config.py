"""Every setting of a propagation, its default, unit and source: written once, here."""

from __future__ import annotations

import dataclasses
import difflib
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from propagate.errors import ConfigError

Radius = int | None


@dataclass(frozen=True)
class PropagateConfig:
    """How labels are carried. The defaults are the field's converged protocol (CRW; first + N frames, local, top-k)."""

    # What computes features.
    encoder: str = "resnet18"  # an entry of ENCODERS; "rawcolor" needs no weights
    weights: str | None = None  # a name, a path, "random", or None for those that ship for the encoder
    size: int | str = 480  # pixels, short side that the encoder sees, never enlarged; "WxH" for exactly that
    stride: int | Literal["auto"] | None = None  # pixels per cell: None: the encoder's own; half; auto: by size

    # Which frames are looked at.
    context: int = 7  # N, recent frames (DINO: 7; Vondrick 3.3: 3)
    keep_annotated: bool = True  # annotated frames stay in the window (CRW)
    max_annotated: int = 5  # at most this many: the first and the most recent

    # Where, and how sharply.
    radius: Radius = 12  # cells; None looks everywhere (CRW, DINO: 12)
    annotated_radius: Radius | Literal["same"] = "same"  # cells, for annotated frames; CRW looks everywhere
    window: Literal["square", "circle"] = "circle"  # the shape within the radius (CRW: circle)
    similarity: Literal["cosine", "dot", "distance"] = "cosine"  # "distance" is -|q - k|^2 / 2
    patch: int = 1  # cells on the side of the neighbourhood that is compared, odd; 1 compares single cells
    layer_mix: float = 0.0  # share in the similarity of the layer before the last; 0: the last alone
    center_features: bool | Literal["auto"] = (
        False  # features less their frame's mean, before the cosine; auto: by cells
    )
    lab_weight: float | Literal["auto"] = (
        0.0  # logit of -|dLab|^2 beside the features', Lab / 50; 0: none; auto: by cells
    )
    temperature: float = 0.07  # divides similarity before the softmax (CRW's code)
    topk: int | None = 10  # candidates kept per cell, over all frames jointly, before the softmax (CRW); None: all

    # Labels.
    label_scale: int = 1  # label sub-cells on a cell's side, of all but colours and texture
    edges: float = 0.0  # Lab units that masks do not cross on their way to the pixels; 0: linear interpolation
    feedback: Literal["soft", "hard"] = "soft"  # what predictions feed back (Vondrick 3.3: soft)

    # The machine.
    device: str = "auto"  # auto, cpu, cuda, cuda:1, mps
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"  # of features; bfloat16 where the processor is fast at it
    threads: int | None = None  # None: as many as torch finds
    seed: int = 0  # of random weights
    checkpoint: int = 100  # frames between saved states

    def __post_init__(self) -> None:
        for name, low in (
            ("context", 0),
            ("max_annotated", 1),
            ("label_scale", 1),
            ("patch", 1),
            ("checkpoint", 1),
            ("seed", 0),
        ):
            _at_least(name, getattr(self, name), low)
        for name in ("stride", "radius", "annotated_radius", "topk", "threads"):
            value = getattr(self, name)
            if value is not None and value != _WORDS.get(name):
                _at_least(name, value, 0 if "radius" in name else 1)
        _check_size(self.size)
        if self.patch % 2 == 0:
            raise ConfigError(f"patch is {self.patch!r}, expected an odd number")
        for name in ("lab_weight", "edges", "layer_mix"):
            value = getattr(self, name)
            if name not in _WORDS or value != _WORDS[name]:
                _from_zero(name, value)
        if self.layer_mix > 1:
            raise ConfigError(f"layer_mix is {self.layer_mix!r}, expected a share of at most 1")
        number = isinstance(self.temperature, int | float) and not isinstance(self.temperature, bool)
        if not number or not 0 < self.temperature < math.inf:
            raise ConfigError(f"temperature is {self.temperature!r}, expected a number above 0")
        if self.context == 0 and not self.keep_annotated:
            raise ConfigError("context is 0 and annotated frames are not kept: there is nothing to look at")
        for name, allowed in _CHOICES.items():
            _one_of(name, getattr(self, name), allowed)


# What `--preset tool` means, and the preset of weights that the objective `propagate` makes: tuned on davis_dev.
TOOL: Mapping[str, Any] = {
    "size": 480,
    "stride": "auto",
    "context": 10,
    "keep_annotated": True,
    "radius": 12,
    "annotated_radius": 20,
    "window": "circle",
    "similarity": "cosine",
    "layer_mix": 1.0,
    "center_features": "auto",
    "lab_weight": "auto",
    "temperature": 0.125,
    "topk": 5,
    "label_scale": 1,
    "edges": 4.0,
    "feedback": "soft",
}

# Names of settings until version 0.1, read as the new ones for one release: in files, flags and headers of weights.
FORMER_NAMES = {
    "color": "lab_weight",
    "shallow": "layer_mix",
    "less_mean": "center_features",
    "shake": "jitter_crops",
    "paste": "copy_paste",
    "spread": "stretch_chroma",
}
_WORDS = {"stride": "auto", "annotated_radius": "same", "lab_weight": "auto"}  # what stands for a number
_CHOICES: dict[str, tuple[object, ...]] = {
    "keep_annotated": (True, False),
    "center_features": (True, False, "auto"),
    "window": ("square", "circle"),
    "similarity": ("cosine", "dot", "distance"),
    "feedback": ("soft", "hard"),
    "dtype": ("auto", "float32", "bfloat16"),
}


def _at_least(name: str, value: object, low: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < low:
        raise ConfigError(f"{name} is {value!r}, expected a whole number of at least {low}")


def _from_zero(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
        raise ConfigError(f"{name} is {value!r}, expected 0 or more")


def _one_of(name: str, value: object, allowed: tuple[object, ...]) -> None:
    if value not in allowed:
        raise ConfigError(f"{name} is {value!r}, expected one of {', '.join(map(str, allowed))}")


def _check_size(size: object) -> None:
    if isinstance(size, str) and re.fullmatch(r"[1-9]\d*x[1-9]\d*", size):
        return
    if isinstance(size, bool) or not isinstance(size, int) or size < 16:
        raise ConfigError(f'size is {size!r}, expected a short side of at least 16 pixels, or "WxH"')


def resolve(*layers: Mapping[str, Any]) -> PropagateConfig:
    """Return the settings of several layers, the later ones winning over the earlier and over the defaults.

    Raises:
        ConfigError: an unknown setting, with the nearest name, or a value that it cannot take.
    """
    return PropagateConfig(**merge(PropagateConfig, layers))


def current_names(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings with the names of today in place of former ones.

    Raises:
        ConfigError: one is given by both its names.
    """
    twice = next((name for name in settings if FORMER_NAMES.get(name) in settings), None)
    if twice is not None:
        raise ConfigError(f"{twice} and {FORMER_NAMES[twice]} are one setting", hint=f"leave {twice} out")
    return {FORMER_NAMES.get(name, name): value for name, value in settings.items()}


def merge(kind: type[Any], layers: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the fields of a dataclass of settings that several layers give, the later ones winning.

    Raises:
        ConfigError: a name that is no field, with the nearest that is.
    """
    merged: dict[str, Any] = {}
    known = [field.name for field in dataclasses.fields(kind)]
    for layer in layers:
        for name, value in current_names(layer).items():
            if name not in known:
                near = difflib.get_close_matches(name, known, n=1)
                raise ConfigError(f"no setting is called {name!r}", hint=f"did you mean {near[0]!r}?" if near else None)
            merged[name] = value
    return merged


def read_settings(path: str | Path) -> dict[str, Any]:
    """Return the settings of a YAML file, unchecked; a run.yaml gives those under its `settings` key.

    Size, nesting, references and numbers are bounded, so that no file takes more than a moment.

    Raises:
        ConfigError: the file cannot be read, or is not a mapping.
    """
    content = _read_yaml(path)
    if content is None:
        return {}
    if isinstance(content, dict) and isinstance(content.get("settings"), dict):
        content = content["settings"]
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise ConfigError(f"{path}: expected a mapping of settings to values")
    for name, value in content.items():
        if isinstance(value, int) and value.bit_length() > _BITS:
            raise ConfigError(f"{path}: {name[:40]} is a number of {value.bit_length()} bits, which is too large")
    return content


_BYTES = 4_000_000  # of a file of settings, which has a few thousand; a run.yaml also lists its labels
_VALUES = 100_000  # in it, which take a second or two to parse
_DEPTH = 20  # of lists in lists
_BITS = 64  # of a whole number


def _read_yaml(path: str | Path) -> Any:
    """Return what a YAML file holds; no file is too large, too deep or too strange to be refused in one line."""
    import yaml

    try:
        with Path(path).open("rb") as file:
            data = file.read(_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror or error}") from error
    if len(data) > _BYTES:
        raise ConfigError(f"{path}: is larger than {_BYTES / 1e6:.0f} MB, which no file of settings is")
    try:
        return _load_bounded(data.decode("utf-8"))
    except (UnicodeDecodeError, yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: year 0, 5000 digits
        raise ConfigError(f"{path}: cannot be read as YAML: {str(error)[:300]}") from error


def _load_bounded(text: str) -> Any:
    """Return what YAML text holds, without references (`*name` repeats a part: ten lines make billions of values)."""
    import yaml

    class Bounded(yaml.SafeLoader):
        depth = count = 0

        def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
            line = f"line {self.line + 1}"
            if self.check_event(yaml.AliasEvent):
                raise yaml.YAMLError(f"{line} refers to another part (*name)")
            self.depth, self.count = self.depth + 1, self.count + 1
            if self.depth > _DEPTH or self.count > _VALUES:
                raise yaml.YAMLError(f"{line}: {'nested too deeply' if self.depth > _DEPTH else 'too many values'}")
            node = super().compose_node(parent, index)
            self.depth -= 1
            return node

        def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
            names = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
            if len(names) > len(set(names)):
                raise yaml.YAMLError(f"{next(name for name in names if names.count(name) > 1)} is given twice")
            return super().construct_mapping(node, deep)

    return yaml.load(text, Loader=Bounded)
