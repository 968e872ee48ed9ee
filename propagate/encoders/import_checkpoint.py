"""Public checkpoints of CRW, CorrFlow, MAST, TimeCycle, UVC, VFS and torchvision, converted to weights of ours."""

from __future__ import annotations

import argparse
import contextlib
import pickle
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from propagate.encoders.build import UNUSED, build_from_tensors
from propagate.encoders.protocol import Encoder
from propagate.encoders.weights_file import is_weights, listed
from propagate.errors import WeightsError

# CRW keeps the annotated frame global, looks at 20 more, T 0.05 (its README).
CRW_PRESET = {"context": 20, "annotated_radius": None, "temperature": 0.05}
# MAST looks at frames {0, 5} and {i, i-2, i-4} within 12 cells; the nearest window here is the annotated frame and 5.
MAST_PRESET = {"context": 5, "keep_annotated": True, "radius": 12}
UVC_PRESET = {"radius": None, "topk": 5, "temperature": 1.0, "similarity": "dot"}
VFS_PRESET = {"context": 20}  # T 0.07, circle 12, top 10, as the tool

TORCHVISION = ((r"(conv1|bn1|layer\d)\.", r"trunk.\1."),)
CORRFLOW = (
    (r"feature_extraction\.conv1\.0\.", "trunk.conv1."),
    (r"feature_extraction\.conv1\.1\.", "trunk.bn1."),
    (r"feature_extraction\.(layer\d\.\d)\.shortcut\.", r"trunk.\1.downsample."),
    (r"feature_extraction\.(layer\d\.\d)\.left\.0\.", r"trunk.\1.conv1."),
    (r"feature_extraction\.(layer\d\.\d)\.left\.1\.", r"trunk.\1.bn1."),
    (r"feature_extraction\.(layer\d\.\d)\.left\.3\.", r"trunk.\1.conv2."),
    (r"feature_extraction\.(layer\d\.\d)\.left\.4\.", r"trunk.\1.bn2."),
    (r"post_convolution\.", "project."),
)
CRW = (
    (r"encoder\.model\.((?:layer\d\.\d\.)?conv\d)\.(?:1\.)?weight", r"trunk.\1.weight"),  # "conv1.1": after a padding
    (r"encoder\.model\.", "trunk."),
)
TIMECYCLE = ((r"encoderVideo\.", "trunk."), (r"afterconv1\.", "project."))
UVC = ((r"gray_encoder\.", "trunk."),)
VFS = (
    (r"backbone\.conv1\.conv\.", "trunk.conv1."),
    (r"backbone\.conv1\.bn\.", "trunk.bn1."),
    (r"backbone\.(layer\d\.\d)\.conv(\d)\.conv\.", r"trunk.\1.conv\2."),
    (r"backbone\.(layer\d\.\d)\.conv(\d)\.bn\.", r"trunk.\1.bn\2."),
    (r"backbone\.(layer\d\.\d)\.downsample\.conv\.", r"trunk.\1.downsample.0."),
    (r"backbone\.(layer\d\.\d)\.downsample\.bn\.", r"trunk.\1.downsample.1."),
)


@dataclass(frozen=True)
class Layout:
    """One source's way to name tensors; patterns are regular expressions on keys without a leading "module.".

    Attributes:
        source: who publishes it.
        encoder: the entry of `ENCODERS` that it fits.
        mark: a whole key that only this source has.
        renames: (pattern, replacement) of a key's beginning; the first that matches is applied.
        dropped: a key's beginning that is expected and not needed.
        settings: constructor arguments of the encoder.
        preset: settings of a run that differ from the encoder's preset.
        parallel: the keys begin with "module.", or don't; None where both occur.
        note: what the user should know.
    """

    source: str
    encoder: str
    mark: str
    renames: tuple[tuple[str, str], ...]
    dropped: str
    settings: Mapping[str, object] = field(default_factory=dict)
    preset: Mapping[str, object] = field(default_factory=dict)
    parallel: bool | None = None
    note: str = ""

    def rename(self, key: str) -> str:
        """Return our name of `key`; a key that no pattern matches stays as it is."""
        for pattern, replacement in self.renames:
            if re.match(pattern, key):
                return re.sub("^" + pattern, replacement, key)
        return key

    def drops(self, key: str) -> bool:
        """Return whether `key` is expected and not needed."""
        return re.match(self.dropped, key) is not None


_SAME_KEYS = "CorrFlow and MAST have the same keys, told apart by the prefix 'module.'; --source says otherwise"
_TIMECYCLE_DROPPED = r"encoderVideo\.(layer4|fc)\.|afterconv[34]_trans\.|linear\d?\.|geometricTnf"
LAYOUTS = (
    Layout(
        "CRW",
        "resnet18",
        r"encoder\.model\.layer1\.1\.conv2(\.1)?\.weight",
        CRW,
        r"encoder\.model\.(layer4|fc)\.|selfsim_fc\.",
        settings={"layers": 3, "padding": "reflect", "color": "rgb"},
        preset=CRW_PRESET,
        note="reflect padding, as in the published model",
    ),
    Layout(
        "CorrFlow",
        "corrflow",
        r"feature_extraction\.layer4\.1\.left\.3\.weight",
        CORRFLOW,
        r"$^",
        settings={"color": "rgb"},
        parallel=True,
        note=_SAME_KEYS,
    ),
    Layout(
        "MAST",
        "corrflow",
        r"feature_extraction\.layer4\.1\.left\.3\.weight",
        CORRFLOW,
        r"$^",
        settings={"color": "lab"},
        preset=MAST_PRESET,
        parallel=False,
        note=_SAME_KEYS,
    ),
    Layout("TimeCycle", "timecycle", r"encoderVideo\.layer1\.0\.conv3\.weight", TIMECYCLE, _TIMECYCLE_DROPPED),
    Layout("TimeCycle", "timecycle-r18", r"encoderVideo\.layer1\.1\.conv2\.weight", TIMECYCLE, _TIMECYCLE_DROPPED),
    Layout(
        "UVC",
        "resnet18",
        r"gray_encoder\.layer4\.1\.conv2\.weight",
        UVC,
        r"(rgb_encoder|decoder|normalize)\.|gray_encoder\.fc\.",
        settings={"layers": 4, "padding": "zeros", "color": "lightness"},
        preset=UVC_PRESET,
    ),
    Layout(
        "VFS",
        "resnet50",
        r"backbone\.layer1\.0\.conv3\.conv\.weight",
        VFS,
        r"backbone\.(layer4|fc)\.|(img|cls)_head\.",
        preset=VFS_PRESET,
    ),
    Layout(
        "VFS",
        "resnet18",
        r"backbone\.layer1\.1\.conv2\.conv\.weight",
        VFS,
        r"backbone\.(layer4|fc)\.|(img|cls)_head\.",
        settings={"layers": 3, "padding": "zeros", "color": "rgb"},
        preset=VFS_PRESET,
    ),
    Layout("torchvision", "resnet50", r"layer1\.0\.conv3\.weight", TORCHVISION, r"(layer4|fc)\."),
    Layout(
        "torchvision",
        "resnet18",
        r"layer1\.1\.conv2\.weight",
        TORCHVISION,
        r"(layer4|fc)\.",
        settings={"layers": 3, "padding": "zeros", "color": "rgb"},
    ),
)

# What is recognised and refused: a key's pattern, and why.
REFUSALS = (
    (
        r"(.*\.)?(patch_embed\.|blocks\.\d+\.attn\.)",
        "it is a vision transformer (DINO, MAE or the like); propagate has convolutional encoders only",
    ),
    (
        r"conv(6|11)\.weight$",
        "it is UVC's colour auto-encoder (encoder_single_gpu.pth, decoder_single_gpu.pth), not its tracker, which is"
        " checkpoint_latest.pth.tar",
    ),
    (r"encoder_q\.", "it is a MoCo checkpoint, a layout that propagate does not import"),
    (r"encoder\.model\.layer1\.0\.conv3\.", "it is a walk trained on a ResNet-50; only CRW's ResNet-18 is imported"),
)


def find_layout(keys: Iterable[str], *, parallel: bool, source: str | None = None) -> Layout:
    """Return the layout that keys are of.

    Args:
        keys: without a leading "module.".
        parallel: they had it.
        source: only this source's layouts, whatever the prefix.

    Raises:
        WeightsError: the layout is unknown, or known and refused.
    """
    keys = list(keys)
    for pattern, reason in REFUSALS:
        if any(re.match(pattern, key) for key in keys):
            raise WeightsError(reason)
    for layout in LAYOUTS:
        wanted = layout.parallel in (None, parallel) if source is None else layout.source.lower() == source.lower()
        if wanted and any(re.fullmatch(layout.mark, key) for key in keys):
            return layout
    sources = ", ".join(dict.fromkeys(layout.source for layout in LAYOUTS))
    found = ", ".join(sorted(keys)[:3])
    what = f"of {source}" if source else "of a known layout"
    raise WeightsError(f"its keys are not {what}: {found}, …", hint=f"propagate imports {sources}")


CONTAINERS = ("state_dict", "model", "teacher")
# What is known to lie beside the network.
BESIDE = ("optimizer", "lr_scheduler", "scheduler", "scaler", "amp", "ema", "student")


@dataclass(frozen=True)
class ImportReport:
    """What an import did.

    Attributes:
        source: who publishes such files.
        encoder: the entry of `ENCODERS` that they became.
        settings: its constructor arguments.
        used: how many tensors were taken.
        dropped: keys that were expected and not needed, in the file's order; entries beside the network first.
        note: what the user should know, or "".
    """

    source: str
    encoder: str
    settings: Mapping[str, object]
    used: int
    dropped: tuple[str, ...]
    note: str


def import_checkpoint(path: str | Path, *, source: str | None = None) -> tuple[Encoder, ImportReport]:
    """Return the encoder that a public checkpoint holds, trainable, with its source's preset.

    Args:
        path: a file of torch.save.
        source: read it as this source's (CorrFlow and MAST have the same keys).

    Raises:
        WeightsError: it cannot be loaded safely, its layout is unknown or refused, or keys are missing or unknown.
    """
    network, beside = _network(load_safely(path), path=path)
    parallel = any(key.startswith("module.") for key in network)
    network = {key.removeprefix("module."): tensor for key, tensor in network.items()}
    try:
        layout, network = _find_wrapped(network, parallel=parallel, source=source)
    except WeightsError as error:
        raise WeightsError(f"{path}: cannot be imported: {error}") from error
    tensors, dropped = _renamed(network, layout=layout)
    where = f"{path}: taken for {layout.source}'s {layout.encoder}"
    encoder = build_from_tensors(layout.encoder, tensors, settings=layout.settings, where=where)
    encoder.preset = {**encoder.preset, **layout.preset}
    report = ImportReport(
        layout.source, layout.encoder, layout.settings, len(tensors), (*beside, *dropped), layout.note
    )
    return encoder, report


_WRAPPERS = (
    "backbone.",
    "encoder.",
    "model.",
    "net.",
)  # what trainers put before the names of a network that they hold


def _find_wrapped(
    network: dict[str, Tensor], *, parallel: bool, source: str | None
) -> tuple[Layout, dict[str, Tensor]]:
    """Return the layout of tensors and their names in it, without a wrapper's prefix where that makes them known."""
    try:
        return find_layout(network, parallel=parallel, source=source), network
    except WeightsError:
        for wrapper in _WRAPPERS:
            inner = {key.removeprefix(wrapper): t for key, t in network.items() if key.startswith(wrapper)}
            with contextlib.suppress(WeightsError):
                return find_layout(inner, parallel=parallel, source=source), inner
        raise


_WHOLE = "fetch it again; it should be the .pth, .pt or .tar file that its authors publish"


def load_safely(path: str | Path) -> object:
    """Return what torch.save wrote, without letting the file run code.

    Raises:
        WeightsError: it is missing, damaged, not a file of torch.save, or holds more than plain data.
    """
    if not is_weights(path):
        raise WeightsError(f"{path}: there is no such checkpoint")
    try:
        with torch.serialization.safe_globals([argparse.Namespace]):  # CRW saves its arguments; plain data
            return torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read: {error.strerror or error}") from error
    except pickle.UnpicklingError as error:
        found = re.search(r"GLOBAL ([\w.]+)", str(error))
        if found is not None:
            what = f"{path}: cannot be loaded without running its code ({found[1]}), so it is not"
            raise WeightsError(what, hint="save the network's state_dict() alone, and import that") from error
        raise WeightsError(f"{path}: is not a checkpoint of torch.save", hint=_WHOLE) from error
    except Exception as error:  # torch and pickle fail on damaged bytes in every way there is
        raise WeightsError(f"{path}: is not a whole checkpoint of torch.save", hint=_WHOLE) from error


def _network(content: object, *, path: str | Path) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Return the tensors of the network in a checkpoint, and the names of the entries beside it."""
    if not isinstance(content, Mapping):
        raise WeightsError(f"{path}: holds a {type(content).__name__}, expected a dictionary of tensors")
    name = next((name for name in CONTAINERS if isinstance(content.get(name), Mapping)), None)
    network: Mapping[Any, Any] = content if name is None else content[name]
    other = [str(key) for key, value in network.items() if not (isinstance(key, str) and isinstance(value, Tensor))]
    if other or not network:
        raise WeightsError(f"{path}: expected only tensors in it, found {listed(other) or 'nothing'}")
    beside = tuple(str(key) for key in content if name is not None and key != name)
    strange = [key for key in beside if key not in BESIDE and _holds_tensors(content[key])]
    if strange:
        raise WeightsError(f"{path}: holds tensors beside {name!r} that propagate does not know: {listed(strange)}")
    return dict(network), beside


def _holds_tensors(value: object) -> bool:
    """Return whether `value` is a dictionary with a tensor in it: a second network."""
    return isinstance(value, Mapping) and any(isinstance(item, Tensor) for item in value.values())


def _renamed(network: Mapping[str, Tensor], *, layout: Layout) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Return tensors by our names, 3-D kernels of one frame made 2-D, and the keys that the layout drops."""
    dropped = tuple(key for key in network if layout.drops(key))
    kept = {key: t for key, t in network.items() if not layout.drops(key) and not key.endswith(UNUSED)}
    flat = {key: t.squeeze(2) if t.ndim == 5 and t.shape[2] == 1 else t for key, t in kept.items()}
    return {layout.rename(key): tensor for key, tensor in flat.items()}, dropped
