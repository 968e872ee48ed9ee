"""What a short run of each objective learns on the CPU: loss and held-out error along the run, J before and after.

Usage: python tests/benchmarks/training.py FOOTAGE OUT OBJECTIVE [MINUTES [NAME=VALUE ...]]
FOOTAGE is a folder that `propagate train --prepare` made; J is of davis_dev, 240 pixels high, by the encoder's preset.
"""

from __future__ import annotations

import json
import sys
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import measure
import torch
import yaml

from propagate.commands.train import open_training
from propagate.encoders.weights import open_encoder
from propagate.training.data.prepared import open_footage
from propagate.training.request import TrainRequest
from propagate.training.run import fresh_copy

SMALL: dict[
    str, dict[str, object]
] = {  # what a step costs on one CPU core is brought below a few seconds; the schedule keeps its fractions
    "colorization": {"size": 128, "batch": 4},
    "corrflow": {"size": 96, "batch": 4},
    "timecycle": {
        "encoder": "timecycle-r18",
        "padding": "reflect",
        "inliers": True,
        "size": 96,
        "batch": 6,
        "frames": 3,
        "queries": 8,
        "learning_rate": 5e-4,
    },
    "single_image": {"size": 128, "batch": 8},
    "pretext": {"size": 160, "batch": 8},
}


def main() -> None:
    """Train, and print a line per validation."""
    footage, out, objective = open_footage(Path(sys.argv[1])), Path(sys.argv[2]), sys.argv[3]
    minutes = float(sys.argv[4]) if len(sys.argv) > 4 else 8.0
    given = {name: yaml.safe_load(value) for name, value in (word.split("=", 1) for word in sys.argv[5:])}
    flags = {"objective": objective, **SMALL[objective], "minutes": minutes, "threads": 1, **given}
    torch.set_num_threads(1)
    request = TrainRequest(footage, out, flags={**flags, "validations": 4})
    with closing(open_training(request)) as training:
        scoring = replace(training.validation, labelled=measure.DAVIS)
        name = training.objective.encoder.name
        start = training.config.init or "random"
        print(
            f"{objective}: {name} from {start}, {len(footage.shots)} shots, {footage.seconds / 60:.1f} min", flush=True
        )
        print("before:", json.dumps(scoring(fresh_copy(training.objective.encoder))), flush=True)
        began, losses = time.monotonic(), []
        for event in training:
            losses.append(event.step.losses["loss"])
            if event.validation is not None:
                mean = sum(losses) / len(losses)
                figures = {key: round(value, 4) for key, value in event.validation.items()}
                print(f"step {event.step.number}: loss {mean:.4f}, {figures}, {event.rate:.2f} clips/s, "
                      f"{event.waiting:.1%} waiting, {time.monotonic() - began:.0f} s", flush=True)  # fmt: skip
                losses = []
        print("parts of the last loss:", dict(event.step.losses))
    print("after:", json.dumps(scoring(open_encoder(name, str(out / "last.safetensors")))), flush=True)


if __name__ == "__main__":
    main()
