"""The tool's own pretext tasks: rebuild a dropped channel, find known warps, walk a clip back and forth."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor, nn

from propagate.encoders.build import as_module, build_encoder
from propagate.encoders.features import tool_settings
from propagate.errors import ConfigError
from propagate.ops.clip_attention import copy_everywhere
from propagate.ops.color import lab_to_rgb, rgb_to_lab
from propagate.training.config import OURS, TrainConfig
from propagate.training.objectives.augment import (
    KnownPair,
    change_look,
    crop_fields,
    draw_crops,
    inside,
    into_crops,
    known_pair,
    look,
)
from propagate.training.objectives.tasks import FLOOR, Cells, Task, log_pointer, place_loss, unit
from propagate.training.protocol import ClipForm

if TYPE_CHECKING:
    from propagate.encoders.protocol import Encoder

DROPS = ((1, 0, 0), (0, 1, 0), (0, 0, 1), (0, 1, 1))  # L, a, b, or both a and b: which a clip lacks, evenly
SCALE = (50.0, 20.0, 20.0)  # of L, a, b in the loss: about the spread of each in video
BETA = 0.25  # where the smooth L1 turns straight, in those units


def dropped_channel(clips: Tensor, *, cells: Cells, temperature: float, random: torch.Generator) -> Task:
    """Return the term of one step: each clip without a channel; the last frame is rebuilt from all before it.

    Args:
        clips: (B, T, 3, S, S) in [0, 1], T at least 2.
        cells: of the encoder.
        temperature: divides the cosine.
        random: on the CPU.
    """
    lab = rgb_to_lab(clips)
    which = torch.randint(len(DROPS), (len(clips),), generator=random)
    dropped = torch.tensor(DROPS, dtype=torch.bool)[which].to(clips.device)  # (B, 3)
    mean = lab.mean((1, 3, 4), keepdim=True)
    shown = lab_to_rgb(torch.where(dropped[:, None, :, None, None], mean, lab))
    scale = torch.tensor(SCALE, dtype=lab.dtype, device=lab.device).view(3, 1, 1)
    labels = cell_means(lab.flatten(0, 1) / scale, cells).unflatten(0, lab.shape[:2])  # (B, T, 3, h, w)

    def loss(features: Tensor) -> Tensor:
        views = features.unflatten(0, lab.shape[:2])  # (B, T, C, h, w)
        return rebuilding_loss(views, labels.to(views.dtype), dropped, temperature=temperature)

    return Task(shown.flatten(0, 1), loss)


def rebuilding_loss(views: Tensor, labels: Tensor, dropped: Tensor, *, temperature: float) -> Tensor:
    """Return the smooth L1 between the last frame's dropped channels and those the pointer copies from the others.

    Args:
        views: (B, T, C, h, w) features.
        labels: (B, T, 3, h, w) scaled Lab.
        dropped: (B, 3) the channels that count; each clip counts the same.
        temperature: divides the cosine.
    """
    flat = unit(views)
    rebuilt = copy_everywhere(flat[:, -1], flat[:, :-1], labels[:, :-1], temperature=temperature)  # (B, 3, h, w)
    wrong = torch.nn.functional.smooth_l1_loss(rebuilt, labels[:, -1], beta=BETA, reduction="none").mean((2, 3))
    counted = dropped.to(wrong.dtype)
    return ((wrong * counted).sum(1) / counted.sum(1)).mean()


def cell_means(pictures: Tensor, cells: Cells) -> Tensor:
    """Return the mean of (N, C, H, W) pictures around each cell's centre, over what a cell spans: (N, C, h, w).

    With an offset of 0 and an even stride s the span is s + 1 pixels, centred, of which the border cuts a part.
    """
    if cells.offset:
        raise ValueError(f"cells at an offset of {cells.offset} pixels: only 0 is known here")
    reach = cells.stride // 2
    return torch.nn.functional.avg_pool2d(
        pictures, 2 * reach + 1, stride=cells.stride, padding=reach, count_include_pad=False
    )


WARP_STRENGTH = 1.0  # of the colour changes: features that ignore colour combine best with colour itself at test
WARP_GREY = 0.25  # share of pictures, each side by itself


def known_warp(clips: Tensor, *, cells: Cells, temperature: float, random: torch.Generator) -> Task:
    """Return the term of one step: one frame of each clip, warped; pieces of the batch's next clip pasted in.

    Args:
        clips: (B, T, 3, S, S) in [0, 1].
        cells: of the encoder.
        temperature: divides the cosine.
        random: on the CPU.
    """
    frame = torch.randint(clips.shape[1], (len(clips),), generator=random).to(clips.device)
    pictures = clips[torch.arange(len(clips), device=clips.device), frame]  # (B, 3, S, S)
    pair = known_pair(pictures, pictures.roll(1, 0), random=random)
    shown = change_look(torch.cat([pair.source, pair.target]), strength=WARP_STRENGTH, grey=WARP_GREY, random=random)
    return Task(shown, lambda features: pair_loss(features, pair, cells=cells, temperature=temperature))


def pair_loss(features: Tensor, pair: KnownPair, *, cells: Cells, temperature: float) -> Tensor:
    """Return the loss of the pointer from the targets of known pairs into their sources.

    Args:
        features: (2 * B, C, h, w), the sources' and then the targets'.
        pair: of B.
        cells: of the encoder.
        temperature: divides the cosine.
    """
    keys, query = unit(features).flatten(2).chunk(2)
    shape = (features.shape[2], features.shape[3])
    places = cells.from_pixels(cells.at_centres(pair.places)).flatten(1, 2)  # (B, Q, 2)
    known = cells.at_centres(pair.visible).flatten(1) & inside(places, shape)
    return place_loss(log_pointer(query, keys, temperature=temperature), places, known, shape=shape)


PALINDROME_STRENGTH = 0.5  # of the colour changes: real frames differ by themselves
PALINDROME_GREY = 0.15  # share of pictures
WALKERS = 256  # cells of the first crop that walks begin from, drawn anew each step


def palindrome(clips: Tensor, *, cells: Cells, temperature: float, random: torch.Generator) -> Task:
    """Return the term of one step: views of frames 0, 1, ..., T-1 and 0 again, each its own crop and look.

    Args:
        clips: (B, T, 3, S, S) in [0, 1], T at least 2.
        cells: of the encoder.
        temperature: divides the cosine.
        random: on the CPU.
    """
    count, size = len(clips), (clips.shape[3], clips.shape[4])
    route = torch.cat([clips, clips[:, :1]], 1)  # (B, V, 3, S, S) with V = T + 1
    crops = draw_crops(count * route.shape[1], size, random=random).to(clips)
    fields = crop_fields(crops, size)
    shown = change_look(
        look(route.flatten(0, 1), fields), strength=PALINDROME_STRENGTH, grey=PALINDROME_GREY, random=random
    )
    each = crops.view(count, -1, 3)
    begun = fields.unflatten(0, (count, -1))[:, 0]  # (B, S, S, 2) pixels of the clip
    home = into_crops(begun, each[:, -1])
    # Motion aside, a walker meets its place in every crop.
    known = torch.stack([inside(into_crops(begun, crop), size) for crop in each.unbind(1)]).all(0)  # (B, S, S)
    drawn = torch.randperm(cells.at_centres(known).flatten(1).shape[1], generator=random)[:WALKERS].to(clips.device)

    def loss(features: Tensor) -> Tensor:
        views = features.unflatten(0, (count, -1))  # (B, V, C, h, w)
        places = cells.from_pixels(cells.at_centres(home)).flatten(1, 2)[:, drawn]
        seen = cells.at_centres(known).flatten(1)[:, drawn]
        return walk_loss(views, places, seen, walkers=drawn, temperature=temperature)

    return Task(shown, loss)


def walk_loss(views: Tensor, places: Tensor, known: Tensor, *, walkers: Tensor, temperature: float) -> Tensor:
    """Return how far walks end from home, the mean over palindromes of every length (CRW's sub-cycles).

    Args:
        views: (B, V, C, h, w) features: frames 0, 1, ..., V-2 in time, and frame 0 again.
        places: (B, Q, 2) fractional cells column, row of the last view where each walk should end.
        known: (B, Q) walks that count: their end is on the last view.
        walkers: (Q,) cells of the first view where the walks begin.
        temperature: divides the cosine.
    """
    shape = (views.shape[3], views.shape[4])
    flat = unit(views).flatten(3)  # (B, V, C, h*w)
    inner = known & inside(places, shape)
    losses, there, back = [], None, None
    for far in range(1, flat.shape[1] - 1):
        start = flat[:, far - 1] if far > 1 else flat[:, 0][:, :, walkers]
        step = log_pointer(start, flat[:, far], temperature=temperature).exp()
        there = step if there is None else there @ step  # (B, Q, M): from the walkers to frame `far`
        end = flat[:, -1] if far == 1 else flat[:, far - 1]
        home = log_pointer(flat[:, far], end, temperature=temperature).exp()
        back = home if back is None else home @ back  # (B, M, M): from frame `far` to the last view
        losses.append(place_loss((there @ back + FLOOR).log(), places, inner, shape=shape))
    return torch.stack(losses).mean()


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
RECIPE = str(OURS["recipe"])


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


class PretextTasks(nn.Module):
    """The weighted sum of the pretext tasks that `config.recipe` names, over one encoder.

    Args:
        config: `recipe`, `temperature`, and what its clips are like.
        encoder: what is trained; None builds `config.encoder`.

    Raises:
        ConfigError: the recipe is wrong, or clips are shorter than its terms need.
    """

    name = "pretext"
    preset: Mapping[str, object] = OURS

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
