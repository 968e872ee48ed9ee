"""Files of weights: found by name, listed, described."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from propagate.encoders.weights_file import Header, file_digest, read_header, read_tensors
from propagate.errors import WeightsError

IMAGENET = "imagenet"  # what `weights` is called for them
ENUMS = {"resnet18": "ResNet18_Weights", "resnet50": "ResNet50_Weights"}  # the encoder's name -> torchvision's
VERSIONS = ("IMAGENET1K_V1", "IMAGENET1K_V2")  # the papers' weights first


def imagenet_file(encoder: str | None) -> Path:
    """Return torchvision's file of an encoder's ImageNet weights in torch's own cache.

    Raises:
        WeightsError: the encoder has none, or its file is not on this machine; both names and the folder are said.
    """
    import torch
    import torchvision

    if encoder not in ENUMS:
        raise WeightsError(f"there are no ImageNet weights for {encoder!r}", hint=f"only for {', '.join(ENUMS)}")
    enum = getattr(torchvision.models, ENUMS[encoder])
    names = [Path(str(enum[version].url)).name for version in VERSIONS if version in enum.__members__]
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    for name in names:
        if (folder / name).is_file():
            return folder / name
    raise WeightsError(
        f"ImageNet weights of {encoder} are not on this machine: {folder} holds neither {' nor '.join(names)}",
        hint=f"put one there, or give {encoder}:FILE",
    )


SUFFIX = ".safetensors"
SHIPPED: Mapping[str, str] = {  # encoder -> its own weights, taken when none are named
    "resnet18": "propagate",
    "colorization": "colorization",
    "corrflow": "corrflow",
    "timecycle-r18": "timecycle",
}


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
        if not Path(weights).is_file():
            raise WeightsError(f"{weights}: there is no such file of weights")
        return Path(weights)
    if weights == IMAGENET:
        return imagenet_file(encoder)
    for folder in weights_folders():
        if (folder / f"{weights}{SUFFIX}").is_file():
            return folder / f"{weights}{SUFFIX}"
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
    header, tensors = read_header(path), read_tensors(path)
    parameters = sum(t.numel() for name, t in tensors.items() if "running_" not in name)
    formats = ", ".join(sorted({str(t.dtype).removeprefix("torch.") for t in tensors.values()}))
    return WeightsInfo(Path(path), header, file_digest(path), parameters, Path(path).stat().st_size, formats)


def shipped_weights(encoder: str) -> str | None:
    """Return the name of the weights that come with the package for an encoder, None when there are none."""
    name = SHIPPED.get(encoder)
    there = name is not None and any((folder / f"{name}{SUFFIX}").is_file() for folder in weights_folders())
    return name if there else None
