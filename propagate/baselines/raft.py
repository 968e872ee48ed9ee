"""RAFT (Teed and Deng, 2020) by torchvision, in FlowNet2's place, when its weights are on this machine."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from propagate.baselines.warp_propagation import Estimate
from propagate.errors import WeightsError

UPDATES = 12  # torchvision's default
LEAST_SIDE = 128  # pixels: its smallest correlation volume has 2 x 2 cells of 64
CELL = 8  # pixels: sides must be multiples


def load_raft() -> tuple[Estimate, str]:
    """Return RAFT as an estimator, the large network before the small one, and its key.

    Raises:
        WeightsError: neither's weights are on this machine (nothing is downloaded), or they are damaged.
    """
    from torchvision.models import optical_flow

    folder = Path(torch.hub.get_dir()) / "checkpoints"
    versions = [optical_flow.Raft_Large_Weights.DEFAULT, optical_flow.Raft_Small_Weights.DEFAULT]
    builders = [optical_flow.raft_large, optical_flow.raft_small]
    names = [Path(str(version.url)).name for version in versions]
    for name, build in zip(names, builders, strict=True):
        if (folder / name).is_file():
            network = build(weights=None)
            _load(network, folder / name)
            return raft(network), f"{name} updates={UPDATES}"
    raise WeightsError(
        f"RAFT's weights are not on this machine: {folder} holds neither {' nor '.join(names)}",
        hint=f"put one there, from {str(versions[0].url).rsplit('/', 1)[0]}, or take the estimator tvl1",
    )


def raft(network: torch.nn.Module) -> Estimate:
    """Return an estimator of a network (target, reference (1, 3, h, w) in [-1, 1]) -> flows (1, 2, h, w)."""
    network = network.eval().requires_grad_(False)

    def estimate(target: NDArray[np.uint8], reference: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the flow (2, H, W), dx and dy in pixels: target pixel p shows reference pixel p + flow(p)."""
        height, width = target.shape[:2]
        with torch.inference_mode():
            flow = network(_padded(target), _padded(reference), num_flow_updates=UPDATES)[-1][0]
        return np.ascontiguousarray(flow[:, :height, :width].numpy())

    return estimate


def _padded(rgb: NDArray[np.uint8]) -> Tensor:
    """Return a picture as (1, 3, h, w) in [-1, 1], its border repeated right and below to sides that RAFT takes."""
    height, width = (max(LEAST_SIDE, -(-side // CELL) * CELL) for side in rgb.shape[:2])
    padding = ((0, height - rgb.shape[0]), (0, width - rgb.shape[1]), (0, 0))
    picture = torch.from_numpy(np.pad(rgb, padding, mode="edge")).permute(2, 0, 1)[None]
    return picture.float() / 127.5 - 1


def _load(network: torch.nn.Module, path: Path) -> None:
    """Load a file of weights into a network.

    Raises:
        WeightsError: the file is damaged or of another network.
    """
    try:
        network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    except (OSError, RuntimeError, EOFError, ValueError, TypeError, KeyError, pickle.UnpicklingError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise WeightsError(f"{path}: cannot be read as RAFT's weights: {reason}", hint="fetch it again") from error
