"""The features that are compared: an encoder's cells and depths as the settings ask, centred, with colour appended."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from propagate.config import TOOL
from propagate.encoders.dilation import at_stride, can_be_denser, denser, reach
from propagate.encoders.protocol import Encoder
from propagate.encoders.resnet import ResNet18
from propagate.encoders.trunk import RESNET_WIDTHS
from propagate.errors import ConfigError
from propagate.ops.attention import Similarity, with_neighbours
from propagate.ops.color import grey, resized, rgb_to_lab
from propagate.ops.grid import Grid

if TYPE_CHECKING:
    from propagate.config import PropagateConfig

FINE = 8  # pixels a cell, below which "auto" counts cells as fine
WEIGHT, FINE_WEIGHT = 15.0, 60.0  # of colour beside cells of FINE pixels or more, and beside finer ones: see SEARCH.md
NEIGHBOURS = 3  # cells on the side of the neighbourhood whose colours are compared
FINER = 2  # fine cells on a cell's side


class Box(NamedTuple):
    """A part of a grid: rows of cells from `top` to before `bottom`, columns from `left` to before `right`."""

    top: int
    left: int
    bottom: int
    right: int


@dataclass(frozen=True)
class View:
    """A frame as it was encoded, of which parts may be looked at more closely.

    Attributes:
        trunk: (Ct, h, w), what is kept of it.
        levels: (1, 3, H, W) uint8, the picture that the encoder saw.
        stem: (1, 64, H/4, W/4), what the encoder began with; None where nothing is looked at more closely.
        mean: (1, C, 1, 1) float32, what centring took from the encoder's features; None where it took nothing.
    """

    trunk: Tensor
    levels: Tensor
    stem: Tensor | None = None
    mean: Tensor | None = None


class FeatureExtractor:
    """Computes the features that are compared, of frames of one size: all that the engine sees of a network.

    Features may be centred, that is, have a mean of zero over the cells of each frame, in every channel; and they may
    have the colours around their cell appended. With w for lab_weight and T for the temperature, "distance" then scores
    -|q - k|^2 / (2 T), which is, but for a part that is the same for all keys, cosine / T - w |dLab|^2 where the
    features are compared by cosine, and -|df|^2 / (2 T) - w |dLab|^2 where by distance.

    Args:
        encoder: as loaded, on its device.
        config: size, stride, layer_mix, center_features, lab_weight, temperature, similarity, refine.
        video: (height, width) of the frames.
        device: where frames are brought to; the encoder's when None.
        luma_only: the encoder is shown a frame's luma three times instead of its colours.
        learned_only: features as the network gives them, neither centred nor with colours appended.

    Attributes:
        grid: where the cells lie in the video's pixels.
        similarity: what products of queries and keys are to be.
        temporal: how many references `embed` wants beside the target; 0 when frames are embedded alone.
        refines: whether there are fine cells, and the settings ask for them.

    Raises:
        ConfigError: something that this encoder cannot have.
    """

    def __init__(
        self,
        encoder: Encoder,
        config: PropagateConfig,
        video: tuple[int, int],
        *,
        device: torch.device | str | None = None,
        luma_only: bool = False,
        learned_only: bool = False,
    ) -> None:
        self.encoder = at_stride(at_two_depths(encoder, config), config, video)
        self.device = torch.device(device) if device is not None else device_of(encoder) or torch.device("cpu")
        self.grid = Grid.of(video, size=config.size, stride=self.encoder.stride, offset=self.encoder.offset)
        self.temporal, self.luma_only = self.encoder.temporal, luma_only
        self.centered = not learned_only and center_features(self.encoder, config)
        self.lab_weight = 0.0 if learned_only else lab_weight(self.encoder, config)
        self.similarity: Similarity = "distance" if self.lab_weight else config.similarity
        self._unit = config.similarity == "cosine"
        self._doubled_temperature = 2 * config.temperature
        fine = isinstance(self.encoder, ResNet18) and can_be_denser(self.encoder)
        self.refines = fine and config.refine and not (luma_only or learned_only)
        self._fine_weight = FINE_WEIGHT if config.lab_weight == "auto" and self.lab_weight else self.lab_weight

    @property
    def shape(self) -> tuple[int, int]:
        """(h, w) of the grid."""
        return self.grid.rows, self.grid.columns

    def encode(self, rgb: NDArray[np.uint8]) -> Tensor:
        """Return what is kept of a frame (H, W, 3), computed once a frame: (Ct, h, w)."""
        return self.view(rgb).trunk

    def view(self, rgb: NDArray[np.uint8]) -> View:
        """Return what is kept of a frame (H, W, 3), and what `closer` needs of it."""
        levels = resized(rgb, self.grid.input, device=self.device)  # (1, 3, H, W) uint8
        picture = levels.float() / 255
        if self.luma_only:
            return View(self.encode_input(grey(picture)), levels)
        if not self.refines:
            return View(self._features(self.encoder.encode(picture), levels)[0], levels)
        assert isinstance(self.encoder, ResNet18), "others are not refined"
        stem = self.encoder.begin(picture)
        trunk, mean = self._features(self.encoder.trunk.finish(stem), levels)
        return View(trunk, levels, stem, mean)

    def encode_input(self, picture: Tensor) -> Tensor:
        """Return what is kept of a frame as the encoder sees it, (1, 3, H, W) in [0, 1]: (Ct, h, w)."""
        return self._features(self.encoder.encode(picture), picture.float())[0]

    def closer(self, view: View, box: Box) -> Tensor:
        """Return the features of the fine cells in a part of a frame, (C, 2 * rows, 2 * columns).

        They are those of `denser(encoder)`, so that the first fine cell of a cell lies at its centre. The network goes
        on from what it began with, cut out with all that it sees around the part: nothing but rounding depends on it.

        Args:
            view: of the frame.
            box: in cells of the grid.
        """
        assert view.stem is not None, "see `refines`"
        trunk = self._finer.trunk
        top, left, bottom, right = (FINER * side for side in box)
        stem, (down, across) = _cut(view.stem, Box(top, left, bottom, right), around=self._halo)
        kept = self._centred(trunk.finish(stem), view.mean)[..., down:, across:][..., : bottom - top, : right - left]
        kept = _completed(kept, (bottom - top, right - left))
        step = trunk.stride
        pixels = Box(step * top, step * left, step * bottom, step * right)
        levels, (down, across) = _cut(view.levels, pixels, around=NEIGHBOURS * step)
        shape = -(-levels.shape[2] // step), -(-levels.shape[3] // step)
        lab = _lab_around(levels, shape, stride=step, offset=self._finer.offset) if self.lab_weight else None
        if lab is not None:
            lab = lab[..., down // step :, across // step :][..., : bottom - top, : right - left]
            lab = _completed(lab, (bottom - top, right - left))
        return self._with_lab(kept, lab, weight=self._fine_weight)[0]

    @cached_property
    def _finer(self) -> ResNet18:
        """The encoder with cells of half the size."""
        finer = denser(self.encoder)
        assert isinstance(finer, ResNet18), "others are not refined"
        return finer

    @cached_property
    def _halo(self) -> int:
        """How many cells of what the encoder began with are seen around a fine cell."""
        return reach(self._finer.trunk)

    def _features(self, kept: Tensor, colors: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return what is kept of a frame, (Ct, h, w), and the mean that centring took.

        Args:
            kept: (1, C, h, w), from the encoder.
            colors: (1, 3, H, W), the picture as `rgb_to_lab` takes it.
        """
        mean = kept.float().mean((2, 3), keepdim=True) if self.centered else None
        lab = None
        if self.lab_weight:
            lab = _lab_around(colors, self.shape, stride=self.encoder.stride, offset=self.encoder.offset)
        return self._with_lab(self._centred(kept, mean), lab, weight=self.lab_weight)[0], mean

    def _centred(self, kept: Tensor, mean: Tensor | None) -> Tensor:
        return kept if mean is None else (kept.float() - mean).to(kept.dtype)

    def embed(self, stack: Tensor) -> Tensor:
        """Return the features (T, C, h, w) of a target and its references, (T, Ct, h, w) with the target last."""
        return stack if self.lab_weight else self.encoder.embed(stack)  # with colours appended they are embedded

    def _with_lab(self, kept: Tensor, lab: Tensor | None, *, weight: float) -> Tensor:
        """Return features with colours, (1, C + 27, h, w), in the dtype of the encoder's; `kept` without colours."""
        if lab is None:
            return kept
        features = self.encoder.embed(kept).contiguous()  # channels last, the norm would be summed in another order
        if self._unit:
            features = F.normalize(features.float(), dim=1).to(features.dtype)
        scale = (weight * self._doubled_temperature) ** 0.5
        return torch.cat([features, (scale * lab).to(features.dtype)], 1)


def _lab_around(colors: Tensor, shape: tuple[int, int], *, stride: int, offset: float) -> Tensor:
    """Return the mean Lab around each cell's centre and its neighbours', (1, 27, h, w), weighted to mean one."""
    before = max(0, int(stride / 2 - offset))  # pixels that the first cell's square begins before 0
    needed = [stride * cells - before - length for cells, length in zip(shape, colors.shape[2:], strict=True)]
    down, right = (max(0, length) for length in needed)
    lab = F.pad(rgb_to_lab(colors), (before, right, before, down), mode="replicate")
    mean = F.avg_pool2d(lab, stride)[..., : shape[0], : shape[1]] / 50.0
    mean = mean - torch.tensor((1.0, 0.0, 0.0), device=colors.device).view(3, 1, 1)
    return with_neighbours(mean[0], NEIGHBOURS)[None]


def _cut(picture: Tensor, part: Box, *, around: int) -> tuple[Tensor, tuple[int, int]]:
    """Return a part of a picture (1, C, H, W) with what there is around it, and where the part begins in that."""
    top, left = max(0, part.top - around), max(0, part.left - around)
    inside = picture[..., top : part.bottom + around, left : part.right + around]
    return inside, (part.top - top, part.left - left)


def _completed(cells: Tensor, shape: tuple[int, int]) -> Tensor:
    """Return cells (1, C, h, w) of a shape; where the picture has no more the last row or column is repeated."""
    lacking = (0, shape[1] - cells.shape[3], 0, shape[0] - cells.shape[2])
    return F.pad(cells.float(), lacking, mode="replicate").to(cells.dtype) if any(lacking) else cells


def check_features(encoder: Encoder, config: PropagateConfig) -> None:
    """Refuse settings that an encoder cannot have, before there is a frame.

    Raises:
        ConfigError: layer_mix, center_features or lab_weight is one of them.
    """
    _check_layer_mix(encoder, config)
    center_features(encoder, config)
    lab_weight(encoder, config)


def device_of(encoder: Encoder) -> torch.device | None:
    """Return the device that the encoder's tensors are on; None when it has none."""
    if not isinstance(encoder, nn.Module):
        return None
    tensors = (*encoder.parameters(), *encoder.buffers())
    return tensors[0].device if tensors else None


def lab_weight(encoder: Encoder, config: PropagateConfig) -> float:
    """Return the weight of colour, 0 for none; "auto" gives it where the encoder can have it, and more to fine cells.

    Fine are cells of less than 8 pixels: those of every network in small pictures, always those of `corrflow` and
    `rawcolor`. What a network sees around a cell is wider there in cells, and takes in more that is not the thing.

    Raises:
        ConfigError: it is asked for, but the encoder embeds frames together, or similarity is a plain inner product.
    """
    possible = not encoder.temporal and config.similarity != "dot"
    if config.lab_weight == "auto":
        return 0.0 if not possible else WEIGHT if encoder.stride >= FINE else FINE_WEIGHT
    if config.lab_weight and not possible:
        what = f"{encoder.name!r} embeds frames together" if encoder.temporal else "similarity is 'dot'"
        raise ConfigError(f"lab_weight is {config.lab_weight:g}, but {what}", hint="--lab-weight 0")
    return config.lab_weight


def center_features(encoder: Encoder, config: PropagateConfig) -> bool:
    """Return whether each frame's mean is taken from its features.

    "auto" takes it from cells of 8 pixels or more; in finer ones (see `lab_weight`) it was no gain.

    Raises:
        ConfigError: it is asked for, but the encoder embeds frames together, or similarity is not the cosine.
    """
    possible = not encoder.temporal and config.similarity == "cosine"
    if config.center_features == "auto":
        return possible and encoder.stride >= FINE
    if config.center_features and not possible:
        embeds = f"{encoder.name!r} embeds frames together"
        what = embeds if encoder.temporal else f"similarity is {config.similarity!r}, not 'cosine'"
        raise ConfigError(f"center_features is set, but {what}", hint="--no-center-features")
    return config.center_features


def has_two_depths(encoder: Encoder) -> bool:
    """Return whether the encoder's last two layers have one stride and nothing comes after them."""
    return isinstance(encoder, ResNet18) and len(encoder.trunk.layers) > 2


def at_two_depths(encoder: Encoder, config: PropagateConfig) -> Encoder:
    """Return the encoder with the features of its last two layers, where the settings ask for it.

    Their cosines add up: (1 - layer_mix) of the last layer's and layer_mix of the other's. At 1 the last is not
    computed.

    Raises:
        ConfigError: the encoder gives one depth only, or similarity is not the cosine.
    """
    _check_layer_mix(encoder, config)
    if not config.layer_mix:
        return encoder
    assert isinstance(encoder, ResNet18)
    both: Any = copy.deepcopy(encoder)
    both.trunk.layer_mix = config.layer_mix
    before = RESNET_WIDTHS[len(both.trunk.layers) - 2]
    both.channels = before if config.layer_mix == 1 else both.channels + before
    result: Encoder = both
    return result


def _check_layer_mix(encoder: Encoder, config: PropagateConfig) -> None:
    if config.layer_mix and (not has_two_depths(encoder) or config.similarity != "cosine"):
        what = "similarity is not 'cosine'" if has_two_depths(encoder) else f"{encoder.name!r} has one depth"
        raise ConfigError(f"layer_mix is {config.layer_mix:g}, but {what}", hint="--layer-mix 0")


def tool_settings(encoder: Encoder) -> dict[str, Any]:
    """Return the tool's own settings, without those that this encoder cannot have.

    Frames that are embedded together keep their size, similarity and temperature: `colorization` knows the place of a
    cell in a square of 32x32, and what its inner products say is lost to a cosine.
    """
    without: dict[str, Any] = {}
    if encoder.temporal:
        without |= {name: encoder.preset[name] for name in ("size", "similarity", "temperature")}
    if not has_two_depths(encoder):
        without["layer_mix"] = 0.0
    return {**TOOL, **without}
