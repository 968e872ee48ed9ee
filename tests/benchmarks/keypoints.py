"""What a confidence threshold does to points on keypoints_dev: how many right and wrong ones it lets through.

Default settings; a point is right within 0.2 of the longer side of its subject's box. The first annotated frame is
given. Usage: python tests/benchmarks/keypoints.py
"""

from __future__ import annotations

import measure
import numpy as np
from numpy.typing import NDArray

from propagate.config import resolve
from propagate.encoders.weights import load_encoder
from propagate.engine.propagation import Propagation
from propagate.labels.keypoints import VISIBLE, KeypointLabels
from propagate.metrics.keypoints import box_side
from propagate.values import Annotation
from propagate.video import read_video

FOLDER = measure.DAVIS.parent / "keypoints_dev"
THRESHOLDS = (0.0, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4)
Truth = dict[int, NDArray[np.float64]]


def goal_keeping() -> tuple[str, Truth]:
    """Return the video and the true points of each labelled frame, NaN where they are not visible."""
    with np.load(FOLDER / "goal_keeping.npz") as data:
        return str(FOLDER / "goal_keeping.avi"), {n: xy.astype(float) for n, xy in enumerate(data["xy"])}


def horsejump() -> tuple[str, Truth]:
    """Return the video and the true points of each labelled frame, NaN where they are not visible."""
    with np.load(FOLDER / "horsejump-low.npz") as data:
        points = np.where(data["visible"][..., None] > 0, data["xy"].astype(float), np.nan)
        return str(measure.pictures("horsejump-low")), dict(zip(data["frames"].tolist(), points, strict=True))


def follow(video: str, truth: Truth) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the relative errors and the confidences of all points that the truth sees, every place given."""
    first = min(truth)
    points = truth[first]
    names = tuple(f"p{number}" for number in range(len(points)))
    encoder = load_encoder()
    label_type = KeypointLabels(names, visible=0.0)
    propagation = Propagation(
        [Annotation(first, points, names)], label_type=label_type, encoder=encoder, config=resolve(encoder.preset)
    )
    errors, confidences = [], []
    with read_video(video) as frames:
        for frame in frames:
            found = propagation.step(frame)
            if frame.index == first or frame.index not in truth:
                continue
            real = truth[frame.index]
            seen = ~np.isnan(real).any(1) & ~np.isnan(points).any(1)
            side = box_side(real[~np.isnan(real).any(1)])
            errors.append(np.nan_to_num(np.linalg.norm(found.array - real, axis=1)[seen] / side, nan=np.inf))
            confidences.append(np.array([state.confidence for state in found.objects])[seen])
    return np.concatenate(errors), np.concatenate(confidences)


def main() -> None:
    """Print a table per clip."""
    for name, clip in {"goal_keeping": goal_keeping(), "horsejump-low": horsejump()}.items():
        errors, confidences = follow(*clip)
        right = errors <= 0.2
        print(f"{name}: {len(errors)} points, PCK@.1 {np.mean(errors <= 0.1):.3f}, PCK@.2 {right.mean():.3f}")
        for threshold in THRESHOLDS:
            shown = confidences >= threshold
            mark = " (the default)" if threshold == VISIBLE else ""
            kept, passed = shown[right].mean(), shown[~right].mean()
            print(f"  from {threshold:.2f}: {kept:.3f} of the right ones shown, {passed:.3f} of the wrong ones{mark}")


if __name__ == "__main__":
    main()
