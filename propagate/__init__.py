"""Carry masks, keypoints, colours and textures through a video with a learned pointer.

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
    from propagate.video import open_video_writer as write_video
    from propagate.video import read_video

__version__ = "0.1.0"

__all__ = [
    "PropagateConfig",
    "PropagateError",
    "__version__",
    "load_encoder",
    "load_label_type",
    "read_video",
    "run",
    "write_video",
]

_PLACES = {
    "PropagateConfig": "propagate.config:PropagateConfig",
    "PropagateError": "propagate.errors:PropagateError",
    "load_label_type": "propagate.engine.pipeline:load_label_type",
    "load_encoder": "propagate.encoders.weights:load_encoder",
    "read_video": "propagate.video:read_video",
    "run": "propagate.engine.pipeline:run",
    "write_video": "propagate.video:open_video_writer",
}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'propagate' has no attribute {name!r}")
    module, _, attribute = _PLACES[name].partition(":")
    return getattr(importlib.import_module(module), attribute)


def __dir__() -> list[str]:
    return sorted(__all__)
