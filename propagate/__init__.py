"""Label one frame of a video, or a few; every frame gets its labels: masks, keypoints, colours, paint, maps.

The public names are resolved on first use, so that `import propagate` stays cheap.
"""

from __future__ import annotations

import importlib

TYPE_CHECKING = False  # `typing` would take most of the time in which Ctrl-C is not yet handled
if TYPE_CHECKING:
    from typing import Any

    from propagate.config import PropagateConfig
    from propagate.encoders.weights import load_encoder
    from propagate.engine.pipeline import load_label_type, run
    from propagate.errors import PropagateError
    from propagate.formats.indexed_png import read_mask, write_mask
    from propagate.formats.points import read_points
    from propagate.values import Annotation
    from propagate.video import open_video_writer as write_video
    from propagate.video import read_video

__version__ = "0.1.0"

__all__ = [
    "Annotation",
    "PropagateConfig",
    "PropagateError",
    "__version__",
    "load_encoder",
    "load_label_type",
    "read_mask",
    "read_points",
    "read_video",
    "run",
    "write_mask",
    "write_video",
]

_PLACES = {
    "Annotation": "propagate.values:Annotation",
    "PropagateConfig": "propagate.config:PropagateConfig",
    "PropagateError": "propagate.errors:PropagateError",
    "load_label_type": "propagate.engine.pipeline:load_label_type",
    "load_encoder": "propagate.encoders.weights:load_encoder",
    "read_mask": "propagate.formats.indexed_png:read_mask",
    "read_points": "propagate.formats.points:read_points",
    "read_video": "propagate.video:read_video",
    "run": "propagate.engine.pipeline:run",
    "write_mask": "propagate.formats.indexed_png:write_mask",
    "write_video": "propagate.video:open_video_writer",
}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'propagate' has no attribute {name!r}")
    module, _, attribute = _PLACES[name].partition(":")
    return getattr(importlib.import_module(module), attribute)


def __dir__() -> list[str]:
    return sorted(__all__)
