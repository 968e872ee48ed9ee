"""Propagators without an encoder, called as the engine is: what a tracker must beat (Vondrick 4.1)."""

from __future__ import annotations

from propagate.registry import Registry

PROPAGATORS = Registry(
    "baseline",
    {
        "identity": "propagate.baselines.warp_propagation:identity",
        "flow": "propagate.baselines.flow:flow",
        "flow-first": "propagate.baselines.flow:flow_first",
        "siftflow": "propagate.baselines.siftflow:siftflow",
    },
)
