"""Small things: a pole of 2 pixels, balls of 3 and 20 pixels on a photograph, and the two flies of keypoints_dev.

J frame by frame with its last flags; the flies' median error in pixels 10, 24 and 60 frames after the label on frame
1020, of the points that have moved by more than 10 pixels. With fine cells along outlines and without.
Usage: python tests/benchmarks/small_things.py
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace

import keypoints
import numpy as np
from numpy.typing import NDArray
from skimage import data, transform

from propagate.config import resolve
from propagate.encoders.weights import load_encoder
from propagate.engine.pipeline import run
from propagate.labels.keypoints import KeypointLabels
from propagate.labels.masks import MaskLabels
from propagate.metrics.masks import jaccard
from propagate.values import Annotation, Frame
from propagate.video import read_video

FRAMES = 9
FIRST, AFTER, MOVED = 1020, (10, 24, 60), 10.0
ENCODER = load_encoder()
THINGS = ("pole of 2 pixels", "ball of 3 pixels", "ball of 20 pixels")


def rendered(thing: str) -> Iterator[tuple[Frame, NDArray[np.int64]]]:
    """Yield frames 480x854 of a thing that moves over a photograph that moves, and its masks."""
    photograph = (transform.resize(data.coffee(), (520, 900), anti_aliasing=True) * 255).astype(np.uint8)
    y, x = np.mgrid[:480, :854]
    for index in range(FRAMES):
        rgb = photograph[10 + index : 490 + index, 20:874].copy()
        inside = {
            THINGS[0]: (y >= 100) & (y < 380) & (x - 300 - 2 * index >= 0) & (x - 300 - 2 * index < 2),
            THINGS[1]: (np.abs(y - 201 - index) <= 1) & (np.abs(x - 301 - 3 * index) <= 1),
            THINGS[2]: (y - 200 - index) ** 2 + (x - 300 - 6 * index) ** 2 <= 100,
        }[thing]
        rgb[inside] = (240, 60, 40)
        yield Frame(index, index / 25, rgb, f"{index:05d}"), inside.astype(np.int64)


def follow(thing: str, *, refine: bool) -> str:
    """Return J of each frame, and the flags on the last one."""
    frames, masks = zip(*rendered(thing), strict=True)
    config = resolve(ENCODER.preset, {"refine": refine})
    given = [Annotation(0, masks[0], (1,))]
    found = list(run(frames, given, label_type=MaskLabels((1,)), encoder=ENCODER, config=config))
    each = [jaccard(mask, one.array) for mask, one in zip(masks, found, strict=True)]
    return f"J {np.round(each, 2).tolist()}, flags {found[1].objects[0].flags} {found[-1].objects[0].flags}"


def flies(*, refine: bool) -> str:
    """Return the median error of the flies' moving points some frames after the label."""
    count = max(AFTER) + 1
    truth = np.load(keypoints.FOLDER / "fly_pair.npz")["xy"][FIRST : FIRST + count].reshape(count, -1, 2).astype(float)
    names = tuple(f"p{number}" for number in range(truth.shape[1]))
    config, kind = resolve(ENCODER.preset, {"refine": refine}), KeypointLabels(names, visible=0.0)
    moved = np.linalg.norm(truth - truth[0], axis=2)
    found = {}
    with read_video(keypoints.FOLDER / "fly_pair.mp4", start=FIRST, end=FIRST + count) as video:
        frames = (replace(frame, index=frame.index - FIRST) for frame in video)
        for one in run(frames, [Annotation(0, truth[0], names)], label_type=kind, encoder=ENCODER, config=config):
            index = one.frame.index
            if index in AFTER:
                error = np.linalg.norm(one.array - truth[index], axis=1)[moved[index] > MOVED]
                found[index] = f"{np.nanmedian(error):.1f} px"
    return str(found)


def main() -> None:
    """Print what is found."""
    for refine in (False, True):
        print("with fine cells" if refine else "without fine cells")
        for thing in THINGS:
            print(f"  {thing}: {follow(thing, refine=refine)}", flush=True)
        with suppress(FileNotFoundError):
            print(f"  flies, points that moved: {flies(refine=refine)}", flush=True)


if __name__ == "__main__":
    main()
