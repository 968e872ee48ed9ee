"""`single_image`: the colour of a frame from its grey alone, Vondrick's baseline (2018, 4.1), Zhang's loss (2016)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from propagate.encoders.build import build_encoder
from propagate.encoders.trunk import gaussian_initialization
from propagate.errors import ConfigError
from propagate.ops.picture import grey
from propagate.training.objectives.color_bins import ColorBins, centre_chroma
from propagate.training.protocol import ClipForm

if TYPE_CHECKING:
    from propagate.encoders.protocol import Encoder
    from propagate.training.config import TrainConfig

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
