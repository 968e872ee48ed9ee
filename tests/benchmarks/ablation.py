"""CorrFlow's ablation (table 5), each of its four ideas off at equal short compute, and what attention costs in memory.

A run each, from the same random weights, in a process of its own: J, F and L1 after so many minutes on one CPU core, at
the size of `training.py`. Then, for the paper's 256 pixels, the memory that copying colours from one frame to another,
gradients included, adds under restricted and full attention: with the fused attention of training, with plain matrices.
Usage: python tests/benchmarks/ablation.py FOOTAGE OUT [MINUTES [DAVIS [NAME=VALUE ...]]]
FOOTAGE is a folder that `propagate train --prepare` made; DAVIS one in DAVIS's layout, davis_dev by default.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import measure
import yaml
from training import SMALL

OFF: Mapping[str, Mapping[str, Any]] = {
    "all four": {},
    "no colour dropout (grey)": {"color_dropout": False},
    "full attention": {"radius": None},
    "no scheduled sampling": {"scheduled_sampling": False},
    "no cycle": {"cycle": False},
}
ATTENTION = {"restricted, 13x13": "6", "full": ""}
CELLS = 64  # on a side: the paper's 256 pixels
SCORED = 160  # pixels high that frames are scored at, for a stride of 4
ONE = {"threads": 1, "validations": 1}


def child(footage: str, out: str, labelled: str, flags: str) -> None:
    """Train, score, and print the figures as JSON."""
    from propagate.commands.train import open_training
    from propagate.encoders.weights import open_encoder
    from propagate.training.data.prepared import open_footage
    from propagate.training.request import TrainRequest

    request = TrainRequest(open_footage(Path(footage)), Path(out), flags=json.loads(flags))
    with closing(open_training(request)) as training:
        *_, last = training
        scoring = replace(training.validation, labelled=Path(labelled), short_side=SCORED)
    figures = scoring(open_encoder("corrflow", str(Path(out) / "last.safetensors")))
    print(json.dumps({"steps": last.step.number, **figures}))


def attention(radius: str, fused: str) -> None:
    """Print by how many MB copying the colours of two clips, forward and backward, raises the peak."""
    import torch
    from torch.nn.attention import SDPBackend, sdpa_kernel

    from propagate.ops.clip_attention import copy_everywhere, copy_nearby

    torch.manual_seed(0)
    query, keys = (torch.randn(2, 64, CELLS, CELLS, requires_grad=True) for _ in range(2))
    colors = torch.rand(2, 16, CELLS, CELLS).softmax(1)
    before = measure.peak_memory()
    with sdpa_kernel(SDPBackend.FLASH_ATTENTION if fused else SDPBackend.MATH):
        if radius:
            copied = copy_nearby(query, keys, colors, radius=int(radius))
        else:
            copied = copy_everywhere(query, keys[:, None], colors[:, None])
        copied.log().sum().backward()
    print(measure.peak_memory() - before)


def answer(*words: str) -> str:
    """Return the last line that this script prints for `words`, in a process of its own."""
    environment = {**os.environ, "GOMP_SPINCOUNT": "1000"}
    command = [sys.executable, __file__, *words]
    said = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment).stdout
    return said.splitlines()[-1]


def main() -> None:
    """Print both tables in Markdown."""
    if sys.argv[1:2] == ["child"]:
        child(*sys.argv[2:])
        return
    if sys.argv[1:2] == ["attention"]:
        attention(*sys.argv[2:])
        return
    footage, out = sys.argv[1], Path(sys.argv[2])
    minutes = float(sys.argv[3]) if len(sys.argv) > 3 else 8.0
    labelled = sys.argv[4] if len(sys.argv) > 4 else str(measure.DAVIS)
    given = {name: yaml.safe_load(value) for name, value in (word.split("=", 1) for word in sys.argv[5:])}
    print("| CorrFlow | J | F | L1 | steps |\n| --- | ---: | ---: | ---: | ---: |", flush=True)
    for name, off in OFF.items():
        run = out / name.split("(")[0].strip().replace(" ", "-")
        asked = {"objective": "corrflow", **SMALL["corrflow"], **ONE, "minutes": minutes, **given, **off}
        found = json.loads(answer("child", footage, str(run), labelled, json.dumps(asked)))
        print(
            f"| {name} | {found['J']:.3f} | {found['F']:.3f} | {found.get('L1', math.nan):.2f} | {found['steps']} |",
            flush=True,
        )
    print("\n| attention, 64x64 cells, 2 clips | fused, MB | plain, MB |\n| --- | ---: | ---: |", flush=True)
    for name, radius in ATTENTION.items():
        fused, plain = (float(answer("attention", radius, word)) for word in ("fused", ""))
        print(f"| {name} | {fused:.0f} | {plain:.0f} |", flush=True)


if __name__ == "__main__":
    main()
