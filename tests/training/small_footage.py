"""Small videos as folders of PNGs, and footage that is only in memory; shared by the tests of training's data."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from textured import texture

from propagate.training.data.footage import Footage
from propagate.training.data.prepared import open_footage, prepare_videos
from propagate.training.data.shots import Shot
from propagate.training.data.sources import Source, Sources


def numbered(folder: Path, frames: Iterable[np.ndarray]) -> Path:
    """Save frames as a video of numbered PNGs."""
    folder.mkdir(parents=True)
    for index, rgb in enumerate(frames):
        Image.fromarray(rgb).save(folder / f"{index:05d}.png")
    return folder


def panned(count: int, *, seed: int, step: int = 1, size: tuple[int, int] = (40, 56)) -> list[np.ndarray]:
    """Return frames of a camera that moves `step` pixels a frame over a texture."""
    wide = texture(seed, (size[0], size[1] + step * count))
    return [wide[:, step * index : step * index + size[1]].copy() for index in range(count)]


def colored(frames: list[np.ndarray], shift: int) -> list[np.ndarray]:
    """Return frames, redder by `shift` and less blue."""
    return [np.clip(frame + np.array([shift, 0, -shift]), 0, 255).astype(np.uint8) for frame in frames]


def sources_of(*paths: Path) -> Sources:
    """Return sources, each in the group of its folder."""
    return Sources(tuple(Source(path, path.parent.name) for path in paths), ())


def prepare(sources: Sources, folder: Path, *, side: int = 256, rate: float | None = None) -> Footage:
    """Return footage whose frames lie in `folder`, after decoding what is not there yet."""
    for _ in prepare_videos(sources, folder, side=side, rate=rate):
        pass
    return open_footage(folder)


class Counting:
    """A store whose pixels tell where they are from: red the shot, green the frame, blue grows rightwards."""

    def read(self, shot: Shot, positions: Sequence[int]) -> np.ndarray:
        frames = np.zeros((len(positions), *shot.size, 3), np.uint8)
        frames[..., 0] = int(shot.source.stem)
        frames[..., 1] = np.array(positions, np.uint8)[:, None, None]
        frames[..., 2] = np.arange(shot.size[1], dtype=np.uint8)
        return frames


def counted(*shots: tuple[str, int], rate: float = 24.0, size: tuple[int, int] = (30, 40)) -> Footage:
    """Return footage of shots, each (group, frames)."""
    made = (Shot(Path(f"{index}.mp4"), group, 0, frames, rate, size) for index, (group, frames) in enumerate(shots))
    return Footage(tuple(made), (), Counting())
