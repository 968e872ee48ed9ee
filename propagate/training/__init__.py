"""Training of encoders on raw video: footage, clips, objectives, and the loop.

Add an objective: one file in `objectives/` with a class like those there (see `protocol.Objective`), one line below.
"""

from propagate.registry import Registry

OBJECTIVES = Registry(
    "objective",
    {
        "colorization": "propagate.training.objectives.colorization:Colorizing",
        "corrflow": "propagate.training.objectives.corrflow:CorrespondenceFlow",
        "timecycle": "propagate.training.objectives.timecycle:TimeCycling",
        "single_image": "propagate.training.objectives.single_image:SingleImage",
        "pretext": "propagate.training.objectives.pretext:PretextTasks",
    },
    former={"propagate": "pretext"},
)
