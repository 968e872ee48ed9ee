"""Masks, keypoints, texture and colours against exact truth, default settings, on rendered clips.

An object of one photograph crosses another photograph, recoloured to the object's own mean and covariance of colour,
farther than its own width, and is hidden once. Usage: python tests/benchmarks/rendered_truth.py [seeds]
"""

from __future__ import annotations

import sys

import measure  # noqa: F401  puts tests/ and examples/ on the path

BARS = "bars, translate: J 0.85, error 2 px, correlation 0.9, dE2000 inside 5; identity J below 0.2, error above 20"


def main() -> None:
    """Print a line per clip and label type."""
    import truth

    import rendered

    seeds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    print(BARS)
    cases = [("translate", seed) for seed in range(seeds)] + [("rotate", 0), ("scale", 0)]
    for motion, seed in cases:
        clip = rendered.render(motion=motion, seed=seed)
        for name, score in truth.LABELS.items():
            figures = ", ".join(f"{what} {value:.3f}" for what, value in score(clip).items())
            print(f"{motion} seed {seed} {name}: {figures}", flush=True)


if __name__ == "__main__":
    main()
