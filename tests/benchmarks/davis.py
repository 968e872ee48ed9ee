"""J and F on davis_dev, per sequence: the default beside `rawcolor` and identity, bfloat16, and schoolgirls by object.

Official definitions, first and last frame left out.
Usage: python tests/benchmarks/davis.py [default|schoolgirls|bf16|dev15|dev15_coarse|fast|best]
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import measure
import numpy as np
from numpy.typing import NDArray

from propagate.commands.masks import open_masks
from propagate.formats.indexed_png import write_mask
from propagate.metrics.masks import boundary_f, jaccard
from propagate.runs.request import Request
from propagate.runs.settings import SettingLayers

Ids = NDArray[np.integer]


def predict(
    sequence: str,
    truth: list[Ids],
    flags: dict[str, object],
    *,
    resolution: str = "480p",
    quality: str | None = None,
) -> tuple[list[Ids], list[float]]:
    """Return the masks of a run of `propagate masks` and the mean confidence of each frame; leave no file."""
    with tempfile.TemporaryDirectory() as folder:
        mask = Path(folder) / "first.png"
        write_mask(mask, truth[0])
        request = Request(
            str(measure.pictures(sequence, resolution)),
            Path(folder) / "out",
            layers=SettingLayers(flags=flags, quality=quality),
        )
        run = open_masks(request, [str(mask)])
        masks, confidences = [], []
        for prediction in run:
            masks.append(prediction.array.astype(int))
            confidences.append(float(np.mean([state.confidence for state in prediction.objects])))
        run.close()
    return masks, confidences


def scores(truth: list[Ids], masks: list[Ids]) -> tuple[float, float]:
    """Return mean J and F of foreground against background, first and last frame left out."""
    pairs = [(real > 0, found > 0) for real, found in zip(truth[1:-1], masks[1:-1], strict=True)]
    return float(np.mean([jaccard(*pair) for pair in pairs])), float(np.mean([boundary_f(*pair) for pair in pairs]))


def binary(sequence: str) -> list[Ids]:
    """Return the true masks of a sequence, its objects as one."""
    return [(ids > 0).astype(np.uint8) for ids in measure.truths(sequence)]


def default() -> None:
    """Print J and F of the default beside those of `rawcolor` and identity's J, and whether confidence tells them."""
    rows = []
    for name in measure.sequences():
        truth = binary(name)
        masks, confidences = predict(name, truth, {})
        each = [jaccard(real > 0, found > 0) for real, found in zip(truth[1:-1], masks[1:-1], strict=True)]
        related = float(np.corrcoef(each, confidences[1:-1])[0, 1])
        colors = scores(truth, predict(name, truth, {"encoder": "rawcolor"})[0])
        rows.append((*scores(truth, masks), *colors, scores(truth, [truth[0]] * len(truth))[0], related))
        print(f"{name:18s} {_line(rows[-1])}", flush=True)
    print(f"{'mean':18s} {_line(np.mean(rows, 0))}")


def table(listed: str, *, quality: str | None = None, flags: dict[str, object] | None = None) -> None:
    """Print J, F, CPU-seconds a frame and how confidence goes with J, on the sequences of dev.txt or dev15.txt."""
    rows = []
    for name in measure.sequences(listed):
        truth = binary(name)
        watch = measure.Watch()
        masks, confidences = predict(name, truth, flags or {}, quality=quality)
        seconds = watch.read()[1] / len(truth)
        each = [jaccard(real > 0, found > 0) for real, found in zip(truth[1:-1], masks[1:-1], strict=True)]
        rows.append((*scores(truth, masks), seconds, float(np.corrcoef(each, confidences[1:-1])[0, 1])))
        print("{:18s} J {:.4f}  F {:.4f}  {:.2f} CPU-s  correlation {:+.2f}".format(name, *rows[-1]), flush=True)
    print("{:18s} J {:.4f}  F {:.4f}  {:.2f} CPU-s  correlation {:+.2f}".format("mean", *np.mean(rows, 0)))


def _line(row: Sequence[float]) -> str:
    return (
        f"J {row[0]:.4f}  F {row[1]:.4f}  rawcolor J {row[2]:.4f}  F {row[3]:.4f}  identity J {row[4]:.4f}"
        f"  correlation of confidence with J {row[5]:+.2f}"
    )


def bf16() -> None:
    """Print how the default's bfloat16 masks differ from its float32 masks."""
    rows = []
    for name in measure.sequences():
        truth = binary(name)
        half, full = (predict(name, truth, {"dtype": dtype})[0] for dtype in ("bfloat16", "float32"))
        same = float(np.mean([jaccard(a > 0, b > 0) for a, b in zip(half[1:-1], full[1:-1], strict=True)]))
        rows.append((same, scores(truth, half)[0], scores(truth, full)[0]))
        print(f"{name:18s} J between {same:.4f}  to truth bf16 {rows[-1][1]:.4f} fp32 {rows[-1][2]:.4f}", flush=True)
    mean = np.mean(rows, 0)
    worst = max(abs(row[1] - row[2]) for row in rows)
    print(f"mean J between {mean[0]:.4f} (bar 0.98), change of mean J to truth {mean[1] - mean[2]:+.4f} (bar 0.003), ")
    print(f"largest change of a sequence {worst:.4f} (bar 0.01)")


def schoolgirls() -> None:
    """Print J of each of the seven objects beside identity's, and how often each is nearest to its own truth."""
    truth = [ids.astype(int) for ids in measure.truths("schoolgirls", "240p")]
    masks, _ = predict("schoolgirls", [ids.astype(np.uint8) for ids in truth], {}, resolution="240p")
    ids = [int(number) for number in np.unique(truth[0]) if number]
    gains = []
    for number in ids:
        found = [jaccard(a == number, b == number) for a, b in zip(truth[1:-1], masks[1:-1], strict=True)]
        stay = [jaccard(a == number, truth[0] == number) for a in truth[1:-1]]
        own = [
            number == max(ids, key=lambda other: jaccard(real == other, mask == number))
            for real, mask in zip(truth[1:-1], masks[1:-1], strict=True)
            if (real == number).any()
        ]
        gains.append((np.mean(found), np.mean(stay)))
        print(f"object {number}: J {gains[-1][0]:.4f}  identity {gains[-1][1]:.4f}  own truth {np.mean(own):.3f}")
    mean = np.mean(gains, 0)
    print(f"mean J {mean[0]:.4f}, identity {mean[1]:.4f}, gain {mean[0] - mean[1]:+.4f} (bar +0.10; own truth 0.90)")


def main() -> None:
    """Run the parts named on the command line, all by default."""
    parts = {
        "default": default,
        "schoolgirls": schoolgirls,
        "bf16": bf16,
        "dev15": lambda: table("dev15"),
        "dev15_coarse": lambda: table("dev15", flags={"refine": False}),
        "fast": lambda: table("dev", quality="fast"),
        "best": lambda: table("dev", quality="best"),
    }
    for name in sys.argv[1:] or parts:
        print(f"-- {name}")
        parts[name]()


if __name__ == "__main__":
    main()
