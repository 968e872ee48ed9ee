"""What each setting is worth on davis_dev: one setting at a time changed from the encoder's preset.

Mean J and F over the six sequences (foreground against background, first and last frame left out), and the CPU-seconds
of a frame. Done runs are kept in a file of JSON lines and not repeated. CHANGES are JSON objects, each of settings to
be changed together; WEIGHTS are those that ship by default.
Usage: python tests/benchmarks/settings.py rawcolor|resnet18[:WEIGHTS] FILE [THREADS [CHANGES]]
"""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from pathlib import Path
from typing import Any

import measure
import numpy as np
import torch

from propagate.config import PropagateConfig, resolve
from propagate.device import choose_dtype
from propagate.encoders.weights import load_encoder
from propagate.engine.propagation import Propagation
from propagate.labels.masks import MaskLabels
from propagate.metrics.masks import boundary_f, jaccard
from propagate.values import Annotation
from propagate.video import read_video

CHANGES: dict[str, dict[str, tuple[Any, ...]]] = {
    "rawcolor": {
        "context": (1, 3, 5, 10, 15, 20),
        "radius": (6, 8, 10, 15, 20, None),
        "annotated_radius": (16, 20, None),
        "temperature": (1 / 120, 1 / 240, 1 / 360, 1 / 720, 1 / 960),
        "topk": (1, 3, 4, 7, 10, 20),
        "size": (160, 200, 320, 480),
        "patch": (1, 5),
        "window": ("square",),
        "keep_annotated": (False,),
        "feedback": ("hard",),
        "label_scale": (2,),
    },
    "resnet18": {
        "layer_mix": (0.0, 0.25, 0.75),
        "lab_weight": (0.0, 15.0, 60.0, 120.0),
        "edges": (0.0, 8.0),
        "annotated_radius": ("same", 30, None),
        "context": (3, 5, 7, 15),
        "radius": (8, 15),
        "temperature": (0.05, 0.1),
        "topk": (3, 10),
        "size": (320,),
        "label_scale": (2,),
        "feedback": ("hard",),
    },
}
Scores = dict[str, tuple[float, float]]


def scores(name: str, weights: str | None, config: PropagateConfig) -> tuple[Scores, float]:
    """Return mean J and F of each sequence, and the CPU-seconds of a frame."""
    dtype = torch.float32 if name == "rawcolor" else choose_dtype("auto", torch.device("cpu"))
    found: Scores = {}
    frames_done, began = 0, time.process_time()
    for sequence in measure.sequences():
        encoder = load_encoder(name, weights, dtype=dtype)
        truth = [ids > 0 for ids in measure.truths(sequence)]
        known = [Annotation(0, truth[0].astype(np.uint8), (1,))]
        propagation = Propagation(known, label_type=MaskLabels((1,)), encoder=encoder, config=config)
        with read_video(measure.pictures(sequence)) as frames:
            masks = [propagation.step(frame).array > 0 for frame in frames]
        frames_done += len(masks)
        pairs = list(zip(truth, masks, strict=True))[1:-1]
        found[sequence] = (
            float(np.mean([jaccard(*pair) for pair in pairs])),
            float(np.mean([boundary_f(*pair) for pair in pairs])),
        )
    return found, (time.process_time() - began) / frames_done


def plan(name: str) -> list[dict[str, Any]]:
    """Return the runs: the preset, then every single change."""
    return [{}] + [{key: value} for key, values in CHANGES[name].items() for value in values]


def main() -> None:
    """Do the runs that FILE lacks, then print the table."""
    name, _, weights = sys.argv[1].partition(":")
    file = Path(sys.argv[2])
    torch.set_num_threads(int(sys.argv[3]) if len(sys.argv) > 3 else 2)
    preset = load_encoder(name, weights or None).preset
    done = [json.loads(line) for line in file.read_text("utf-8").splitlines()] if file.is_file() else []
    together = [json.loads(word) for word in sys.argv[4:]]
    for change in together or plan(name):
        if not any(line["change"] == change for line in done):
            config = resolve(preset, {"encoder": name}, change)
            found, seconds = scores(name, weights or None, config)
            line = {"change": change, "scores": found, "seconds": seconds, "settings": dataclasses.asdict(config)}
            done.append(line)
            with file.open("a", encoding="utf-8") as out:
                out.write(json.dumps(line) + "\n")
            show(line, done[0])
    print()
    for line in done:
        show(line, done[0])


def show(line: dict[str, Any], first: dict[str, Any]) -> None:
    """Print a run: mean J and F, and how they differ from the preset's."""
    mean, base = (np.mean(list(each["scores"].values()), 0) for each in (line, first))
    what = ", ".join(f"{key}={value}" for key, value in line["change"].items()) or "the preset"
    change = mean - base
    cost = f"  {line['seconds']:.2f} CPU-s" if "seconds" in line else ""
    print(f"{what:32s} J {mean[0]:.4f} ({change[0]:+.4f})  F {mean[1]:.4f} ({change[1]:+.4f}){cost}", flush=True)


if __name__ == "__main__":
    main()
