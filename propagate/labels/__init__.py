"""Annotation <-> labels on the feature grid, one file a label type."""

from __future__ import annotations

from propagate.registry import Registry

CODECS = Registry(
    "label type",
    {
        "masks": "propagate.labels.masks:MaskCodec",
        "keypoints": "propagate.labels.keypoints:KeypointCodec",
        "colors": "propagate.labels.colors:ColorCodec",
        "texture": "propagate.labels.texture:TextureCodec",
        "maps": "propagate.labels.maps:MapCodec",
    },
)
