"""Footage prepared on disk, so that decoding is paid once: small frames of each video in one memory-mapped .npy.

A folder holds settings.json (what all its frames have in common, written first), for each video NAME.npy and NAME.json
(written after it), and index.json (written last). NAME is a digest of the video's path. A run that is killed leaves
whole videos behind and goes on from there.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from propagate.errors import ConflictError, InputError, OutputError
from propagate.formats.atomic import partial_of, write_text
from propagate.ops.grid import input_size
from propagate.training.decoding import UNREADABLE, Thinning
from propagate.training.footage import Footage, Progress, note_damage
from propagate.training.prepared import Prepared, is_whole, prepare_video, read_frames
from propagate.training.shots import Shot
from propagate.training.sources import Skipped, Sources, nothing_left
from propagate.video import probe

INDEX, SETTINGS = "index.json", "settings.json"
VERSION = 1  # of the layout and of everything that decides on frames and shots


@dataclass(frozen=True)
class Estimate:
    """What `prepare` will write, from the videos' headers."""

    videos: int
    frames: int
    seconds: float
    bytes: int


def estimate(sources: Sources, *, side: int = 256, rate: float | None = None) -> Estimate:
    """Return how much `prepare` would write; videos that cannot be read count as nothing.

    Args:
        sources: the videos.
        side: pixels of the short side, never enlarged.
        rate: at most that many frames a second; None keeps all.
    """
    videos, frames, seconds, size = 0, 0, 0.0, 0
    for source in sources.videos:
        try:
            info = probe(source.path)
        except UNREADABLE:
            continue
        thinning = Thinning(rate)
        kept = sum(thinning.keeps(info.time(index)) for index in range(len(info.pts)))
        height, width = input_size(info.size, side)
        videos, frames, seconds = videos + 1, frames + kept, seconds + info.duration
        size += kept * height * width * 3
    return Estimate(videos, frames, seconds, size)


def prepare(
    sources: Sources,
    folder: Path,
    *,
    side: int = 256,
    rate: float | None = None,
    workers: int = 1,
    progress: Progress | None = None,
) -> Footage:
    """Return footage whose frames lie in `folder`, after decoding what is not there yet.

    Args:
        sources: the videos.
        folder: made when missing; one process at a time may fill it.
        side: pixels of the short side, never enlarged.
        rate: at most that many frames a second; None keeps all.
        workers: videos that are decoded at the same time, each by several threads already.
        progress: told after each video.

    Raises:
        ConflictError: the folder holds something else, or footage of other settings.
        InputError: not one of the videos can be used.
        OutputError: the folder cannot be written, or is full; what is done stays.
    """
    steps = prepare_videos(sources, folder, side=side, rate=rate, workers=workers)
    for done, _ in enumerate(steps, start=1):
        if progress is not None:
            progress(done, len(sources.videos))
    return open_footage(folder)


def prepare_videos(
    sources: Sources, folder: Path, *, side: int = 256, rate: float | None = None, workers: int = 1
) -> Iterator[Prepared]:
    """Prepare one video after the other, yielding what is noted of each; the index is written at the end.

    A video that has changed since (its size or time) is decoded again, one that could not be read is not tried again.
    Arguments and errors are those of `prepare`.
    """
    settings = {"version": VERSION, "side": side, "rate": rate}
    _claim(folder, settings)
    videos = []
    pool = ThreadPoolExecutor(workers, thread_name_prefix="prepare")
    try:
        for video in pool.map(partial(prepare_video, folder=folder, side=side, rate=rate), sources.videos):
            videos.append(video)
            note_damage(Path(video.source), video.lost)
            yield video
    finally:
        pool.shutdown(cancel_futures=True)
    if not any(video.spans for video in videos):
        lost = [Skipped(Path(video.source), video.skipped or "") for video in videos]
        raise nothing_left([*sources.skipped, *lost])
    index = {**settings, "videos": [video.as_json() for video in videos]}
    write_text(folder / INDEX, json.dumps(index, indent=1) + "\n")


def open_footage(folder: Path) -> Footage:
    """Return footage that `prepare` has finished; the videos themselves are not needed any more.

    Raises:
        InputError: there is none, it is unfinished, or its files are damaged.
    """
    videos = _read_index(folder)
    used = {Path(video.source): video for video in videos if video.spans}
    for video in used.values():
        if not is_whole(folder / video.file, video.shape):
            raise InputError(f"{folder / video.file}: missing or cut off", hint="prepare again: only it is decoded")
    shots = tuple(shot for video in used.values() for shot in video.shots)
    skipped = tuple(Skipped(Path(video.source), video.skipped) for video in videos if video.skipped)
    return Footage(shots, skipped, PreparedFrames({path: folder / video.file for path, video in used.items()}))


class PreparedFrames:
    """Frames in the files that `prepare` has written.

    Args:
        files: of each video.
    """

    def __init__(self, files: Mapping[Path, Path]) -> None:
        self._files = dict(files)

    def read(self, shot: Shot, positions: Sequence[int]) -> NDArray[np.uint8]:
        """Return the frames (T, h, w, 3) at these positions within the shot."""
        return read_frames(self._files[shot.source], [shot.start + position for position in positions])


def _claim(folder: Path, settings: Mapping[str, Any]) -> None:
    """Make the folder ours, or see that it is and has these settings."""
    path = folder / SETTINGS
    try:
        folder.mkdir(parents=True, exist_ok=True)
        there = json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
        others = sorted(entry.name for entry in folder.iterdir() if entry not in (path, partial_of(path)))
    except (OSError, ValueError) as error:
        raise OutputError(f"{folder}: cannot be used: {error}", hint="give another folder") from error
    if there == settings:
        return
    if isinstance(there, dict):
        names = [name for name in settings if there.get(name) != settings[name]]
        found = ", ".join(f"{name} {there.get(name)}, not {settings[name]}" for name in names)
        hint = f"give --side {there['side']}, or another folder" if names == ["side"] else "give another folder"
        raise ConflictError(f"{folder}: holds footage of other settings: {found}", hint=hint)
    if others:
        raise ConflictError(f"{folder}: holds other files, such as {others[0]}", hint="give another folder")
    write_text(path, json.dumps(settings) + "\n")


def _read_index(folder: Path) -> list[Prepared]:
    path = folder / INDEX
    try:
        index = json.loads(path.read_text(encoding="utf-8"))
        version, videos = index["version"], [Prepared.read(entry) for entry in index["videos"]]
    except FileNotFoundError as error:
        hint = "prepare again: it goes on where it stopped" if (folder / SETTINGS).exists() else None
        raise InputError(f"{folder}: no prepared footage, index.json is missing", hint=hint) from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: damaged: {error}", hint="prepare again: only what is lost is decoded") from error
    if version != VERSION:
        raise InputError(f"{folder}: prepared by another version of propagate", hint="prepare it again elsewhere")
    return videos
