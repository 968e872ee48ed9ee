"""`propagate doctor`: what is installed, whether it works here, and what is wrong with the machine."""

from __future__ import annotations

import os
import platform
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import typer

import propagate
from propagate.cli import console
from propagate.cli.options import Json
from propagate.errors import PropagateError, translated

T = TypeVar("T")
PARTS = ("torch", "torchvision", "av", "numpy", "pillow", "scipy", "scikit-image", "safetensors", "typer", "rich")
LITTLE = 1e9  # bytes of free disk below which that is said
OVERLAP = 0.8  # of the square that the self-test follows


def doctor(*, json: Json = False) -> None:
    """Check that everything works on this machine: versions, devices, codecs, weights, and a short run as a test.

    What is wrong is said at the end, a line each, and the exit code is 1.

    Example:  propagate doctor
    """
    problems: list[str] = []
    found = _examine(problems)
    if json:
        console.show_json({**found, "problems": problems})
    else:
        for name, value in found.items():
            console.show(f"{name:<14} {', '.join(map(str, value)) or 'none' if isinstance(value, list) else value}")
        for problem in problems:
            console.show(f"{'problem':<14} {problem}")
    if problems:
        raise typer.Exit(1)


def _examine(problems: list[str]) -> dict[str, Any]:
    """Return what is here, by name; what is wrong is added to `problems`."""

    def tried(name: str, check: Callable[[], T], otherwise: T) -> T:
        try:
            return check()
        except Exception as error:  # whatever a broken installation raises: the other checks go on
            problems.append(f"{name}: {translated(error)}")
            return otherwise

    versions = {name: _version(name) for name in PARTS}
    problems += [f"{name} is not installed" for name, version in versions.items() if version == "missing"]
    machine: dict[str, Any] = {"device": "unknown"}
    none: list[str] = []
    found = {
        "propagate": propagate.__version__,
        "python": platform.python_version(),
        "system": platform.platform(),
        **versions,
        **tried("torch", _machine, machine),
        "codecs": tried("codecs", _codecs, none),
        "weights": tried("weights", _weights, none),
        "free disk": tried("disk", _free_disk, "unknown"),
    }
    return {**found, "self-test": tried("self-test", self_test, "failed")}


def say_versions() -> None:
    """Print the versions of everything that the package stands on, a line each."""
    console.show(f"python {platform.python_version()}")
    for name in PARTS:
        console.show(f"{name} {_version(name)}")


def _version(name: str) -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(name)
    except PackageNotFoundError:
        return "missing"


def _chosen_device() -> Any:
    """Return the device that a command without `--device` takes."""
    from propagate.device import choose_device

    return choose_device(os.environ.get("PROPAGATE_DEVICE") or "auto")


def _machine() -> dict[str, Any]:
    import torch

    from propagate.device import fast_bfloat16

    devices = ["cpu"]
    devices += [f"cuda:{n} ({torch.cuda.get_device_name(n)})" for n in range(torch.cuda.device_count())]
    devices += ["mps"] if torch.backends.mps.is_available() else []
    device = _chosen_device()
    return {
        "devices": devices,
        "device": str(device),
        "cores": os.cpu_count() or 1,
        "threads": torch.get_num_threads(),
        "bfloat16": "fast" if fast_bfloat16(device) else "slow: float32 is used",
    }


def _codecs() -> list[str]:
    from propagate.video.encoder import available_codecs

    found = list(available_codecs())
    if "h264" not in found:
        raise PropagateError("this PyAV cannot write h264", hint="colorize and texture need --codec ffv1 then")
    return found


def _weights() -> list[str]:
    from propagate.encoders.library import list_weights

    found = [one.path.stem for one in list_weights()]
    if not found:
        hint = "install propagate again; until then --encoder rawcolor needs none"
        raise PropagateError("no file of weights came with this installation", hint=hint)
    return found


def _free_disk() -> str:
    free = shutil.disk_usage(Path.cwd()).free
    if free < LITTLE:
        raise PropagateError(f"only {free / 1e6:.0f} MB are free in {Path.cwd()}")
    return f"{free / 1e9:.0f} GB"


def self_test() -> str:
    """Return how a short run went, on the device that commands take: a red square moves over noise for six frames.

    Raises:
        PropagateError: the square was lost.
    """
    import numpy as np

    from propagate.config import resolve
    from propagate.encoders.weights import load_encoder
    from propagate.engine.pipeline import load_label_type, run
    from propagate.values import Annotation, Frame

    begin, device = time.monotonic(), _chosen_device()
    noise = np.random.default_rng(0).integers(0, 120, (64, 96, 3), dtype=np.uint8)
    masks = np.zeros((6, 64, 96), np.uint8)
    for step, mask in enumerate(masks):
        mask[16:48, 8 + 8 * step : 40 + 8 * step] = 1
    pictures = [np.where(mask[..., None] > 0, np.array([220, 40, 30], np.uint8), noise) for mask in masks]
    frames = [Frame(index, index / 24, rgb, f"{index:05d}") for index, rgb in enumerate(pictures)]
    label_type, encoder = load_label_type("masks", (1,)), load_encoder("rawcolor", device=device)
    config = resolve(encoder.preset, {"device": str(device)})
    *_, last = run(frames, [Annotation(0, masks[0], (1,))], label_type=label_type, encoder=encoder, config=config)
    overlap = np.logical_and(last.array, masks[-1]).sum() / np.logical_or(last.array, masks[-1]).sum()
    if overlap < OVERLAP:
        raise PropagateError(f"a square was followed with an overlap of {overlap:.2f}, expected at least {OVERLAP}")
    return f"passed on {device} in {time.monotonic() - begin:.1f} s, overlap {overlap:.2f}"
