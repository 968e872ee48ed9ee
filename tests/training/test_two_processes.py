"""Two gloo processes with half the batch each take the step that one takes with the whole."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parents[2]
STEP = """
import sys
import torch
from propagate.training.config import resolve_training
from propagate.training.distributed import joined, processes, wrapped
from propagate.training.objectives.colorization import Colorizing

dist, cpu = processes(), torch.device("cpu")
torch.set_num_threads(1)
config = resolve_training(Colorizing.preset, {"size": 32, "batch": 4, "clusters": 4})
objective = Colorizing(config)
clips = torch.rand(4, 4, 3, 32, 32, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
objective.fit(clips.flatten(0, 1).float())
objective.double().eval()
optimizer = torch.optim.SGD(objective.parameters(), lr=0.01)
with joined(dist, cpu):
    called = wrapped(objective, dist, cpu)
    share = len(clips) // dist.world
    mine = clips[dist.rank * share : (dist.rank + 1) * share]
    called(mine, progress=0.0, random=torch.Generator())["loss"].backward()
    optimizer.step()
    if dist.first:
        torch.save({name: p.detach() for name, p in objective.named_parameters()}, sys.argv[1])
"""


def step_of(folder: Path, processes: int) -> dict[str, torch.Tensor]:
    script, out = folder / "step.py", folder / f"{processes}.pt"
    script.write_text(STEP, encoding="utf-8")
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    words = [sys.executable, *(launcher if processes > 1 else []), str(script), str(out)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(words, capture_output=True, text=True, env=environment, check=False, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    loaded: dict[str, torch.Tensor] = torch.load(out, weights_only=True)
    return loaded


def test_two_processes_take_the_step_of_one(tmp_path: Path) -> None:
    one, two = step_of(tmp_path, 1), step_of(tmp_path, 2)
    assert one.keys() == two.keys()
    assert max(float((one[name] - two[name]).abs().max()) for name in one) < 1e-8
    assert max(float((one[name]).abs().max()) for name in one) > 1e-3
