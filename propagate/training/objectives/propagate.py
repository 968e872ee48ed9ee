"""The tool's own objective: the sum of a few terms that teach pointing, chosen for what it learns in a minute.

A recipe names the terms and their weights: "warp:1,lab:0.5,walk:0.2".
- `warp`: the pointer supervised by a known warp of one frame (`known_warp`).
- `walk`: palindrome walks on dense cells (`palindrome`).
- `lab`: a dropped Lab channel rebuilt by the pointer (`dropped_channel`).

The encoder's last features are compared by cosine over a temperature. At test the tool compares those of the layer
before (`shallow` 1, see `config.TOOL`): the last layer is to it what a head is elsewhere. All terms' pictures go
through the encoder in one batch, so its batch norm, in training mode, normalises by the statistics of all of them
together (changed colours, grey and real frames alike) and what it keeps for test is their running mean.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor, nn

from propagate.encoders.as_asked import tool_settings
from propagate.encoders.build import as_module, build_encoder
from propagate.errors import ConfigError
from propagate.training.objectives.dropped_channel import dropped_channel
from propagate.training.objectives.known_warp import known_warp
from propagate.training.objectives.palindrome import palindrome
from propagate.training.objectives.tasks import Cells, Task
from propagate.training.protocol import ClipForm

if TYPE_CHECKING:
    from propagate.encoders.protocol import Encoder
    from propagate.training.config import TrainConfig


class Term(Protocol):
    """What asks something of the encoder in one step; `clips` are (B, T, 3, S, S) in [0, 1]."""

    def __call__(self, clips: Tensor, *, cells: Cells, temperature: float, random: torch.Generator) -> Task:
        """Return its task of one step."""
        ...


TERMS: Mapping[str, Term] = {"warp": known_warp, "walk": palindrome, "lab": dropped_channel}
FRAMES = {"warp": 1, "walk": 3, "lab": 3}  # of a clip, that a term wants by itself
LEAST_FRAMES = {"warp": 1, "walk": 2, "lab": 2}
# After 2 CPU-minutes J of two davis_dev sequences at 240 px, alone and with colour beside: random .26; lab .62, .70;
# warp .23, .64. A prototype given 24 minutes or more had warp ahead with colour beside (.77 against .74 of lab).
RECIPE = "lab:1"


def parse_recipe(recipe: str) -> dict[str, float]:
    """Return weights by term, in the order given; of "" the default.

    Raises:
        ConfigError: a term that there is not, one given twice, or a weight that is no positive number.
    """
    weights: dict[str, float] = {}
    for part in (recipe or RECIPE).split(","):
        name, colon, number = (word.strip() for word in part.partition(":"))
        if name not in TERMS:
            raise ConfigError(f"recipe {recipe!r}: no term {name!r}", hint=f"terms are {', '.join(TERMS)}: {RECIPE!r}")
        if name in weights:
            raise ConfigError(f"recipe {recipe!r}: {name!r} is there twice")
        try:
            weights[name] = float(number) if colon else 1.0
        except ValueError:
            weights[name] = math.nan
        if not 0 < weights[name] < math.inf:
            raise ConfigError(f"recipe {recipe!r}: the weight of {name!r} must be a number above 0, not {number!r}")
    return weights


class Propagating(nn.Module):
    """The terms of `config.recipe` over one encoder.

    Args:
        config: `recipe`, `temperature`, and what its clips are like.
        encoder: what is trained; None builds `config.encoder`.

    Raises:
        ConfigError: the recipe is wrong, or clips are shorter than its terms need.
    """

    name = "propagate"
    preset: Mapping[str, object] = {
        "encoder": "resnet18",
        "recipe": RECIPE,
        "temperature": 0.07,  # CRW
        "rate": 2.5,  # after 8 CPU-minutes of `lab`, J at 240 px: .56 at 15 frames a second, .61 at 5, .63 at 2.5
        "size": 160,  # a crop of it costs a tenth of a 480p frame
        "batch": 8,
        "learning_rate": 1e-3,
        "schedule": "cosine",
        "warmup": 0.02,
        "clip_gradient": 10.0,
    }

    def __init__(self, config: TrainConfig, encoder: Encoder | None = None) -> None:
        super().__init__()
        self.weights = parse_recipe(config.recipe)
        self.temperature = config.temperature
        self.encoder: Encoder = encoder or build_encoder(config.encoder or "resnet18", seed=config.seed)
        assert as_module(self.encoder) is self.get_submodule("encoder")  # registered, so that it is trained and saved
        if encoder is None or config.start is None:
            self.encoder.preset = {
                **self.encoder.preset,
                **tool_settings(self.encoder),
            }  # what its weights are run with
        self.cells = Cells(self.encoder.stride, self.encoder.offset)
        frames = config.frames or max(FRAMES[term] for term in self.weights)
        for term in self.weights:
            if frames < LEAST_FRAMES[term]:
                raise ConfigError(f"the term {term!r} needs clips of {LEAST_FRAMES[term]} frames or more, not {frames}")
        self.form = ClipForm(
            frames,
            config.rate,
            config.size,
            framing=config.framing,
            scale=(config.crop_from, config.crop_to),
            flip=config.flip,
            backward=True,
        )

    def fit(self, frames: Tensor) -> None:
        """Learn nothing from (N, 3, H, W) `frames`: there is nothing to know before the first step."""

    def record(self) -> dict[str, Any]:
        """Return the recipe."""
        return {"recipe": ",".join(f"{term}:{weight:g}" for term, weight in self.weights.items())}

    def forward(self, clips: Tensor, *, progress: float, random: torch.Generator) -> dict[str, Tensor]:
        """Return the loss of each term, unweighted, by its name, and their weighted sum as "loss".

        Args:
            clips: (B, T, 3, S, S) in [0, 1].
            progress: unused: the terms do not change during a run.
            random: on the CPU.
        """
        with torch.autocast(clips.device.type, enabled=False):  # places of pixels would lose a pixel in bfloat16
            tasks = [self._task(term, clips, random=random) for term in self.weights]
        features = self.encoder.encode(torch.cat([task.pictures for task in tasks]))  # (N, C, h, w)
        parts = features.to(clips.dtype).split([len(task.pictures) for task in tasks])
        with torch.autocast(clips.device.type, enabled=False):  # similarity over temperature wants float32 too
            losses = {term: task.loss(part) for term, task, part in zip(self.weights, tasks, parts, strict=True)}
        total = torch.stack([weight * losses[term] for term, weight in self.weights.items()]).sum()
        return {"loss": total, **losses}

    def _task(self, term: str, clips: Tensor, *, random: torch.Generator) -> Task:
        """Return what a term asks in this step."""
        return TERMS[term](clips, cells=self.cells, temperature=self.temperature, random=random)
