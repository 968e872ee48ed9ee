"""Keypoints on videos of one's own: the truth's files, and how they are scored."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from propagate.errors import InputError
from propagate.evaluation.benchmarks.keypoint_scores import (
    MEASURES,
    animals,
    boxless_frames,
    correctable_points,
    mean_pixels,
    point_strip,
    point_units,
    pooled,
    read_tracks,
    right_over_time,
    stems_of,
    write_tracks,
)
from propagate.evaluation.benchmarks.sequences import Stopwatch, choose_sequences, notes_of
from propagate.evaluation.corrections import check_corrections, correct
from propagate.evaluation.protocol import Benchmark, BenchmarkSequence, Curve, Measure, Scores, Trackers
from propagate.files import VIDEO_SUFFIXES, list_folder
from propagate.formats import csv_points
from propagate.formats.points import full_name
from propagate.metrics.masks import mean
from propagate.values import Annotation, Prediction
from propagate.video import read_video

Array = NDArray[np.float64]
SUFFIXES = (".npz", ".csv")


@dataclass(frozen=True)
class PointTruth:
    """The points of a clip that can be scored: those that its first labelled frame has.

    Attributes:
        names: (L,).
        frames: (T,) indices of the labelled frames, ascending; the points of the first are given.
        xy: (T, L, 2) pixels, NaN where unknown.
        notes: what is odd about it.
    """

    names: tuple[str, ...]
    frames: tuple[int, ...]
    xy: Array
    notes: tuple[str, ...] = ()


def read_truth(path: Path, *, stems: Sequence[str], size: tuple[int, int]) -> PointTruth:
    """Return the true points of a file.

    Args:
        path: a .npz or .csv file.
        stems: the stems of the video's frames: how many there are, and for files that name them.
        size: (height, width) of the video.

    Raises:
        InputError: the file is damaged or lacks something, does not fit the video, or has fewer than two labelled
            frames.
    """
    names, frames, xy = _read_npz(path, size=size) if path.suffix.lower() == ".npz" else _read_csv(path, stems=stems)
    labelled = np.isfinite(xy).all(axis=2).max(axis=1)  # (T,)
    frames, xy = frames[labelled], xy[labelled]
    if len(frames) and (frames[-1] >= len(stems) or frames[0] < 0):
        strange = frames[-1] if frames[0] >= 0 else frames[0]
        raise InputError(f"{path}: there is no frame {strange}, the video has {len(stems)}, counted from 0")
    if len(frames) < 2:
        raise InputError(f"{path}: {len(frames)} labelled frames; the first is given, so at least one more is needed")
    given = np.isfinite(xy[0]).all(axis=1)
    note = f"{int((~given).sum())} of {len(given)} points are not on the first labelled frame: they are not scored"
    kept = tuple(name for name, known in zip(names, given, strict=True) if known)
    return PointTruth(kept, tuple(frames.tolist()), xy[:, given], () if given.all() else (note,))


def _read_csv(path: Path, *, stems: Sequence[str]) -> tuple[tuple[str, ...], NDArray[np.int64], Array]:
    points = csv_points.read(path, stems=stems)
    frames = np.array([annotation.frame for annotation in points.annotations], dtype=np.int64)
    xy = np.stack([np.asarray(annotation.array, dtype=np.float64) for annotation in points.annotations])
    return points.names, frames, xy


def _read_npz(path: Path, *, size: tuple[int, int]) -> tuple[tuple[str, ...], NDArray[np.int64], Array]:
    data = _load(path)
    if "xy" not in data:
        raise InputError(f"{path}: holds no xy", hint=f"it holds {', '.join(data) or 'nothing'}")
    xy = data["xy"]
    if xy.ndim not in (3, 4) or xy.shape[-1] != 2 or xy.dtype.kind not in "fiu" or 0 in xy.shape:
        raise InputError(f"{path}: xy is {xy.shape} {xy.dtype}, expected numbers (frames, points, 2)")
    frames = _part(path, data, "frames", shape=xy.shape[:1], default=np.arange(len(xy)))
    if frames.dtype.kind not in "iu" or (np.diff(frames) <= 0).any():
        raise InputError(f"{path}: frames must be ascending whole numbers")
    visible = _part(path, data, "visible", shape=xy.shape[:-1], default=np.ones(xy.shape[:-1]))
    names = _part(path, data, "names", shape=xy.shape[-2:-1], default=np.arange(xy.shape[-2]))
    wanted = _part(path, data, "size", shape=(2,), default=np.array(size[::-1]))
    if tuple(wanted.tolist()) != size[::-1]:
        raise InputError(f"{path}: for frames of {wanted[0]}x{wanted[1]}, but the video is {size[1]}x{size[0]}")
    if len(set(map(str, names))) != len(names):
        raise InputError(f"{path}: two points have the same name")
    xy = np.where((visible > 0)[..., None], xy.astype(np.float64), np.nan)
    animals = [""] if xy.ndim == 3 else [str(number + 1) for number in range(xy.shape[1])]
    every = tuple(full_name(animal, str(name)) for animal in animals for name in names)
    return every, frames.astype(np.int64), xy.reshape(len(xy), -1, 2)


def _load(path: Path) -> dict[str, NDArray[Any]]:
    """Return the arrays of a .npz file."""
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as data:  # NumPy leaves a damaged file open
            return {key: data[key] for key in data.files}
    except (OSError, ValueError, TypeError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(f"{path}: not a .npz file that can be read: {error}") from error


def _part(
    path: Path, data: Mapping[str, NDArray[Any]], key: str, *, shape: tuple[int, ...], default: NDArray[Any]
) -> NDArray[Any]:
    found = data.get(key, default)
    if found.shape != shape:
        raise InputError(f"{path}: {key} is {found.shape}, expected {shape} to fit xy")
    return found


def truth_files(folder: Path) -> dict[str, Path]:
    """Return the truth files of a folder by stem.

    Raises:
        InputError: there is no such folder, no truth in it, or a stem has two.
    """
    if not folder.is_dir():
        found = "is no folder" if folder.exists() else "there is no such folder"
        raise InputError(f"{folder}: {found}")
    files: dict[str, Path] = {}
    for path in sorted(list_folder(folder)):
        if path.suffix.lower() not in SUFFIXES or path.name.startswith("."):
            continue
        if path.stem in files:
            raise InputError(f"{folder}: {files[path.stem].name} and {path.name} are both the truth of {path.stem}")
        files[path.stem] = path
    if not files:
        raise InputError(f"{folder}: there is no truth in it", hint="expected CLIP.npz or CLIP.csv beside each video")
    return files


def video_of(path: Path, *, videos: Path | None) -> Path:
    """Return the video of a truth file: the one that it names, or one of its stem beside it or in `videos`.

    Raises:
        InputError: there is none.
    """
    if path.suffix.lower() == ".npz" and "video" in (data := _load(path)):
        named = path.parent / str(data["video"])
        if not named.exists():
            raise InputError(f"{path}: its video {named} is not there")
        return named
    folders: list[Path] = [path.parent] if videos is None else [path.parent, videos]
    for folder in folders:
        candidates = [folder / f"{path.stem}{ending}" for ending in ("", *VIDEO_SUFFIXES)]
        if found := [video for video in candidates if video.exists()]:
            return found[0]
    places = " or ".join(map(str, folders))
    raise InputError(f"{path}: there is no video {path.stem} in {places}", hint="a file, or a folder of frames")


@dataclass(frozen=True)
class KeypointClips(Benchmark):
    """PCK by three normalisers and the mean error in pixels; every clip counts the same, whatever its length.

    Within a clip all labelled frames after the first are pooled per point, then the mean is taken over the points (as
    for JHMDB; there also over clips, which here may have different points). A point counts where its truth is known,
    if it is known on the first labelled frame. The box of PCKmax is that around an animal's true points.

    Results: `CLIP.csv`, a long CSV frame,name,x,y; points that it leaves out are lost.

    Attributes:
        root: the folder of truth files, `keypoint_truth` says what they hold.
        videos: a second place to look for the videos.
        sequences: only these clips.
        frames: how many frames to look at, from the first labelled one; None for all.
        visible: confidence below which a point is said to be absent; see `jhmdb.Jhmdb`.
        corrections: how many labelled frames are corrected with the truth, ascending; none to leave that out.
        choose: which frames, entries of `evaluation.corrections.CHOICES`.
    """

    root: Path
    videos: Path | None = None
    sequences: tuple[str, ...] = ()
    frames: int | None = None
    visible: float = 0.0
    corrections: tuple[int, ...] = ()
    choose: tuple[str, ...] = ("uniform",)

    name: ClassVar[str] = "keypoints"
    labels: ClassVar[str] = "keypoints"
    measures: ClassVar[tuple[Measure, ...]] = (*MEASURES, Measure("pixels", better="lower", digits=1))

    def __post_init__(self) -> None:
        check_corrections(self.corrections, self.choose)

    def list_sequences(self) -> Sequence[BenchmarkSequence]:
        """Return a case per truth file.

        Raises:
            InputError: there is no truth file, or one has no video.
        """
        files = truth_files(self.root)
        chosen = choose_sequences([BenchmarkSequence(stem, "") for stem in files], self.sequences, where=self.root)
        return tuple(
            BenchmarkSequence(sequence.name, str(video_of(files[sequence.name], videos=self.videos)))
            for sequence in chosen
        )

    def inputs(self, sequence: BenchmarkSequence) -> tuple[Sequence[Path], Mapping[str, Any]]:
        """Return the file of points, and which of them count."""
        corrected = {"corrections": self.corrections, "choose": self.choose} if self.corrections else {}
        options = {"visible": self.visible, "frames": self.frames, **corrected}
        return [truth_files(self.root)[sequence.name]], options

    def evaluate(self, sequence: BenchmarkSequence, trackers: Trackers, results: Path) -> Scores:
        """Track the points of one clip from its first labelled frame, write them, and score them.

        Raises:
            InputError: the truth or the video cannot be used.
        """
        truth, watch = self._truth(sequence), Stopwatch()
        given = Annotation(truth.frames[0], truth.xy[0], truth.names)
        write_tracks(self._file(sequence, results), self._tracked(sequence, truth, trackers, [given], watch=watch))
        scores, notes = self.score(sequence, results), notes_of(watch)
        corrections = self._corrected(sequence, truth, trackers) if self.corrections else {}
        return replace(scores, seconds=watch.seconds, notes=(*scores.notes, *notes), corrections=corrections)

    def score(self, sequence: BenchmarkSequence, results: Path) -> Scores:
        """Score the points of one clip.

        Raises:
            InputError: the file is missing or damaged, has another point, or lacks a labelled frame.
        """
        truth = self._truth(sequence)
        frames = truth.frames[1:]
        found = read_tracks(
            self._file(sequence, results), names=truth.names, frames=frames, stems=stems_of(sequence.video)
        )
        units = point_units(truth.xy[1:], found, names=truth.names, alone=float("nan"))
        facts = {"objects": len(animals(truth.names)), "points": len(truth.names)}
        lone = sum(boxless_frames(truth.xy[1:], truth.names))
        note = f"{lone} frames show one point of its subject alone: it has no box and counts in pixels only"
        return Scores(sequence.name, frames, units, facts=facts, notes=(*truth.notes, note) if lone else truth.notes)

    def summary(self, scores: Sequence[Scores]) -> dict[str, float]:
        """Return the mean over the clips of each measure."""
        each: Sequence[Mapping[str, float]] = [pooled([one]) | {"pixels": mean_pixels(one)} for one in scores]
        return {m.name: mean(np.array([numbers[m.name] for numbers in each], dtype=float)) for m in self.measures}

    def curves(self, scores: Scores) -> dict[str, Curve]:
        """Return the share of right points per labelled frame at .1 and .2."""
        return right_over_time(scores)

    def filmstrip(
        self, sequence: BenchmarkSequence, results: Path, *, count: int, height: int
    ) -> NDArray[np.uint8] | None:
        """Return labelled frames with the true points above and the tracked ones below."""
        truth = self._truth(sequence)
        frames = truth.frames[1:]
        found = read_tracks(
            self._file(sequence, results), names=truth.names, frames=frames, stems=stems_of(sequence.video)
        )
        points = {frame: (truth.xy[place + 1], found[place]) for place, frame in enumerate(frames)}
        return point_strip(sequence.video, points, names=truth.names, count=count, height=height)

    def _tracked(
        self,
        sequence: BenchmarkSequence,
        truth: PointTruth,
        trackers: Trackers,
        given: Sequence[Annotation],
        *,
        watch: Stopwatch,
    ) -> Iterator[Prediction]:
        """Yield the predictions of a clip of which a person gave some frames."""
        from propagate.labels.keypoints import KeypointLabels

        label_type = KeypointLabels(truth.names, visible=self.visible)
        with read_video(sequence.video, start=truth.frames[0], end=truth.frames[-1] + 1) as frames:
            yield from watch.track(trackers("keypoints"), frames, given, label_type=label_type)

    def _corrected(self, sequence: BenchmarkSequence, truth: PointTruth, trackers: Trackers) -> dict[str, Any]:
        """Return the records of all choices of frames."""
        task = correctable_points(
            sequence.name,
            truth.frames,
            truth.xy,
            names=truth.names,
            track=lambda given: self._tracked(sequence, truth, trackers, given, watch=Stopwatch()),
            alone=float("nan"),
        )
        return correct(task, choices=self.choose, counts=self.corrections)

    def _file(self, sequence: BenchmarkSequence, results: Path) -> Path:
        return results / f"{sequence.name}.csv"

    def _truth(self, sequence: BenchmarkSequence) -> PointTruth:
        """Return the true points of the frames that are looked at."""
        with read_video(sequence.video) as frames:
            size = frames.info.size
        truth = read_truth(truth_files(self.root)[sequence.name], stems=stems_of(sequence.video), size=size)
        if self.frames is None:
            return truth
        kept = sum(frame < truth.frames[0] + self.frames for frame in truth.frames)
        if kept < 2:
            raise InputError(f"{sequence.video}: no second labelled frame among the first {self.frames} frames")
        return replace(truth, frames=truth.frames[:kept], xy=truth.xy[:kept])
