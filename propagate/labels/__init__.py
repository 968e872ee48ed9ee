"""Annotation <-> labels on the feature grid, one file a label type."""

from __future__ import annotations

from propagate.registry import Registry

LABEL_TYPES = Registry(
    "label type",
    {
        "masks": "propagate.labels.masks:MaskLabels",
        "keypoints": "propagate.labels.keypoints:KeypointLabels",
        "colors": "propagate.labels.colors:ColorLabels",
        "texture": "propagate.labels.texture:TextureLabels",
        "maps": "propagate.labels.maps:MapLabels",
    },
)
