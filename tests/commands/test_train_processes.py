"""`torchrun`: two processes of one run take the same steps, keep the same weights, and go on together."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from training.small_footage import numbered, panned

ROOT = Path(__file__).resolve().parents[2]
RUN = """
import sys
from contextlib import closing
from pathlib import Path
import torch
import yaml
from propagate.commands.train import open_training
from propagate.training.request import TrainRequest
from propagate.training.data.footage import decoded_footage
from propagate.training.data.sources import find_videos

out, flags, force = Path(sys.argv[1]), yaml.safe_load(sys.argv[2]), sys.argv[3] == "force"
small = {"rate": 24, "size": 32, "batch": 2, "threads": 1, "dtype": "float32", "validations": 1}
request = TrainRequest(decoded_footage(find_videos(["videos"])), out, flags={**small, **flags}, force=force)
with closing(open_training(request)) as training:
    first, steps = training.first_step, list(training)
    state = {name: t for name, t in training.objective.state_dict().items() if "running" not in name}
    rates = [event.step.rate for event in steps]
    torch.save({"state": state, "first": first, "rates": rates}, f"rank{training.dist.rank}.pt")
"""


def together(folder: Path, out: str, flags: str, force: str = "") -> list[dict[str, torch.Tensor]]:
    """Return what each of two processes ends with."""
    (folder / "run.py").write_text(RUN, encoding="utf-8")
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    words = [sys.executable, *launcher, "run.py", out, flags, force]
    done = subprocess.run(words, capture_output=True, text=True, env=environment, check=False, timeout=300, cwd=folder)
    assert done.returncode == 0, done.stderr[-3000:]
    return [torch.load(folder / f"rank{rank}.pt", weights_only=True) for rank in range(2)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    where = tmp_path_factory.mktemp("processes")
    for seed in range(2):
        numbered(where / f"videos/clip{seed}", panned(12, seed=seed, size=(40, 48)))
    return where


@pytest.mark.parametrize("ends", ["{steps: 3}", "{minutes: 0.05}"])
def test_processes_keep_the_same_weights_and_rates(folder: Path, ends: str) -> None:
    one, two = together(folder, f"run{len(ends)}", ends)
    assert one["rates"] == two["rates"]
    assert len(one["rates"]) >= 1
    assert all(torch.equal(one["state"][name], two["state"][name]) for name in one["state"])


def test_processes_begin_again_together(folder: Path) -> None:
    together(folder, "again", "{steps: 2}")
    one, two = together(folder, "again", "{steps: 3}", "force")
    assert (one["first"], two["first"], len(one["rates"])) == (0, 0, 3)
    assert all(torch.equal(one["state"][name], two["state"][name]) for name in one["state"])
