"""Every setting of a propagation: written once, here, as the fields of `PropagateConfig`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from propagate.errors import ConfigError
from propagate.settings import Setting, check_settings, merge

Radius = int | None
MODEL, WINDOW, MACHINE = "Features", "Where it looks", "Machine"  # headings of the options
PROBABLE = ("masks", "keypoints", "maps", "davis", "jhmdb", "vip")  # commands whose labels may be probabilities
FULL = {"full": None}
FARTHEST = 1_000_000  # cells: beyond every grid, so that a radius of it is "full"


@dataclass(frozen=True)
class PropagateConfig:
    """How labels are propagated. The defaults are the field's converged protocol (CRW; first + N frames, local, top-k).

    `settings.Setting` says what stands in a field. `gone` are settings of before that a file may still hold.
    """

    gone: ClassVar[tuple[str, ...]] = ("max_annotated",)

    # What computes features.
    encoder: str = Setting(
        "resnet18", "Network that computes features; rawcolor needs no weights.", panel=MODEL, metavar="NAME"
    ).field()
    weights: str | None = Setting(
        None,
        "Its weights: a name, a path, or random.",
        str,
        panel=MODEL,
        metavar="WEIGHTS",
        none="those that ship for the encoder",
    ).field()
    size: int | str = Setting(
        480,
        "Short side of the frames that the encoder sees, never enlarged; or exactly WxH.",
        panel=MODEL,
        unit="pixels",
        low=16,
        high=8192,
        pattern=r"[1-9]\d{0,3}x[1-9]\d{0,3}",
        form="WxH",
    ).field()
    stride: int | Literal["auto"] | None = Setting(
        None,
        "Pixels per cell: the encoder's own, half of it, or auto, which goes by the size of the frames.",
        int,
        panel=MODEL,
        unit="pixels",
        low=1,
        high=64,
        words={"own": None, "auto": "auto"},
        metavar="N|own|auto",
    ).field()

    # Which frames are looked at.
    context: int = Setting(
        7,
        "How many recent frames are reference frames, besides the annotated ones.",
        panel=WINDOW,
        unit="frames",
        low=0,
        high=10_000,
        source="DINO: 7; Vondrick 3.3: 3",
    ).field()
    keep_annotated: bool = Setting(
        True, "Whether annotated frames stay reference frames.", panel=WINDOW, source="CRW"
    ).field()
    direction: Literal["both", "forward", "backward"] = Setting(
        "both",
        "Which way labels go from an annotated frame; both ways are fused between two.",
        panel=WINDOW,
        choices=("both", "forward", "backward"),
    ).field()

    # Where, and how sharply.
    radius: Radius = Setting(
        12,
        "How far from a cell its references may lie.",
        panel=WINDOW,
        unit="cells",
        low=0,
        high=FARTHEST,
        words=FULL,
        source="CRW, DINO: 12",
    ).field()
    annotated_radius: Radius | Literal["same"] = Setting(
        "same",
        "How far they may lie in annotated frames; same: as elsewhere.",
        int,
        panel=WINDOW,
        unit="cells",
        low=0,
        high=FARTHEST,
        words={**FULL, "same": "same"},
        source="CRW looks everywhere",
    ).field()
    window: Literal["square", "circle"] = Setting(
        "circle", "Shape of what lies within the radius.", panel=WINDOW, choices=("circle", "square"), source="CRW"
    ).field()
    similarity: Literal["cosine", "dot", "distance"] = Setting(
        "cosine",
        "How features are compared; distance is minus half the squared one.",
        panel=WINDOW,
        choices=("cosine", "dot", "distance"),
    ).field()
    temperature: float = Setting(
        0.07, "Divides similarity before the softmax.", panel=WINDOW, low=1e-6, high=1e6, source="CRW's code"
    ).field()
    topk: int | None = Setting(
        10,
        "Reference cells kept for each cell, over all frames together, before the softmax.",
        panel=WINDOW,
        unit="cells",
        low=1,
        high=100_000,
        words={"all": None},
        source="CRW",
    ).field()
    patch: int = Setting(
        1,
        "Side of the neighbourhood that is compared, odd; 1 compares single cells.",
        panel=WINDOW,
        unit="cells",
        low=1,
        high=31,
        odd=True,
    ).field()
    layer_mix: float = Setting(
        0.0,
        "Share of the layer before the last in the similarity, 0 to 1.",
        panel=MODEL,
        metavar="SHARE",
        low=0,
        high=1,
        former="shallow",
    ).field()
    center_features: bool | Literal["auto"] = Setting(
        False,
        "Subtract each frame's mean from its features before the cosine; auto where a cell has 8 pixels or more.",
        bool,
        panel=MODEL,
        words={"auto": "auto"},
        former="less_mean",
    ).field()
    lab_weight: float | Literal["auto"] = Setting(
        0.0,
        "Weight of colour (squared Lab distance, in units of 50) beside the features; 0: none; auto: by cell size.",
        float,
        panel=MODEL,
        metavar="WEIGHT|auto",
        low=0,
        high=1e6,
        words={"auto": "auto"},
        former="color",
    ).field()

    # Labels.
    label_scale: int = Setting(
        1,
        "Label cells on the side of a feature cell.",
        panel=WINDOW,
        low=1,
        high=16,
        only=PROBABLE,  # colours and texture go cell by cell
    ).field()
    edges: float = Setting(
        0.0,
        "Outlines of masks follow edges of the picture that are about this strong; 0: none.",
        panel=WINDOW,
        unit="Lab units",
        metavar="LAB",
        low=0,
        high=1000,
    ).field()
    certain: float = Setting(
        1.0,
        "A cell with at least this probability of one label counts as that label alone; 1 turns this off.",
        panel=WINDOW,
        metavar="SHARE",
        low=0.51,
        high=1,
        only=PROBABLE,
    ).field()
    refine: bool = Setting(
        False,
        "Search again where labels meet, among cells of half the size; resnet18 with cells of 8 pixels only.",
        panel=WINDOW,
        only=PROBABLE,
    ).field()
    search_all: bool = Setting(
        False,
        "Search for every cell, also where only one label can come out; the masks are the same.",
        panel=WINDOW,
        only=PROBABLE,
    ).field()
    feedback: Literal["soft", "hard"] = Setting(
        "soft",
        "Whether later frames see a prediction as probabilities (soft) or as decisions (hard).",
        panel=WINDOW,
        choices=("soft", "hard"),
        source="Vondrick 3.3: soft",
    ).field()

    # The machine.
    device: str = Setting("auto", "auto, cpu, cuda, cuda:1 or mps.", panel=MACHINE, metavar="NAME").field()
    dtype: Literal["auto", "float32", "bfloat16"] = Setting(
        "auto",
        "Number format of features; auto takes bfloat16 where the processor is fast at it.",
        panel=MACHINE,
        choices=("auto", "float32", "bfloat16"),
    ).field()
    threads: int | None = Setting(
        None, "CPU threads.", int, panel=MACHINE, low=1, high=1024, none="as many as torch finds"
    ).field()
    seed: int = Setting(0, "Seed of random weights.", panel=MACHINE, low=0, high=2**32 - 1).field()
    checkpoint: int = Setting(100, "Frames between saved states.", unit="frames", low=1, high=1_000_000).field()

    def __post_init__(self) -> None:
        check_settings(self)
        if self.context == 0 and not self.keep_annotated:
            raise ConfigError("context is 0 and annotated frames are not kept: there is nothing to look at")


# What `--preset tool` means, and the preset of weights that the objective `pretext` makes: tuned on davis_dev.
TOOL: Mapping[str, Any] = {
    "size": 480,
    "stride": "auto",
    "context": 7,
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
    "certain": 0.9,
    "refine": True,
    "feedback": "soft",
}


def resolve(*layers: Mapping[str, Any]) -> PropagateConfig:
    """Return the settings of several layers, the later ones winning over the earlier and over the defaults.

    Raises:
        ConfigError: an unknown setting, with the nearest name, or a value that it cannot take.
    """
    return PropagateConfig(**merge(PropagateConfig, layers))


def read_settings(path: str | Path) -> dict[str, Any]:
    """Return the settings of a YAML file, unchecked; a run.yaml gives those under its `settings` key.

    Size, nesting, references and numbers are bounded, so that no file takes more than a moment.

    Raises:
        ConfigError: the file cannot be read, or is not a mapping.
    """
    content = read_yaml(path)
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


def read_yaml(path: str | Path) -> Any:
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
