"""SIFT flow: labels warped by dense descriptors matched smoothly (Liu, Yuen and Torralba, 2011)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from propagate.baselines.cargo import THRESHOLD
from propagate.baselines.matching import KEY, sift_flow
from propagate.baselines.warping import SCALE, warped
from propagate.labels.protocol import Codec
from propagate.values import Annotation, Frame, Prediction


def siftflow(
    frames: Iterable[Frame],
    annotations: Sequence[Annotation],
    *,
    codec: Codec,
    first: bool = False,
    threshold: float = THRESHOLD,
    scale: float = SCALE,
    cache: Path | None = None,
) -> Iterator[Prediction]:
    """Return an iterator that warps labels by SIFT flow.

    Args:
        frames: in order.
        annotations: what is known of some of the frames.
        codec: the label type; keypoints follow the flow as points, anything else is warped back pixel by pixel.
        first: warp from the annotated frame in one step; else from frame to frame.
        threshold: a pixel is an object if its warped score is above it and the highest; of masks only.
        scale: of the pictures that the flow is computed on.
        cache: a folder for flows; None keeps none.

    Raises:
        ConfigError: a setting is outside its range.
    """
    return warped(
        frames,
        annotations,
        codec=codec,
        estimate=sift_flow,
        key=KEY,
        first=first,
        threshold=threshold,
        scale=scale,
        cache=cache,
    )
