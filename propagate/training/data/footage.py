"""Footage: shots whose frames can be read in any order, wherever they are kept."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from propagate.errors import OutputError
from propagate.training.data.decoding import CACHE_BYTES, UNREADABLE, DecodedFrames
from propagate.training.data.sampling import ClipSampler, fill_clip
from propagate.training.data.shots import FrameStore, Shot
from propagate.training.data.sources import Skipped, Sources, nothing_left
from propagate.training.protocol import ClipForm

log = logging.getLogger(__name__)
Progress = Callable[[int, int], None]  # videos done, of how many


@dataclass(frozen=True)
class Footage:
    """All shots of a training run.

    Attributes:
        shots: in the order of their sources.
        skipped: videos that could not be decoded, with reasons.
        store: where the frames are.
    """

    shots: tuple[Shot, ...]
    skipped: tuple[Skipped, ...]
    store: FrameStore

    def read(self, shot: Shot, positions: Sequence[int]) -> NDArray[np.uint8]:
        """Return frames of a shot.

        Args:
            shot: one of `shots`.
            positions: of frames within it, in any order.

        Returns:
            (T, h, w, 3) uint8, the caller's own.

        Raises:
            InputError: they cannot be read any more.
            ValueError: a position lies outside the shot.
        """
        if not all(0 <= position < shot.frames for position in positions):
            raise ValueError(f"{shot.name}: {shot.frames} frames, but asked for {list(positions)}")
        return self.store.read(shot, positions)

    def split_held_out(self, share: float, seed: int) -> tuple[Footage, Footage]:
        """Return the footage to train on and the footage that is held out, divided by video.

        Args:
            share: of the videos that is held out: one at least, and one at most left over; none when it is 0 or
                there is one video only.
            seed: decides which.
        """
        videos = sorted({shot.source for shot in self.shots})
        count = min(max(1, round(share * len(videos))), len(videos) - 1) if share > 0 else 0
        order = np.random.default_rng(seed).permutation(len(videos))
        held = {videos[index] for index in order[:count]}
        train = tuple(shot for shot in self.shots if shot.source not in held)
        return replace(self, shots=train), replace(self, shots=tuple(s for s in self.shots if s.source in held))

    def sample(self, count: int, *, size: int, seed: int) -> Tensor:
        """Return single frames, drawn evenly over groups: (count, 3, size, size) uint8, the whole picture squashed.

        Raises:
            InputError: they cannot be read any more.
        """
        form = ClipForm(frames=1, rate=None, size=size, framing="squash", flip=False)
        sampler = ClipSampler(self.shots, form, seed=seed)
        frames = torch.empty((count, 1, 3, size, size), dtype=torch.uint8)
        for index, out in enumerate(frames.numpy()):
            place = sampler.draw(0, index)
            fill_clip(out, self.read(place.shot, place.positions), place)
        return frames[:, 0]

    @property
    def seconds(self) -> float:
        """Length of all shots together."""
        return sum(shot.frames / shot.rate for shot in self.shots)

    @property
    def digest(self) -> str:
        """32 hex digits that stand for the shots: with the same ones, a resumed run draws the same clips."""
        lines = [f"{s.source}\t{s.group}\t{s.start}\t{s.frames}\t{s.rate}\t{s.size}" for s in self.shots]
        return hashlib.blake2b("\n".join(lines).encode(errors="surrogateescape"), digest_size=16).hexdigest()


def decoded_footage(
    sources: Sources,
    *,
    side: int = 256,
    rate: float | None = None,
    memory: int = CACHE_BYTES,
    progress: Progress | None = None,
) -> Footage:
    """Return footage that is decoded whenever it is asked for: nothing is written, for small data.

    Every video is decoded once at the start, to find its shots; as much as `memory` holds is kept from then on.

    Args:
        sources: the videos.
        side: pixels of the short side, never enlarged.
        rate: at most that many frames a second; None keeps all.
        memory: bytes of decoded frames to keep.
        progress: told after each video.

    Raises:
        InputError: not one of them can be used.
    """
    store = DecodedFrames(side=side, rate=rate, memory=memory)
    shots: list[Shot] = []
    skipped: list[Skipped] = []
    for done, source in enumerate(sources.videos, start=1):
        try:
            found = store.add(source.path)
            note_damage(source.path, found.lost)
            shots += [Shot(source.path, source.group, s.start, s.frames, s.rate, found.size) for s in found.spans]
        except UNREADABLE as error:
            skipped.append(skip(source.path, error))
        if progress is not None:
            progress(done, len(sources.videos))
    if not shots:
        raise nothing_left([*sources.skipped, *skipped])
    if not store.complete:
        hint = "they are decoded again and again; preparing them on disk makes that some fifty times faster"
        log.warning("the videos' small frames do not fit into %.1f GiB of memory: %s", memory / 2**30, hint)
    return Footage(tuple(shots), tuple(skipped), store)


def note_damage(path: Path, lost: int) -> None:
    """Say that a part of a video did not decode."""
    if lost:
        log.warning("%s: %d frames are damaged, the others are used", path, lost)


def skip(path: Path, error: Exception) -> Skipped:
    """Return why a video is left out.

    Raises:
        OutputError: the error is not the video's: nothing can be written.
    """
    if isinstance(error, OutputError):
        raise error
    reason = str(error).removeprefix(f"{path}: ") or type(error).__name__
    log.info("%s is skipped: %s", path, reason)
    return Skipped(path, reason)
