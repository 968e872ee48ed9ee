"""Frames to features: the networks of the papers, their weights, and the importers of public checkpoints.

Add an encoder: one file with a module like those here (see `protocol.Encoder`), one line below.
"""

from propagate.registry import Registry

ENCODERS = Registry(
    "encoder",
    {
        "rawcolor": "propagate.encoders.rawcolor:RawColor",
        "resnet18": "propagate.encoders.resnet:ResNet18",
        "resnet50": "propagate.encoders.resnet:ResNet50",
        "colorization": "propagate.encoders.colorization:Colorization",
        "single_image": "propagate.encoders.single_image:SingleImage",
        "corrflow": "propagate.encoders.corrflow:CorrFlow",
        "timecycle": "propagate.encoders.timecycle:TimeCycle",
        "timecycle-r18": "propagate.encoders.timecycle:timecycle_r18",
    },
)
