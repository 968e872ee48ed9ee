"""`propagate doctor`: what is installed, and whether it works here."""

from __future__ import annotations

import time
from typing import Any

import typer

import propagate
from propagate.cli import console
from propagate.cli.options import Json

PARTS = ("torch", "torchvision", "av", "numpy", "pillow", "scipy", "scikit-image", "safetensors", "typer", "rich")


def doctor(*, json: Json = False) -> None:
    """Say which versions, devices, codecs and weights there are, and carry a square through a tiny clip.

    Example:  propagate doctor
    """
    import platform

    found = {
        "propagate": propagate.__version__,
        "python": platform.python_version(),
        "system": platform.platform(),
        **{name: _version(name) for name in PARTS},
        **_machine(),
        "codecs": _codecs(),
        "weights": _weights(),
        "self-test": self_test(),
    }
    if json:
        console.show_json(found)
    else:
        for name, value in found.items():
            console.show(f"{name:<14} {', '.join(value) or 'none' if isinstance(value, list) else value}")
    if not str(found["self-test"]).startswith("passed"):
        raise typer.Exit(1)


def say_versions() -> None:
    """Print the versions of everything that the package stands on, a line each."""
    import platform

    console.show(f"python {platform.python_version()}")
    for name in PARTS:
        console.show(f"{name} {_version(name)}")


def _version(name: str) -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(name)
    except PackageNotFoundError:
        return "missing"


def _machine() -> dict[str, Any]:
    import os

    import torch

    from propagate.device import fast_bfloat16

    devices = ["cpu"]
    devices += [f"cuda:{n} ({torch.cuda.get_device_name(n)})" for n in range(torch.cuda.device_count())]
    devices += ["mps"] if torch.backends.mps.is_available() else []
    return {
        "devices": devices,
        "cores": os.cpu_count() or 1,
        "threads": torch.get_num_threads(),
        "bfloat16": "fast" if fast_bfloat16(torch.device("cpu")) else "slow: float32 is used",
    }


def _codecs() -> list[str]:
    from propagate.video.encoder import available_codecs

    return list(available_codecs())


def _weights() -> list[str]:
    from propagate.encoders.library import list_weights

    return [one.path.stem for one in list_weights()]


def self_test() -> str:
    """Return "passed in N s", or what went wrong: a red square on noise is carried over six frames."""
    import numpy as np

    from propagate.encoders.weights import load_encoder
    from propagate.engine.pipeline import load_label_type, run
    from propagate.values import Annotation, Frame

    begin = time.monotonic()
    noise = np.random.default_rng(0).integers(0, 120, (64, 96, 3), dtype=np.uint8)
    masks = np.zeros((6, 64, 96), np.uint8)
    for step, mask in enumerate(masks):
        mask[16:48, 8 + 8 * step : 40 + 8 * step] = 1
    pictures = [np.where(mask[..., None] > 0, np.array([220, 40, 30], np.uint8), noise) for mask in masks]
    frames = [Frame(index, index / 24, rgb, f"{index:05d}") for index, rgb in enumerate(pictures)]
    label_type, encoder = load_label_type("masks", (1,)), load_encoder("rawcolor")
    *_, last = run(frames, [Annotation(0, masks[0], (1,))], label_type=label_type, encoder=encoder)
    overlap = np.logical_and(last.array, masks[-1]).sum() / np.logical_or(last.array, masks[-1]).sum()
    if overlap < 0.8:
        return f"failed: a square was carried with an overlap of {overlap:.2f}, expected 0.8"
    return f"passed in {time.monotonic() - begin:.1f} s, overlap {overlap:.2f}"
