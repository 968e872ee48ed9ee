"""Files of weights: found by name, listed, described; without torch."""

from __future__ import annotations

import difflib
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from propagate.encoders.weights_file import Header, file_digest, is_weights, read_forms, read_header
from propagate.errors import WeightsError

IMAGENET = "imagenet"  # what `weights` is called for them
IMAGENET_FILES: Mapping[str, tuple[str, ...]] = {  # torchvision's names, the papers' weights first
    "resnet18": ("resnet18-f37072fd.pth",),
    "resnet50": ("resnet50-0676ba61.pth", "resnet50-11ad3fa6.pth"),
}


def imagenet_file(encoder: str | None) -> Path:
    """Return torchvision's file of an encoder's ImageNet weights in torch's own cache.

    Raises:
        WeightsError: the encoder has none, or its file is not on this machine; both names and the folder are said.
    """
    if encoder is None or encoder not in IMAGENET_FILES:
        raise WeightsError(
            f"there are no ImageNet weights for {encoder!r}", hint=f"only for {', '.join(IMAGENET_FILES)}"
        )
    names = IMAGENET_FILES[encoder]
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    folder = Path(os.environ.get("TORCH_HOME") or Path(cache) / "torch").expanduser() / "hub" / "checkpoints"
    for name in names:
        if is_weights(folder / name):
            return folder / name
    raise WeightsError(
        f"ImageNet weights of {encoder} are not on this machine: {folder} holds neither {' nor '.join(names)}",
        hint=f"put one there, or give {encoder}:FILE",
    )


SUFFIX = ".safetensors"
SHIPPED: Mapping[str, str] = {  # encoder -> its own weights, taken when none are named
    "resnet18": "dropped_channel",
    "colorization": "colorization",
    "corrflow": "corrflow",
    "timecycle-r18": "timecycle",
}
FORMER = {"propagate": "dropped_channel"}  # older names of weights, which are found but not listed


@dataclass(frozen=True)
class WeightsInfo:
    """What is known of a file of weights.

    Attributes:
        path: the file.
        header: what it says of itself.
        digest: SHA-256 of the file.
        parameters: how many values were trained.
        size: bytes.
        dtype: number formats of its values, such as "float16".
    """

    path: Path
    header: Header
    digest: str
    parameters: int
    size: int
    dtype: str


def find_weights(weights: str | Path, *, encoder: str | None = None) -> Path:
    """Return the file that `weights` means.

    Args:
        weights: a path (it has a slash or a suffix), or a name: NAME.safetensors of the installed package, then of
            `weights/` in the checkout that holds the package; "imagenet" is torchvision's file in torch's cache.
        encoder: whose weights they shall be; only "imagenet" asks.

    Raises:
        WeightsError: there is no such file; the names that exist are listed.
    """
    if isinstance(weights, Path) or "/" in weights or "\\" in weights or Path(weights).suffix:
        if not is_weights(weights):
            raise WeightsError(f"{weights}: there is no such file of weights")
        return Path(weights)
    if weights == IMAGENET:
        return imagenet_file(encoder)
    for name in (weights, FORMER.get(weights, weights)):
        for folder in weights_folders():
            if is_weights(folder / f"{name}{SUFFIX}"):
                return folder / f"{name}{SUFFIX}"
    names = [file.stem for folder in weights_folders() for file in sorted(folder.glob(f"*{SUFFIX}"))]
    near = difflib.get_close_matches(weights, names, n=1)
    known = f"there are {', '.join(names)}" if names else "none are installed"
    raise WeightsError(f"no weights are called {weights!r}", hint=f"did you mean {near[0]!r}?" if near else known)


def weights_folders() -> tuple[Path, ...]:
    """Return the folders in which names are looked up: the package's, then the checkout's if there is one."""
    package = Path(__file__).resolve().parents[1]
    checkout = (package.parent / "weights",) if (package.parent / "pyproject.toml").is_file() else ()
    return (package / "_weights", *checkout)


def list_weights() -> tuple[WeightsInfo, ...]:
    """Return what is known of every file that has a name, in the order in which names are looked up."""
    return tuple(describe(file) for folder in weights_folders() for file in sorted(folder.glob(f"*{SUFFIX}")))


def describe(path: str | Path) -> WeightsInfo:
    """Return what is known of a file of weights, without its network.

    Raises:
        WeightsError: the file is missing, damaged or not ours.
    """
    header, forms = read_header(path), read_forms(path)
    parameters = sum(math.prod(form.shape) for name, form in forms.items() if "running_" not in name)
    formats = ", ".join(sorted({form.dtype for form in forms.values()}))
    return WeightsInfo(Path(path), header, file_digest(path), parameters, Path(path).stat().st_size, formats)


def shipped_weights(encoder: str) -> str | None:
    """Return the name of the weights that come with the package for an encoder, None when there are none."""
    name = SHIPPED.get(encoder)
    there = name is not None and any((folder / f"{name}{SUFFIX}").is_file() for folder in weights_folders())
    return name if there else None
