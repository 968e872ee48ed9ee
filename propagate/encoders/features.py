"""The features that are compared: an encoder's cells and depths as the settings ask, centred, with colour appended."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from propagate.config import TOOL
from propagate.encoders.dilation import at_stride
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


class FeatureExtractor:
    """Computes the features that are compared, of frames of one size: all that the engine sees of a network.

    Features may be centred, that is, have a mean of zero over the cells of each frame, in every channel; and they may
    have the colours around their cell appended. With w for lab_weight and T for the temperature, "distance" then scores
    -|q - k|^2 / (2 T), which is, but for a part that is the same for all keys, cosine / T - w |dLab|^2 where the
    features are compared by cosine, and -|df|^2 / (2 T) - w |dLab|^2 where by distance.

    Args:
        encoder: as loaded, on its device.
        config: size, stride, layer_mix, center_features, lab_weight, temperature, similarity.
        video: (height, width) of the frames.
        device: where frames are brought to; the encoder's when None.
        luma_only: the encoder is shown a frame's luma three times instead of its colours.
        learned_only: features as the network gives them, neither centred nor with colours appended.

    Attributes:
        grid: where the cells lie in the video's pixels.
        similarity: what products of queries and keys are to be.
        temporal: how many references `embed` wants beside the target; 0 when frames are embedded alone.

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
        self._scale = (2 * self.lab_weight * config.temperature) ** 0.5

    @property
    def shape(self) -> tuple[int, int]:
        """(h, w) of the grid."""
        return self.grid.rows, self.grid.columns

    def encode(self, rgb: NDArray[np.uint8]) -> Tensor:
        """Return what is kept of a frame (H, W, 3), computed once a frame: (Ct, h, w)."""
        levels = resized(rgb, self.grid.input, device=self.device)  # (1, 3, H, W) uint8
        picture = levels.float() / 255
        return self.encode_input(grey(picture)) if self.luma_only else self._encode(picture, colors=levels)

    def encode_input(self, picture: Tensor) -> Tensor:
        """Return what is kept of a frame as the encoder sees it, (1, 3, H, W) in [0, 1]: (Ct, h, w)."""
        return self._encode(picture, colors=picture.float())

    def _encode(self, picture: Tensor, *, colors: Tensor) -> Tensor:
        """Return what `encode_input` does; `colors` is the picture as `rgb_to_lab` takes it."""
        kept = self.encoder.encode(picture)
        if self.centered:
            whole = kept.float()
            kept = (whole - whole.mean((2, 3), keepdim=True)).to(kept.dtype)
        return self._with_lab(kept, colors)[0] if self.lab_weight else kept[0]

    def embed(self, stack: Tensor) -> Tensor:
        """Return the features (T, C, h, w) of a target and its references, (T, Ct, h, w) with the target last."""
        return stack if self.lab_weight else self.encoder.embed(stack)  # with colours appended they are embedded

    def _with_lab(self, kept: Tensor, colors: Tensor) -> Tensor:
        """Return the features of one frame, (1, C + 27, h, w), in the dtype of the encoder's."""
        features = self.encoder.embed(kept).contiguous()  # channels last, the norm would be summed in another order
        if self._unit:
            features = F.normalize(features.float(), dim=1).to(features.dtype)
        return torch.cat([features, (self._scale * self._lab(colors)).to(features.dtype)], 1)

    def _lab(self, colors: Tensor) -> Tensor:
        """Return the mean Lab around each cell's centre and its neighbours', (1, 27, h, w), weighted to mean one."""
        stride, offset = self.encoder.stride, self.encoder.offset
        before = max(0, int(stride / 2 - offset))  # pixels that the first cell's square begins before 0
        needed = [stride * cells - before - length for cells, length in zip(self.shape, colors.shape[2:], strict=True)]
        down, right = (max(0, length) for length in needed)
        lab = F.pad(rgb_to_lab(colors), (before, right, before, down), mode="replicate")
        mean = F.avg_pool2d(lab, stride)[..., : self.shape[0], : self.shape[1]] / 50.0
        mean = mean - torch.tensor((1.0, 0.0, 0.0), device=colors.device).view(3, 1, 1)
        return with_neighbours(mean[0], NEIGHBOURS)[None]


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
