"""Optical flow: labels warped from frame to frame, or from the annotated frame (Vondrick 4.1)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Literal

from propagate.baselines.cargo import THRESHOLD
from propagate.baselines.carrying import Estimate
from propagate.baselines.tvl1 import KEY, tvl1
from propagate.baselines.warping import SCALE, warped
from propagate.errors import ConfigError
from propagate.labels.protocol import Codec
from propagate.values import Annotation, Frame, Prediction

Estimator = Literal["tvl1", "raft"]


def flow(
    frames: Iterable[Frame],
    annotations: Sequence[Annotation],
    *,
    codec: Codec,
    first: bool = False,
    estimator: Estimator = "tvl1",
    threshold: float = THRESHOLD,
    scale: float = SCALE,
    cache: Path | None = None,
) -> Iterator[Prediction]:
    """Return an iterator that warps labels by optical flow.

    Args:
        frames: in order.
        annotations: what is known of some of the frames.
        codec: the label type; keypoints follow the flow as points, anything else is warped back pixel by pixel.
        first: warp from the annotated frame in one step ("non-recursive"); else from frame to frame ("recursive").
        estimator: what computes the flow.
        threshold: a pixel is an object if its warped score is above it and the highest; of masks only.
        scale: of the pictures that the flow is computed on.
        cache: a folder for flows; None keeps none.

    Raises:
        ConfigError: a setting is outside its range.
        WeightsError: RAFT is asked for and its weights are not on this machine.
    """
    estimate, key = load_estimator(estimator)
    return warped(
        frames,
        annotations,
        codec=codec,
        estimate=estimate,
        key=key,
        first=first,
        threshold=threshold,
        scale=scale,
        cache=cache,
    )


def load_estimator(name: str) -> tuple[Estimate, str]:
    """Return an estimator and the key of its flows in the cache.

    Raises:
        ConfigError: there is no such estimator.
        WeightsError: its weights are not on this machine.
    """
    if name == "tvl1":
        return tvl1, KEY
    if name == "raft":
        from propagate.baselines.raft import load_raft

        return load_raft()
    raise ConfigError(f"no flow estimator is called {name!r}", hint="one of tvl1, raft")


flow_first: partial[Iterator[Prediction]] = partial(flow, first=True)
