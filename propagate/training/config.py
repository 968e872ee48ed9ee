"""Every setting of a training run: written once, here, as the fields of `TrainConfig`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from propagate.config import FARTHEST, FULL, MACHINE
from propagate.errors import ConfigError
from propagate.settings import Setting, check_settings, merge, settings_of
from propagate.training import OBJECTIVES

LEARNING, CLIPS, LOSSES = "What is learnt", "Clips", "Objectives"  # headings of the options


@dataclass(frozen=True)
class TrainConfig:
    """How an encoder is trained. Each objective's own preset stands above these defaults.

    `settings.Setting` says what stands in a field.
    """

    # What is learnt.
    objective: str = Setting(
        "pretext",
        f"What is learnt: {', '.join(OBJECTIVES)}. Each has defaults of its own; those of pretext are shown.",
        panel=LEARNING,
        metavar="NAME",
    ).field()
    encoder: str | None = Setting(
        None,
        "The network: resnet18, timecycle-r18, ...",
        str,
        panel=LEARNING,
        metavar="NAME",
        none="the objective's own",
    ).field()
    init: str | None = Setting(
        None, "Weights to go on from.", str, panel=LEARNING, metavar="WEIGHTS", none="random ones"
    ).field()
    padding: Literal["zeros", "reflect"] | None = Setting(
        None,
        "Padding of a network with new weights.",
        str,
        panel=LEARNING,
        choices=("zeros", "reflect"),
        none="its own",
    ).field()
    stride: int | None = Setting(
        None, "Pixels per cell of a network with new weights.", int, choices=(4, 8), none="its own"
    ).field()
    layers: int | None = Setting(
        None,
        "Last layer of a trunk with new weights.",
        int,
        panel=LEARNING,
        choices=(2, 3, 4),
        none="its own",
    ).field()

    # Clips.
    size: int = Setting(
        256, "Side of the square that the encoder sees.", panel=CLIPS, unit="pixels", low=16, high=4096
    ).field()
    frames: int | None = Setting(
        None, "Frames of a clip.", int, panel=CLIPS, low=1, high=1000, none="the objective's own"
    ).field()
    rate: float | None = Setting(
        None,
        "Frames a second of a clip.",
        float,
        panel=CLIPS,
        above=0,
        high=1000,
        none="neighbouring frames of the footage",
    ).field()
    framing: Literal["squash", "crop"] = Setting(
        "crop", "Whether frames are squashed to the square or cut.", choices=("squash", "crop")
    ).field()
    crop_from: float = Setting(
        0.5, "Share of the short side that the smallest crop shows.", above=0, high=1, only=("pretext",)
    ).field()
    crop_to: float = Setting(1.0, "The same of the largest crop.", above=0, high=1, only=("pretext",)).field()
    flip: bool = Setting(True, "Mirror half of the clips.").field()
    jitter_crops: int = Setting(
        0,
        "colorization: shift the crop of each frame by up to this much, so that place tells less.",
        panel=CLIPS,
        unit="pixels",
        low=0,
        high=1024,
        former="shake",
        only=("colorization",),
        source="no paper's",
    ).field()
    copy_paste: int = Setting(
        0,
        "colorization: how many pieces of other clips move across each clip.",
        panel=CLIPS,
        unit="pieces",
        low=0,
        high=1000,
        former="paste",
        only=("colorization",),
        source="no paper's",
    ).field()
    stretch_chroma: float = Setting(
        0.0,
        "colorization: stretch a clip's chroma to this standard deviation; 0: leave it.",
        panel=CLIPS,
        unit="Lab units",
        metavar="LAB",
        low=0,
        high=1000,
        former="spread",
        only=("colorization",),
        source="no paper's",
    ).field()

    # How long and how fast.
    steps: int | None = Setting(
        None,
        "How many steps; give these or --minutes. Stopped and resumed, they end with the same weights.",
        int,
        panel=LEARNING,
        low=1,
        high=1_000_000_000,
        none="until the minutes are over",
    ).field()
    minutes: float | None = Setting(
        None,
        "How long, validations included; with --steps, whichever ends first.",
        float,
        panel=LEARNING,
        unit="minutes",
        above=0,
        high=1e7,
        none="until the steps are done",
    ).field()
    batch: int = Setting(
        8, "Clips a step, over all processes.", panel=LEARNING, unit="clips", low=1, high=65_536
    ).field()
    optimizer: Literal["adam", "adamw"] = Setting("adam", "Which optimiser.", choices=("adam", "adamw")).field()
    learning_rate: float = Setting(
        1e-4, "Learning rate of the optimiser.", panel=LEARNING, metavar="RATE", above=0, high=1000
    ).field()
    schedule: Literal["constant", "vondrick", "corrflow", "cosine"] = Setting(
        "cosine",
        "How the learning rate changes over the run.",
        panel=LEARNING,
        choices=("constant", "vondrick", "corrflow", "cosine"),
    ).field()
    warmup: float = Setting(
        0.0, "Share of the run over which the rate rises from 0.", panel=LEARNING, metavar="SHARE", low=0, below=1
    ).field()
    beta1: float = Setting(0.9, "Of the optimiser.", low=0, below=1).field()
    weight_decay: float = Setting(0.0, "Of the optimiser.", low=0, below=1).field()
    clip_gradient: float | None = Setting(
        None, "Greatest norm of the gradient.", float, above=0, high=1e9, none="any"
    ).field()

    # Of the objectives.
    clusters: int = Setting(
        16,
        "How many clusters colours are quantised to.",
        panel=LOSSES,
        low=2,
        high=4096,
        only=("colorization", "corrflow"),
        source="Vondrick 3.2, CorrFlow 3.5",
    ).field()
    temperature: float = Setting(1.0, "Divides similarity.", panel=LOSSES, low=1e-6, high=1e6).field()
    radius: int | None = Setting(
        None,
        "corrflow: how far its restricted attention reaches.",
        int,
        panel=LOSSES,
        unit="cells",
        low=1,
        high=FARTHEST,
        words=FULL,
        only=("corrflow",),
        source="CorrFlow 3.3: 6; off: None",
    ).field()
    color_dropout: bool = Setting(
        True, "corrflow: drop colour channels; off: grey.", panel=LOSSES, only=("corrflow",), source="CorrFlow 3.2"
    ).field()
    scheduled_sampling: bool = Setting(
        True,
        "corrflow: copy from its own predictions too; off: from true frames always.",
        panel=LOSSES,
        only=("corrflow",),
        source="CorrFlow 3.4.1",
    ).field()
    cycle: bool = Setting(
        True,
        "corrflow: also track there and back, and compare with the start.",
        panel=LOSSES,
        only=("corrflow",),
        source="CorrFlow 3.4.2",
    ).field()
    inliers: bool = Setting(
        False,
        "timecycle: the similarity of its code, which does not make all features alike; off: L_sim of its paper.",
        panel=LOSSES,
        only=("timecycle",),
        source="TimeCycle 3.1 and its code",
    ).field()
    queries: int = Setting(
        1, "timecycle: how many patches are followed in each clip.", panel=LOSSES, low=1, high=1000, only=("timecycle",)
    ).field()
    recipe: str = Setting(
        "", "pretext: its tasks and their weights.", panel=LOSSES, metavar="TERMS", only=("pretext",)
    ).field()

    # The machine.
    device: str = Setting("auto", "auto, cpu, cuda, cuda:1 or mps.", panel=MACHINE, metavar="NAME").field()
    dtype: Literal["auto", "float32", "bfloat16"] = Setting(
        "auto", "Number format of the forward pass.", panel=MACHINE, choices=("auto", "float32", "bfloat16")
    ).field()
    threads: int | None = Setting(
        None, "CPU threads.", int, panel=MACHINE, low=1, high=1024, none="as many as torch finds"
    ).field()
    seed: int = Setting(0, "Seed of weights, clips and chance.", panel=MACHINE, low=0, high=2**32 - 1).field()
    log_every: int = Setting(10, "Steps between lines of the log.", unit="steps", low=1, high=1_000_000).field()
    save_every: float = Setting(
        5.0, "Minutes between checkpoints.", panel=MACHINE, unit="minutes", above=0, high=1e6
    ).field()
    validations: int = Setting(
        10,
        "How many validations, evenly over the whole run.",
        panel=MACHINE,
        low=1,
        high=1_000_000,
    ).field()
    held_out: float = Setting(
        0.02, "Share of the shots that are kept for validation.", panel=CLIPS, metavar="SHARE", low=0, below=1
    ).field()

    @property
    def start(self) -> str | None:
        """The weights to go on from; None where they are random."""
        return None if self.init == "random" else self.init

    def __post_init__(self) -> None:
        check_settings(self)
        if self.crop_from > self.crop_to:
            raise ConfigError(f"crops from {self.crop_from} to {self.crop_to}, expected a range within 0 to 1")


# The preset of the objective `pretext`, the default: what `propagate train` does, and its help shows.
OURS: Mapping[str, Any] = {
    "encoder": "resnet18",
    "recipe": "lab:1",
    "temperature": 0.07,  # CRW
    "rate": 2.5,  # after 8 CPU-minutes of `lab`, J at 240 px: .56 at 15 frames a second, .61 at 5, .63 at 2.5
    "size": 160,  # a crop of it costs a tenth of a 480p frame
    "batch": 8,
    "learning_rate": 1e-3,
    "schedule": "cosine",
    "warmup": 0.02,
    "clip_gradient": 10.0,
}


def resolve_training(*layers: Mapping[str, Any]) -> TrainConfig:
    """Return the settings of several layers, the later ones winning over the earlier and over the defaults.

    Raises:
        ConfigError: an unknown setting, with the nearest name, or a value that it cannot take.
    """
    config = TrainConfig(**merge(TrainConfig, layers))
    return replace(config, objective=OBJECTIVES.present_name(config.objective))


def check_objective(objective: str, flags: Mapping[str, Any]) -> None:
    """Refuse an objective that there is not, before anything else, and flags that are of other objectives.

    Raises:
        ConfigError: no such objective, with the nearest; or a flag, and whose it is.
    """
    if objective not in OBJECTIVES:
        raise OBJECTIVES.unknown(objective)
    for name in flags:
        only = settings_of(TrainConfig)[name].only
        if only and objective not in only:
            raise ConfigError(f"{name} is a setting of {' and '.join(only)}, not of {objective}")
