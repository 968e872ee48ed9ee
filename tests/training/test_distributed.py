"""Batch norm over processes: every one is replaced, in place, and what is trained and saved stays the same."""

from __future__ import annotations

import torch
from torch import nn

from propagate.encoders.build import trained_tensors
from propagate.training.config import resolve_training
from propagate.training.distributed import share_batch_norm
from propagate.training.loop import make_optimizer
from propagate.training.objectives.pretext import PretextTasks


def test_every_batch_norm_is_shared_and_nothing_else_changes() -> None:
    config = resolve_training(PretextTasks.preset, {"size": 32, "steps": 1})
    objective = PretextTasks(config)
    optimizer = make_optimizer(objective, config)
    before = {name: tensor.clone() for name, tensor in trained_tensors(objective.encoder).items()}
    count = sum(isinstance(module, nn.BatchNorm2d) for module in objective.modules())
    shared = share_batch_norm(objective)
    assert shared is objective
    kinds = [type(module) for module in shared.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    assert kinds == [nn.SyncBatchNorm] * count
    assert count > 10
    after = trained_tensors(objective.encoder)
    assert after.keys() == before.keys()
    assert all(torch.equal(after[name], before[name]) for name in before)
    trained = {id(p) for group in optimizer.param_groups for p in group["params"]}
    assert trained == {id(p) for p in shared.parameters()}
