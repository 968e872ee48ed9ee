"""`colorization`: a frame's colours copied from three frames before it (Vondrick 2018, sections 3.1 to 3.4)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from propagate.encoders.build import build_encoder
from propagate.encoders.colorization import REFERENCES, Colorization
from propagate.errors import ConfigError
from propagate.ops.clip_pointer import copy_everywhere
from propagate.ops.picture import grey
from propagate.training.moderate import moderate
from propagate.training.objectives.colors import QuantizedColors, chroma, cross_entropy
from propagate.training.paste import paste
from propagate.training.protocol import ClipForm
from propagate.training.shake import shake
from propagate.training.spread import spread

if TYPE_CHECKING:
    from propagate.encoders.protocol import Encoder
    from propagate.training.config import TrainConfig


class Colorizing(nn.Module):
    """The last frame of a clip takes its quantised colours from all cells of the frames before it.

    Frames are grey. Similarity is the plain inner product, one softmax runs over the cells of all references, and the
    loss is the cross-entropy between the copied distribution of colours and the target's own (eq. 1 to 3). With
    another encoder than `colorization`, frames are embedded alone.

    Not in the paper, and off unless asked for. Where most cameras stand still, the place that section 3.4 appends
    already tells a cell's colour, and in a short training nothing but the place is learnt: with `shake` the frames of a
    clip are cut apart. Where all of a picture moves as one, the place in the scene still tells: with `paste` pieces of
    other clips move across. With `spread`, things of hardly different colours get colours that differ.

    Args:
        config: `clusters`, `temperature`, `shake`, `paste`, `spread`, and what its clips are like.
        encoder: what is trained; None builds `config.encoder`.

    Raises:
        ConfigError: clips have no reference frame, or not the four frames that `colorization` embeds together.
    """

    name = "colorization"
    # Section 3.4. The paper names no mirrored clips; 60 k of its 400 k steps have the full rate.
    preset: Mapping[str, object] = {
        "encoder": "colorization",
        "size": 256,
        "frames": REFERENCES + 1,
        "rate": 6.0,
        "framing": "squash",
        "flip": False,
        "batch": 32,
        "optimizer": "adam",
        "learning_rate": 1e-3,
        "schedule": "vondrick",
        "clusters": 16,
        "temperature": 1.0,
        "radius": None,
    }

    def __init__(self, config: TrainConfig, encoder: Encoder | None = None) -> None:
        super().__init__()
        self.encoder: Encoder = encoder or build_encoder(config.encoder or "colorization", seed=config.seed)
        frames = config.frames or REFERENCES + 1
        wanted = self.encoder.temporal + 1 if self.encoder.temporal else None
        if frames < 2 or frames != (wanted or frames):
            raise ConfigError(
                f"colorization with {self.encoder.name!r} needs clips of {wanted or 2} frames, not {frames}"
            )
        self.shake, self.paste, self.spread = config.shake, config.paste, config.spread
        side = config.size + config.shake
        self.form = ClipForm(frames, config.rate, side, framing=config.framing, flip=config.flip)
        self.temperature, self.new = config.temperature, config.start is None
        self.colors = QuantizedColors(config.clusters, stride=self.encoder.stride, offset=self.encoder.offset)

    def fit(self, frames: Tensor) -> None:
        """Cluster the colours of (N, 3, H, W) frames in [0, 1]; bring a new network's products to a moderate scale."""
        self.colors.fit(frames)
        if self.new:
            moderate(self.encoder, grey(frames), temperature=self.temperature)

    def record(self) -> dict[str, Any]:
        """Return the clusters of colours, [[a, b], ...]."""
        return {"clusters": self.colors.record()}

    def forward(self, clips: Tensor, *, progress: float, random: torch.Generator) -> dict[str, Tensor]:
        """Return {"loss"}: cross-entropy of the copied colours; nothing here changes over a run.

        Args:
            clips: (B, T, 3, S, S) in [0, 1], the target last.
            progress: unused.
            random: of the shaking, the pieces and the spreading.
        """
        clips = shake(clips, by=self.shake, random=random)
        clips = paste(clips, count=self.paste, random=random)
        colors = self.colors.of_chroma(spread(chroma(clips), to=self.spread, random=random))  # (B, T, K, h, w)
        features = self._embed(grey(clips))  # (B, T, C, h, w)
        return {"loss": self.copying_loss(features, colors)}

    def copying_loss(self, features: Tensor, colors: Tensor) -> Tensor:
        """Return the cross-entropy of the last frame's colours copied from the others (eq. 1 to 3).

        Args:
            features: (B, T, C, h, w).
            colors: (B, T, K, h, w), one-hot.
        """
        copied = copy_everywhere(features[:, -1], features[:, :-1], colors[:, :-1], temperature=self.temperature)
        return cross_entropy(copied, colors[:, -1])

    def _embed(self, clips: Tensor) -> Tensor:
        if isinstance(self.encoder, Colorization):
            together: Tensor = self.encoder(clips)
            return together
        alone = self.encoder.encode(clips.flatten(0, 1))
        return alone.view(*clips.shape[:2], *alone.shape[1:])
