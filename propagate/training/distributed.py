"""One process or many: what `torchrun` says, and the wrapping that makes gradients the mean over all processes."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
from torch import distributed, nn

PATIENCE = timedelta(hours=12)  # others wait while the first prepares footage or validates


@dataclass(frozen=True)
class Processes:
    """This process among those of a run.

    Attributes:
        rank: from 0; only 0 writes files and talks.
        world: how many there are.
        local: its number on this machine, which picks its GPU.
    """

    rank: int = 0
    world: int = 1
    local: int = 0

    @property
    def first(self) -> bool:
        """Whether this is the one that writes."""
        return self.rank == 0


def processes() -> Processes:
    """Return what torchrun has put into the environment; one process alone without it."""
    number = os.environ.get
    return Processes(int(number("RANK", "0")), int(number("WORLD_SIZE", "1")), int(number("LOCAL_RANK", "0")))


@contextmanager
def joined(dist: Processes, device: torch.device) -> Iterator[None]:
    """Be with the other processes while inside, and leave them for good: nccl between GPUs, gloo between CPUs."""
    if dist.world == 1:
        yield
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    _join(dist)
    try:
        yield
    finally:
        distributed.destroy_process_group()


def first_alone(dist: Processes, work: Callable[[], None]) -> None:
    """Let the first process do something while the others wait for it."""
    if dist.world > 1:
        _join(dist)
    if dist.first:
        work()
    if dist.world > 1:
        distributed.all_reduce(torch.zeros(()))  # on the CPU: no GPU is chosen yet


def _join(dist: Processes) -> None:
    """Join the other processes, once: who joins again may meet the addresses of the first time."""
    if not distributed.is_initialized():
        kind = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
        distributed.init_process_group(kind, rank=dist.rank, world_size=dist.world, timeout=PATIENCE)


def wrapped(module: nn.Module, dist: Processes, device: torch.device) -> nn.Module:
    """Return the module to call in a step; between GPUs batch norm sees the whole batch."""
    if dist.world == 1:
        return module
    if device.type == "cuda":
        module = share_batch_norm(module)
    warnings.filterwarnings("ignore", message="Grad strides do not match")  # channels last: said once, costs little
    return nn.parallel.DistributedDataParallel(module, device_ids=[device.index] if device.type == "cuda" else None)


def share_batch_norm(module: nn.Module) -> nn.Module:
    """Return the module with batch norms that take the statistics of all processes' clips; its tensors stay the same.

    They exist between GPUs only; on CPUs each process normalises by its own clips.
    """
    shared: nn.Module = nn.SyncBatchNorm.convert_sync_batchnorm(module)
    return shared


def from_first(value: float, dist: Processes, device: torch.device) -> float:
    """Return the first process's value, so that all do the same; clocks differ."""
    if dist.world == 1:
        return value
    shared = torch.tensor(value, dtype=torch.float64, device=device)
    distributed.broadcast(shared, src=0)
    return float(shared.item())


def any_of(flag: bool, dist: Processes, device: torch.device) -> bool:
    """Return whether the flag is up in any process, so that all leave together."""
    if dist.world == 1:
        return flag
    raised = torch.tensor(float(flag), device=device)
    distributed.all_reduce(raised, op=distributed.ReduceOp.MAX)
    return bool(raised.item())
