"""Vondrick's baseline: the colours of a single picture, classified into bins."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from propagate.encoders.build import build_encoder
from propagate.encoders.trunk import gaussian_initialization
from propagate.errors import ConfigError
from propagate.ops.color import grey, rgb_to_lab
from propagate.training.objectives.colors import sample_chroma
from propagate.training.protocol import ClipForm

if TYPE_CHECKING:
    from propagate.encoders.protocol import Encoder
    from propagate.training.config import TrainConfig

SIDE = 10  # of a bin, in units of a and b
# The authors' 313 bins "in gamut": of each a the first and the last b. They do not say how they chose them; sRGB has
# colours nearest to 261 of these centres, the others lie around.
GAMUT = {
    -90: (50, 90),
    -80: (20, 90),
    -70: (0, 90),
    -60: (-20, 90),
    -50: (-30, 100),
    -40: (-40, 100),
    -30: (-50, 100),
    -20: (-50, 100),
    -10: (-60, 100),
    0: (-70, 100),
    10: (-80, 90),
    20: (-80, 90),
    30: (-90, 90),
    40: (-100, 90),
    50: (-100, 80),
    60: (-110, 80),
    70: (-110, 80),
    80: (-110, 70),
    90: (-110, 70),
    100: (-90, 0),
}
NEIGHBOURS = 5  # bins that a colour is spread over
SIGMA = 5.0  # of that spread, and of the smoothing of the prior
UNIFORM = 0.5  # lambda: share of the uniform distribution in what the weights are the inverse of
EVEN = 1e-12  # keeps the answer of bins that no colour reached above zero


def bin_centres() -> Tensor:
    """Return the centres (313, 2) of the bins, a and b, ascending."""
    return torch.tensor([(a, b) for a, (low, high) in GAMUT.items() for b in range(low, high + 1, SIDE)]).float()


def soft_encode(chroma: Tensor, centres: Tensor) -> tuple[Tensor, Tensor]:
    """Return the bins that colours are spread over and how much each has (section 2.2).

    Args:
        chroma: (N, 2) a, b.
        centres: (Q, 2).

    Returns:
        bins (N, 5) int64, nearest first; shares (N, 5), proportional to a Gaussian of the distance, sum 1.
    """
    distance = (chroma[:, None] - centres).square().sum(-1)  # (N, Q)
    nearest, bins = distance.topk(min(NEIGHBOURS, len(centres)), dim=1, largest=False)
    return bins, torch.softmax(-nearest / (2 * SIGMA**2), dim=1)


def smooth(histogram: Tensor, centres: Tensor) -> Tensor:
    """Return a distribution (Q,) smoothed over the plane with a Gaussian, sum 1 (section 2.2)."""
    kernel = torch.exp(-(centres[:, None] - centres).square().sum(-1) / (2 * SIGMA**2))
    smoothed = kernel @ histogram
    return smoothed / smoothed.sum()


def rebalancing(prior: Tensor) -> Tensor:
    """Return the weight (Q,) of each bin, the rarer the heavier, 1 on average over the prior (eq. 4, lambda 0.5)."""
    inverse = 1 / ((1 - UNIFORM) * prior + UNIFORM / len(prior))
    return inverse / (prior * inverse).sum()


def centre_chroma(rgb: Tensor, *, stride: int, offset: float) -> Tensor:
    """Return the a and b of the pixel at the centre of each cell, (N, 2, h, w); Zhang et al. take every fourth pixel.

    Args:
        rgb: (N, 3, H, W) in [0, 1].
        stride, offset: of the encoder; a centre between pixels takes the one before it.
    """
    height, width = rgb.shape[-2:]
    rows, columns = (_centres(length, stride, offset).to(rgb.device) for length in (height, width))
    with torch.no_grad(), torch.autocast(rgb.device.type, enabled=False):
        return rgb_to_lab(rgb[..., rows[:, None], columns].float())[:, 1:]


def _centres(length: int, stride: int, offset: float) -> Tensor:
    """Return the pixels at the cells' centres along one axis, the last one brought inside the picture."""
    return (torch.arange(-(-length // stride)) * stride + int(offset)).clamp(max=length - 1)


class ColorBins(nn.Module):
    """The rebalanced loss of colours in bins, after `fit` (eq. 2 to 4).

    Args:
        stride, offset: of the encoder.
    """

    centres: Tensor  # (Q, 2)
    weights: Tensor  # (Q,); NaN until they are fitted
    answer: Tensor  # (Q,) the constant answer with the least loss on the data that was fitted

    def __init__(self, *, stride: int, offset: float) -> None:
        super().__init__()
        self.stride, self.offset = stride, offset
        centres = bin_centres()
        self.register_buffer("centres", centres)
        self.register_buffer("weights", torch.full((len(centres),), torch.nan))
        self.register_buffer("answer", torch.full((len(centres),), torch.nan))

    def __len__(self) -> int:
        return len(self.centres)

    def fit(self, frames: Tensor) -> None:
        """Learn the weights from the colours of (N, 3, H, W) frames in [0, 1]."""
        centres = self.centres.cpu()
        bins, shares = soft_encode(sample_chroma(frames), centres)
        histogram = torch.bincount(bins[:, 0], minlength=len(centres)) / len(bins)
        weights = rebalancing(smooth(histogram, centres))
        each = (weights[bins[:, :1]] * shares).flatten()
        answer = torch.zeros(len(centres)).index_add_(0, bins.flatten(), each) + EVEN
        self.weights.copy_(weights)
        self.answer.copy_(answer / answer.sum())

    def loss(self, log_probability: Tensor, chroma: Tensor) -> Tensor:
        """Return the mean over cells of -v(Z) sum_q Z_q log p_q, v being the weight of the nearest bin (eq. 2 and 3).

        Args:
            log_probability: (B, Q, h, w), or (Q,) for one answer everywhere.
            chroma: (B, 2, h, w) the true a and b.

        Raises:
            ValueError: the weights were not fitted.
        """
        if self.weights.isnan().any():
            raise ValueError("the weights of colours are not known: fit them on frames first")
        bins, shares = soft_encode(chroma.movedim(1, -1).flatten(0, -2), self.centres)  # (B * h * w, 5)
        if log_probability.ndim == 1:
            said = log_probability[bins]
        else:
            said = log_probability.movedim(1, -1).flatten(0, -2).gather(1, bins)
        return -(self.weights[bins[:, 0]] * (shares * said).sum(1)).mean()


DILATION = 16  # of the last layer, as of the last one of `colorization`


class SingleImage(nn.Module):
    """A last layer says the colour of each cell in 313 bins; the encoder is what lies before it, and tracks.

    The loss is the rebalanced cross-entropy with softly encoded colours of cells. "prior", beside it, is the loss of
    the best answer that is the same everywhere: a network below it has learnt from the picture.

    Args:
        config: what its clips are like.
        encoder: what is trained; None builds `config.encoder`.

    Raises:
        ConfigError: the encoder embeds several frames together.
    """

    name = "single_image"
    # Settings as for `colorization` (section 3.4): the baseline is "our model" with another loss.
    preset: Mapping[str, object] = {
        "encoder": "single_image",
        "size": 256,
        "frames": 1,
        "framing": "squash",
        "flip": False,
        "batch": 32,
        "optimizer": "adam",
        "learning_rate": 1e-3,
        "schedule": "vondrick",
    }

    def __init__(self, config: TrainConfig, encoder: Encoder | None = None) -> None:
        super().__init__()
        self.encoder: Encoder = encoder or build_encoder(config.encoder or "single_image", seed=config.seed)
        if self.encoder.temporal:
            raise ConfigError(f"single_image embeds frames alone; {self.encoder.name!r} embeds several together")
        self.form = ClipForm(config.frames or 1, config.rate, config.size, framing=config.framing, flip=config.flip)
        self.bins = ColorBins(stride=self.encoder.stride, offset=self.encoder.offset)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            self.classify = nn.Conv2d(self.encoder.channels, len(self.bins), 3, padding=DILATION, dilation=DILATION)
            gaussian_initialization(self.classify)

    def fit(self, frames: Tensor) -> None:
        """Learn how rare colours are from (N, 3, H, W) frames in [0, 1]."""
        self.bins.fit(frames)

    def record(self) -> dict[str, Any]:
        """Return the loss's weight of each bin of chroma, [[a, b, weight], ...]."""
        rows = torch.cat([self.bins.centres, self.bins.weights[:, None]], 1)
        return {"weights": [[float(value) for value in row] for row in rows]}

    def forward(self, clips: Tensor, *, progress: float, random: torch.Generator) -> dict[str, Tensor]:
        """Return "loss", and "prior", the loss of the best constant answer on the same frames.

        Args:
            clips: (B, T, 3, S, S) in [0, 1]; every frame counts by itself.
            progress: unused.
            random: unused.
        """
        frames = clips.flatten(0, 1)
        chroma = centre_chroma(frames, stride=self.bins.stride, offset=self.bins.offset)  # (B * T, 2, h, w)
        logits = self.classify(self.encoder.encode(grey(frames)))  # (B * T, Q, h, w)
        with torch.autocast(clips.device.type, enabled=False):
            exact = logits.to(torch.promote_types(logits.dtype, torch.float32))
            loss = self.bins.loss(exact.log_softmax(1), chroma)
            return {"loss": loss, "prior": self.bins.loss(self.bins.answer.log(), chroma)}
