"""One step of the colorization pointer from true masks: how much of what an object's cells receive is the object's.

With the paper's settings, of the first 24 frames of every sequence but `soccerball`, whose ball covers no cell:
`kept`, the mean label that cells of the object receive; `leaked`, what cells without it receive, per cell of the
object; and what simply staying keeps and leaks. Usage: python tests/benchmarks/one_step.py [WEIGHTS ...]
"""

from __future__ import annotations

import itertools
import sys

import measure
import numpy as np
import torch
from torch import Tensor

from propagate.config import PropagateConfig, resolve
from propagate.encoders.build import prepare
from propagate.encoders.protocol import Encoder
from propagate.encoders.weights import open_encoder
from propagate.ops.clip_attention import copy_everywhere
from propagate.ops.color import to_input
from propagate.ops.grid import Grid, average_to_cells
from propagate.video import read_video

FRAMES = 24
INSIDE = 0.8  # share of a cell that the object covers, from which it is one of the object's


@torch.inference_mode()
def one_step(encoder: Encoder, config: PropagateConfig, sequence: str) -> list[float]:
    """Return kept and leaked of the pointer, then of staying."""
    features: list[Tensor] = []
    masks: list[Tensor] = []
    frames = itertools.islice(read_video(str(measure.pictures(sequence))), FRAMES)
    for frame, truth in zip(frames, measure.truths(sequence), strict=False):
        video = (frame.rgb.shape[0], frame.rgb.shape[1])
        grid = Grid.of(video, size=config.size, stride=encoder.stride, offset=encoder.offset)
        features.append(encoder.encode(to_input(frame.rgb, grid.input, device="cpu"))[0])
        masks.append(average_to_cells(torch.from_numpy(truth > 0)[None], grid))  # (1, h, w)
    rows = []
    for target in range(config.context, len(features)):
        span = slice(target - config.context, target)
        embedded = encoder.embed(torch.stack([*features[span], features[target]]))
        copied = copy_everywhere(
            embedded[-1:], embedded[None, :-1], torch.stack(masks[span])[None], temperature=config.temperature
        )[0]
        inside, outside = masks[target] >= INSIDE, masks[target] == 0
        if inside.any():
            for_each = [
                (label[inside].mean(), label[outside].sum() / inside.sum()) for label in (copied, masks[target - 1])
            ]
            rows.append([float(value) for pair in for_each for value in pair])
    return [float(value) for value in np.mean(rows, 0)]


def main() -> None:
    """Print a line per file of weights and sequence."""
    torch.set_num_threads(1)
    print("weights, sequence: kept, leaked (staying: kept, leaked)")
    for weights in sys.argv[1:] or ["colorization"]:
        loaded = open_encoder("colorization", weights)
        encoder, config = prepare(loaded), resolve(loaded.preset)
        for sequence in measure.sequences():
            if sequence not in {"soccerball", "schoolgirls"}:
                kept, leaked, stayed, strayed = one_step(encoder, config, sequence)
                print(f"{weights}, {sequence}: {kept:.3f}, {leaked:.3f} ({stayed:.3f}, {strayed:.3f})", flush=True)


if __name__ == "__main__":
    main()
