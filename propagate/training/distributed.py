"""One process or many: what `torchrun` says, and the wrapping that makes gradients the mean over all processes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
from torch import distributed, nn


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
def joined(own: Processes, device: torch.device) -> Iterator[None]:
    """Join the other processes while inside: nccl between GPUs, gloo between CPUs."""
    if own.world == 1:
        yield
        return
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo", rank=own.rank, world_size=own.world)
    try:
        yield
    finally:
        distributed.destroy_process_group()


def first_alone(own: Processes, work: Callable[[], None]) -> None:
    """Let the first process do something while the others wait for it."""
    if own.world == 1:
        work()
        return
    distributed.init_process_group("gloo", rank=own.rank, world_size=own.world, timeout=timedelta(hours=12))
    try:
        if own.first:
            work()
        distributed.barrier()
    finally:
        distributed.destroy_process_group()


def wrapped(module: nn.Module, own: Processes, device: torch.device) -> nn.Module:
    """Return the module to call in a step; between GPUs batch norm sees the whole batch."""
    if own.world == 1:
        return module
    if device.type == "cuda":
        module = nn.SyncBatchNorm.convert_sync_batchnorm(module)
    return nn.parallel.DistributedDataParallel(module, device_ids=[device.index] if device.type == "cuda" else None)


def any_of(flag: bool, own: Processes, device: torch.device) -> bool:
    """Return whether the flag is up in any process, so that all leave together."""
    if own.world == 1:
        return flag
    raised = torch.tensor(float(flag), device=device)
    distributed.all_reduce(raised, op=distributed.ReduceOp.MAX)
    return bool(raised.item())
