"""Learning by colourising grey frames from a reference frame's colours (Vondrick 3.1 to 3.4)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from propagate.encoders.build import build_encoder
from propagate.encoders.colorization import REFERENCES, Colorization
from propagate.errors import ConfigError
from propagate.ops.clip_attention import copy_everywhere
from propagate.ops.color import grey
from propagate.training.objectives.calibrate_logits import calibrate_logits
from propagate.training.objectives.colors import QuantizedColors, chroma, cross_entropy
from propagate.training.protocol import ClipForm

if TYPE_CHECKING:
    from propagate.encoders.protocol import Encoder
    from propagate.training.config import TrainConfig

SMALLEST, LARGEST = 0.08, 0.4  # of a piece's height and width, shares of the side
FASTEST = 1 / 16  # of the side a frame, 2 cells of 32


def copy_paste(clips: Tensor, *, count: int, random: torch.Generator) -> Tensor:
    """Return clips across which ellipses cut from the next clip of the batch move, each in a straight line.

    In a batch of one they are cut from the clip itself. A piece shows, frame by frame, what the other clip shows at one
    place. Its speed is drawn evenly from 0 to `FASTEST`; so some stand still while the picture behind them moves.

    Args:
        clips: (B, T, C, S, S).
        count: of pieces in each clip; 0 returns the clips.
        random: on the CPU.

    Returns:
        (B, T, C, S, S), a new tensor unless `count` is 0.
    """
    if count == 0:
        return clips
    others, pasted = clips.roll(-1, 0), clips.clone()
    for clip, other in zip(pasted, others, strict=True):
        for _ in range(count):
            _paste_one(clip, other, random)
    return pasted


def _paste_one(clip: Tensor, other: Tensor, random: torch.Generator) -> None:
    """Paste one piece of `other` (T, C, S, S) into `clip`, in place."""
    frames, side = clip.shape[0], clip.shape[-1]
    draw = torch.rand(8, generator=random)
    height, width = (max(1, int(side * share)) for share in (SMALLEST + (LARGEST - SMALLEST) * draw[:2]).tolist())
    top, left = int(draw[2] * (side - height + 1)), int(draw[3] * (side - width + 1))
    speed, angle = draw[6] * FASTEST * side, 2 * torch.pi * draw[7]
    step = torch.stack((angle.sin(), angle.cos())) * speed
    middle = draw[4:6] * side - torch.tensor((height, width)) / 2
    inside = _ellipse(height, width).to(clip.device)
    for frame in range(frames):
        down, right = (middle + (frame - (frames - 1) / 2) * step).round().int().tolist()
        rows, columns = _overlap(down, height, side), _overlap(right, width, side)
        if rows[0] >= rows[1] or columns[0] >= columns[1]:
            continue
        seen = clip[frame, :, rows[0] + down : rows[1] + down, columns[0] + right : columns[1] + right]
        piece = other[frame, :, top + rows[0] : top + rows[1], left + columns[0] : left + columns[1]]
        seen.copy_(torch.where(inside[rows[0] : rows[1], columns[0] : columns[1]], piece, seen))


def _overlap(start: int, length: int, side: int) -> tuple[int, int]:
    """Return the first and the end of a piece's rows that lie in the picture."""
    return max(0, -start), min(length, side - start)


def _ellipse(height: int, width: int) -> Tensor:
    """Return (height, width): True within the ellipse that fills it."""
    y, x = ((torch.arange(n) + 0.5) * 2 / n - 1 for n in (height, width))
    return y[:, None].square() + x.square() <= 1


def jitter_crops(clips: Tensor, *, by: int, random: torch.Generator) -> Tensor:
    """Return clips whose frames are windows of the given ones, each frame's at a place of its own.

    The strength of a clip's jitter is drawn evenly from 0 to 1: its windows lie that share of the way from one place
    that all of them have in common to places drawn for each frame.

    Args:
        clips: (B, T, C, S, S).
        by: pixels, how much smaller the windows are; 0 returns the clips.
        random: on the CPU.

    Returns:
        (B, T, C, S - by, S - by).
    """
    if by == 0:
        return clips
    batch, frames, size = clips.shape[0], clips.shape[1], clips.shape[3] - by
    common = torch.rand(batch, 1, 2, generator=random)
    own = torch.rand(batch, frames, 2, generator=random)
    strength = torch.rand(batch, 1, 1, generator=random)
    places = (torch.lerp(common, own, strength) * (by + 1)).long()  # (B, T, 2) top, left
    windows: list[Tensor] = [
        frame[:, top : top + size, left : left + size]
        for clip, at in zip(clips, places.tolist(), strict=True)
        for frame, (top, left) in zip(clip, at, strict=True)
    ]
    return torch.stack(windows).view(batch, frames, -1, size, size)


MOST = 6.0  # times; what is all but grey holds little besides the noise of its coding


def stretch_chroma(chroma: Tensor, *, to: float, random: torch.Generator) -> Tensor:
    """Return the chroma of clips less the clip's mean, turned by an angle drawn for the clip, and scaled.

    Attention must find the reference cell with the same colour, whatever that colour is. So the task stays the same
    when all frames of a clip change alike.

    Args:
        chroma: (B, T, 2, H, W), a and b of Lab.
        to: Lab units, the root of the mean square distance from the mean; no clip is scaled by more than `MOST`. 0
            returns the chroma.
        random: on the CPU.

    Returns:
        (B, T, 2, H, W).
    """
    if to == 0:
        return chroma
    angle = (2 * math.pi * torch.rand(len(chroma), generator=random)).to(chroma)
    cosine, sine = angle.cos(), angle.sin()
    turn = torch.stack((torch.stack((cosine, -sine), -1), torch.stack((sine, cosine), -1)), 1)  # (B, 2, 2)
    centred = chroma - chroma.mean((1, 3, 4), keepdim=True)
    distance = centred.square().sum(2).mean((1, 2, 3)).sqrt()  # (B,)
    scale = (to / distance.clamp(min=to / MOST)).view(-1, 1, 1)
    return torch.einsum("bij,btjhw->btihw", turn * scale, centred)


class Colorizing(nn.Module):
    """The last frame of a clip takes its quantised colours from all cells of the frames before it.

    Frames are grey. Similarity is the plain inner product, one softmax runs over the cells of all references, and the
    loss is the cross-entropy between the copied distribution of colours and the target's own (eq. 1 to 3). With
    another encoder than `colorization`, frames are embedded alone.

    Not in the paper, and off unless asked for. Where most cameras stand still, the place that section 3.4 appends
    already tells a cell's colour, and in a short training nothing but the place is learnt: with `jitter_crops` the
    frames of a clip are cut apart. Where all of a picture moves as one, the place in the scene still tells: with
    `copy_paste` pieces of other clips move across. With `stretch_chroma`, things of hardly different colours get
    colours that differ.

    Args:
        config: `clusters`, `temperature`, `jitter_crops`, `copy_paste`, `stretch_chroma`, and what its clips are like.
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
        self.jitter, self.pieces, self.stretch = config.jitter_crops, config.copy_paste, config.stretch_chroma
        side = config.size + config.jitter_crops
        self.form = ClipForm(frames, config.rate, side, framing=config.framing, flip=config.flip)
        self.temperature, self.new = config.temperature, config.start is None
        self.colors = QuantizedColors(config.clusters, stride=self.encoder.stride, offset=self.encoder.offset)

    def fit(self, frames: Tensor) -> None:
        """Cluster the colours of (N, 3, H, W) frames in [0, 1]; bring a new network's products to a moderate scale."""
        self.colors.fit(frames)
        if self.new:
            calibrate_logits(self.encoder, grey(frames), temperature=self.temperature)

    def record(self) -> dict[str, Any]:
        """Return the clusters of colours, [[a, b], ...]."""
        return {"clusters": self.colors.record()}

    def forward(self, clips: Tensor, *, progress: float, random: torch.Generator) -> dict[str, Tensor]:
        """Return {"loss"}: cross-entropy of the copied colours; nothing here changes over a run.

        Args:
            clips: (B, T, 3, S, S) in [0, 1], the target last.
            progress: unused.
            random: draws the crops, the pasted pieces and the turn of the chroma.
        """
        clips = jitter_crops(clips, by=self.jitter, random=random)
        clips = copy_paste(clips, count=self.pieces, random=random)
        colors = self.colors.of_chroma(stretch_chroma(chroma(clips), to=self.stretch, random=random))  # (B, T, K, h, w)
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
