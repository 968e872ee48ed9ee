"""What J and F of a 480p sequence of 70 frames cost: davis_dev's tennis, identity against the truth, without reading.

Usage: python tests/benchmarks/scoring.py [OBJECTS]; several objects are shifted copies of the one.
"""

from __future__ import annotations

import sys

import measure
import numpy as np

from propagate.metrics.masks import boundary_f, jaccard


def main() -> None:
    """Print wall and CPU seconds, the bar beside them."""
    objects = int(sys.argv[1]) if len(sys.argv) > 1 else 1
    truth = [ids > 0 for ids in measure.truths("tennis")]
    watch = measure.Watch()
    for number in range(objects):
        for real in truth:
            pair = np.roll(real, 9 * number, axis=1), np.roll(truth[0], 9 * number, axis=1)
            jaccard(*pair)
            boundary_f(*pair)
    wall, cpu = watch.read()
    print(
        f"{len(truth)} frames of {real.shape[1]}x{real.shape[0]}, {objects} objects: {wall:.2f} s, {cpu:.2f} CPU-s (4)"
    )


if __name__ == "__main__":
    main()
