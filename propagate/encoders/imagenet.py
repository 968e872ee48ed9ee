"""ImageNet's weights of torchvision, when they are on this machine; nothing is downloaded."""

from __future__ import annotations

from pathlib import Path

from propagate.errors import WeightsError

NAME = "imagenet"  # what `weights` is called for them
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
