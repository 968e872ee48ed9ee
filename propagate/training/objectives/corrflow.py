"""CorrFlow: rebuild frames from earlier ones through a colour-dropout bottleneck (Lai & Xie 3.1 to 3.4)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from propagate.encoders.build import build_encoder
from propagate.errors import ConfigError
from propagate.ops.clip_attention import copy_everywhere, copy_nearby
from propagate.ops.color import grey, luma
from propagate.training.objectives.calibrate_logits import calibrate_logits
from propagate.training.objectives.colors import QuantizedColors, cross_entropy
from propagate.training.protocol import ClipForm

if TYPE_CHECKING:
    from propagate.encoders.protocol import Encoder
    from propagate.training.config import TrainConfig

DROPPED = (0.3, 0.35, 0.35)  # probability that 0, 1 or 2 channels are zeroed: the published code's, the paper has none
JITTER = 0.1  # greatest relative change of brightness, contrast and saturation


def drop_channels(rgb: Tensor, *, random: torch.Generator) -> Tensor:
    """Return frames with 0, 1 or 2 of their channels zeroed and the others scaled by 3 / (3 - n).

    The paper drops "in each input frame", so every frame draws for itself; the published code treats all frames of a
    clip alike. How often, and the scale, which keeps the mean, are the published code's, for the paper does not say.

    Args:
        rgb: (N, 3, H, W).
        random: on the CPU.
    """
    counts = torch.multinomial(torch.tensor(DROPPED), len(rgb), replacement=True, generator=random)  # (N,)
    ranks = torch.rand(len(rgb), 3, generator=random).argsort(1)  # a random order of the channels
    share = torch.where(ranks >= counts[:, None], 3 / (3 - counts[:, None]), 0.0)  # (N, 3)
    return rgb * share.to(rgb)[:, :, None, None]


def jitter(rgb: Tensor, *, random: torch.Generator, most: float = JITTER) -> Tensor:
    """Return frames whose brightness, contrast and saturation, in this order, are changed by up to `most` each.

    Brightness is multiplied; contrast is stretched about the frame's mean luma, saturation about each pixel's luma.
    Every frame draws for itself.

    Args:
        rgb: (N, 3, H, W) in [0, 1], and so is the result.
        random: on the CPU.
        most: relative change.
    """
    factors = 1 + most * (2 * torch.rand(3, len(rgb), generator=random) - 1)
    brightness, contrast, saturation = factors.to(rgb)[:, :, None, None, None].unbind()  # (N, 1, 1, 1) each
    rgb = (rgb * brightness).clamp(0, 1)
    mean = luma(rgb).mean((-2, -1), keepdim=True)
    rgb = (mean + (rgb - mean) * contrast).clamp(0, 1)
    light = luma(rgb)
    return (light + (rgb - light) * saturation).clamp(0, 1)


def bottleneck(clips: Tensor, *, color: bool, random: torch.Generator) -> Tensor:
    """Return what the network sees of clips: jittered frames with channels dropped, or jittered grey ones.

    Args:
        clips: (B, T, 3, H, W) in [0, 1].
        color: False for the ablation of CorrFlow 4.1.1, grey frames in place of colour dropout.
        random: on the CPU.
    """
    frames = clips.flatten(0, 1)
    if color:
        seen = drop_channels(jitter(frames, random=random), random=random)
    else:
        seen = jitter(grey(frames), random=random)
    return seen.view_as(clips)


FRAMES = 3  # n of section 4
TRUE_AT_FIRST, TRUE_AT_LAST = 0.9, 0.6  # probability of the true frame over a run, falling evenly (3.4.1)
FORWARD, BACKWARD = 1.0, 0.1  # weights of eq. 5


class CorrespondenceFlow(nn.Module):
    """Each frame takes its quantised colours from the one before it, then the clip is walked back to its beginning.

    Forward (3.4.1): frame i is copied from frame i - 1, whose colours are the true ones or, by scheduled sampling, the
    model's own of the step before; every clip and frame draws for itself. Backward (3.4.2): from the model's last frame
    on, frame by frame to the first, always from its own colours, since true ones would cut the cycle. The loss is
    eq. 5: cross-entropies summed over the frames, 1.0 forward and 0.1 backward. The published code has instead all
    pairs and, apart from them, cycles of one and two frames.

    Four ideas, four switches of the config (table 5 of the paper): `color_dropout` off shows grey frames, `radius` None
    looks everywhere, `scheduled_sampling` off copies from true frames, `cycle` off walks forward only.

    Args:
        config: the switches, `clusters`, `temperature`, and what its clips are like.
        encoder: what is trained; None builds `config.encoder`.

    Raises:
        ConfigError: the encoder embeds several frames together, or clips have a single frame.
    """

    name = "corrflow"
    # Section 4. The seed has lost the frame rate and the batch: 6 frames a second is what the published code's step of
    # four frames comes to, 6 is its batch. The paper names no mirrored clips.
    preset: Mapping[str, object] = {
        "encoder": "corrflow",
        "size": 256,
        "frames": FRAMES,
        "rate": 6.0,
        "framing": "squash",
        "flip": False,
        "batch": 6,
        "optimizer": "adam",
        "learning_rate": 2e-4,
        "schedule": "corrflow",
        "clusters": 16,
        "temperature": 1.0,
        "radius": 6,
        "color_dropout": True,
        "scheduled_sampling": True,
        "cycle": True,
    }

    def __init__(self, config: TrainConfig, encoder: Encoder | None = None) -> None:
        super().__init__()
        self.encoder: Encoder = encoder or build_encoder(config.encoder or "corrflow", seed=config.seed)
        if self.encoder.temporal:
            raise ConfigError(f"corrflow embeds frames alone; {self.encoder.name!r} embeds several together")
        frames = config.frames or FRAMES
        if frames < 2:
            raise ConfigError(f"corrflow needs clips of 2 frames or more, not {frames}")
        self.form = ClipForm(frames, config.rate, config.size, framing=config.framing, flip=config.flip)
        self.color_dropout, self.scheduled, self.cycle = config.color_dropout, config.scheduled_sampling, config.cycle
        self.new = config.start is None
        self.radius, self.temperature = config.radius, config.temperature
        self.colors = QuantizedColors(config.clusters, stride=self.encoder.stride, offset=self.encoder.offset)

    def fit(self, frames: Tensor) -> None:
        """Cluster the colours of (N, 3, H, W) frames in [0, 1]; bring a new network's products to a moderate scale."""
        self.colors.fit(frames)
        if self.new:
            calibrate_logits(self.encoder, frames, temperature=self.temperature)

    def record(self) -> dict[str, Any]:
        """Return the clusters of colours, [[a, b], ...]."""
        return {"clusters": self.colors.record()}

    def forward(self, clips: Tensor, *, progress: float, random: torch.Generator) -> dict[str, Tensor]:
        """Return "loss" (eq. 5) and its parts, "forward" and, with the cycle, "backward", unweighted.

        Args:
            clips: (B, T, 3, S, S) in [0, 1].
            progress: share of the run that is done.
            random: on the CPU; draws the bottleneck and which colours are true.
        """
        colors = self.colors(clips)  # (B, T, K, h, w)
        shown = bottleneck(clips, color=self.color_dropout, random=random)
        features = self.encoder.encode(shown.flatten(0, 1)).unflatten(0, clips.shape[:2])  # (B, T, C, h, w)
        draws = torch.rand(
            clips.shape[:2], generator=random
        )  # drawn with or without sampling: other chance is the same
        probability = true_probability(progress) if self.scheduled else 1.0
        return self.rebuilding_losses(features, colors, true=(draws < probability).to(clips.device))

    def rebuilding_losses(self, features: Tensor, colors: Tensor, *, true: Tensor) -> dict[str, Tensor]:
        """Return the losses of the walk forward and back.

        Args:
            features: (B, T, C, h, w).
            colors: (B, T, K, h, w), one-hot.
            true: (B, T) bool, whether a frame as a reference shows its true colours, not the model's; the first always
                does.
        """
        last = colors.shape[1] - 1
        rebuilt, forward = colors[:, 0], []
        for frame in range(1, last + 1):
            reference = torch.where(true[:, frame - 1, None, None, None], colors[:, frame - 1], rebuilt)
            rebuilt = self._copy(features, reference, source=frame - 1, target=frame)
            forward.append(cross_entropy(rebuilt, colors[:, frame]))
        losses = {"loss": FORWARD * torch.stack(forward).sum(), "forward": torch.stack(forward).sum()}
        if self.cycle:
            backward = []
            for frame in range(last - 1, -1, -1):
                rebuilt = self._copy(features, rebuilt, source=frame + 1, target=frame)
                backward.append(cross_entropy(rebuilt, colors[:, frame]))
            losses["backward"] = torch.stack(backward).sum()
            losses["loss"] = losses["loss"] + BACKWARD * losses["backward"]
        return losses

    def _copy(self, features: Tensor, colors: Tensor, *, source: int, target: int) -> Tensor:
        """Return colors (B, K, h, w) of frame `source` copied to frame `target` (eq. 3 and 4)."""
        query, keys = features[:, target], features[:, source]
        if self.radius is None:
            return copy_everywhere(query, keys[:, None], colors[:, None], temperature=self.temperature)
        return copy_nearby(query, keys, colors, radius=self.radius, temperature=self.temperature)


def true_probability(progress: float) -> float:
    """Return how likely a reference frame shows its true colours, by the share of the run that is done (3.4.1)."""
    return TRUE_AT_FIRST + (TRUE_AT_LAST - TRUE_AT_FIRST) * progress
