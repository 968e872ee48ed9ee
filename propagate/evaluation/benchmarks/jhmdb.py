"""JHMDB: keypoints of people, PCK in three forms."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.io import loadmat

from propagate.errors import InputError
from propagate.evaluation.benchmarks.keypoint_scores import (
    MEASURES,
    correctable_points,
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
from propagate.formats.tables import read_text
from propagate.values import Annotation, Prediction
from propagate.video import read_video

Array = NDArray[np.float64]
TEST = "2"  # in a split's file: 1 is training


def split_clips(root: Path, split: int) -> Iterator[tuple[str, Path]]:
    """Yield the name CLASS/CLIP and the video of the test clips of a split, by class.

    Raises:
        InputError: there are no joints or no files of this split, a line is not `CLIP.avi 1` or `CLIP.avi 2`, or a
            clip is not there.
    """
    _check_root(root)
    ending = f"_test_split{split}.txt"
    files = sorted((root / "splits").glob(f"*{ending}"))
    if not files:
        raise InputError(f"{root / 'splits'}: no file CLASS{ending}", hint="unpack JHMDB's splits.tar.gz there")
    for file in files:
        for number, line in enumerate(read_text(file).splitlines(), start=1):
            if not line.strip():
                continue
            clip, _, part = line.strip().rpartition(" ")
            if part not in ("1", TEST) or not clip.strip():
                raise InputError(f"{file}, line {number}: {line.strip()!r}, expected CLIP.avi and 1 or 2")
            if part == TEST:
                name = f"{file.name.removesuffix(ending)}/{clip.strip().removesuffix('.avi')}"
                yield name, _video(root, name, where=str(file))


def listed_clips(root: Path, file: Path) -> Iterator[tuple[str, Path]]:
    """Yield the name CLASS/CLIP and the video of the clips that a file lists, in its order.

    A line's first word ends in CLASS/CLIP, or in CLASS/CLIP/joint_positions.mat as in the lists of UVC and CRW.

    Raises:
        InputError: there is no such file, a line is none of these, or a clip is not there.
    """
    _check_root(root)
    for number, line in enumerate(read_text(file).splitlines(), start=1):
        if not line.strip():
            continue
        parts = line.split()[0].replace("\\", "/").removesuffix("/joint_positions.mat").rstrip("/").split("/")
        if len(parts) < 2:
            raise InputError(f"{file}, line {number}: {line.strip()!r}, expected CLASS/CLIP")
        name = "/".join(parts[-2:])
        yield name, _video(root, name, where=f"{file}, line {number}")


def _check_root(root: Path) -> None:
    if not (root / "joint_positions").is_dir():
        hint = "ROOT is the folder of JHMDB that holds joint_positions, splits and Rename_Images"
        raise InputError(f"{root}: there is no folder joint_positions in it", hint=hint)


def _video(root: Path, name: str, *, where: str) -> Path:
    """Return the folder of frames or the video file of a clip that has joints."""
    if not _joints_file(root, name).is_file():
        raise InputError(f"{where} lists {name}, but {_joints_file(root, name)} is not there")
    folder, file = root / "Rename_Images" / name, root / "ReCompress_Videos" / f"{name}.avi"
    if folder.is_dir():
        return folder
    if file.is_file():
        return file
    raise InputError(f"{where} lists {name}, but neither the folder {folder} nor the file {file} is there")


def _joints_file(root: Path, name: str) -> Path:
    return root / "joint_positions" / name / "joint_positions.mat"


def truth_files(root: Path, name: str) -> list[Path]:
    """Return the files that hold a clip's truth: its joints, and its puppet mask if there is one."""
    mask = root / "puppet_mask" / name / "puppet_mask.mat"
    return [_joints_file(root, name), *([mask] if mask.is_file() else [])]


def annotated_joints(root: Path, name: str, *, count: int) -> Array:
    """Return the joints of a clip, (T, `count`, 2) x, y in pixels; the file counts pixels from 1, this from 0.

    Raises:
        InputError: the file is missing, is no .mat, or does not hold (2, `count`, T) numbers.
    """
    path = _joints_file(root, name)
    points = _read_mat(path, "pos_img")
    if points.ndim != 3 or points.shape[:2] != (2, count) or points.dtype.kind not in "fiu":
        raise InputError(f"{path}: pos_img is {points.shape} {points.dtype}, expected numbers (2, {count}, frames)")
    return points.astype(np.float64).transpose(2, 1, 0) - 1


def box_sides(root: Path, name: str, *, frames: int, size: tuple[int, int]) -> tuple[Array, tuple[str, ...]]:
    """Return the larger side of the box around the person's puppet mask on each frame.

    Args:
        root: the data.
        name: CLASS/CLIP.
        frames: how many.
        size: (height, width) of the video, which the masks must have.

    Returns:
        (frames,) pixels, NaN where there is no mask; and a line that says so.

    Raises:
        InputError: the file is no .mat, or does not hold (H, W, T) numbers of the video's size.
    """
    path = root / "puppet_mask" / name / "puppet_mask.mat"
    side = np.full(frames, np.nan)
    if not path.is_file():
        return side, ("no puppet mask: PCKmax takes the box around the true joints",)
    masks = _read_mat(path, "part_mask")
    if masks.ndim != 3 or masks.shape[:2] != size or masks.dtype.kind not in "buif":
        expected = f"numbers ({size[0]}, {size[1]}, frames) as the video"
        raise InputError(f"{path}: part_mask is {masks.shape} {masks.dtype}, expected {expected}")
    for frame in range(min(frames, masks.shape[2])):
        side[frame] = _larger_side(masks[:, :, frame] > 0)
    without = int(np.isnan(side).sum())
    note = f"no puppet mask on {without} of {frames} frames: PCKmax takes the box around the true joints there"
    return side, (note,) if without else ()


def _larger_side(mask: NDArray[np.bool_]) -> float:
    """Return the larger side of the box around a mask (H, W) in pixels, NaN when it is empty."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return float("nan")
    return float(max(rows[-1] - rows[0], columns[-1] - columns[0]) + 1)


def _read_mat(path: Path, key: str) -> NDArray[Any]:
    """Return one array of a MATLAB file."""
    if not path.is_file():
        raise InputError(f"{path}: there is no such file")
    try:
        values = loadmat(path, variable_names=[key])
    except Exception as error:  # scipy says in a dozen ways that a file is no .mat, or a damaged one
        raise InputError(f"{path}: not a MATLAB file that can be read: {error or type(error).__name__}") from error
    if key not in values:
        raise InputError(f"{path}: holds no {key}", hint="is it a file of JHMDB?")
    return np.asarray(values[key])


NAMES = (  # the order of the columns of pos_img, as in mmpose's jhmdb.py (where the face is called head)
    *("neck", "belly", "face", "right_shoulder", "left_shoulder", "right_hip", "left_hip", "right_elbow"),
    *("left_elbow", "right_knee", "left_knee", "right_wrist", "left_wrist", "right_ankle", "left_ankle"),
)
SKELETON = (  # each joint and the one nearer to the belly, for drawing
    *(("neck", "belly"), ("face", "neck"), ("right_shoulder", "neck"), ("left_shoulder", "neck")),
    *(("right_hip", "belly"), ("left_hip", "belly"), ("right_elbow", "right_shoulder")),
    *(("left_elbow", "left_shoulder"), ("right_knee", "right_hip"), ("left_knee", "left_hip")),
    *(("right_wrist", "right_elbow"), ("left_wrist", "left_elbow"), ("right_ankle", "right_knee")),
    ("left_ankle", "left_knee"),
)


@dataclass(frozen=True)
class Jhmdb(Benchmark):
    """PCK over the frames after the first, all clips pooled per joint, then the mean over the 15 joints.

    That is CRW's eval_pck.py; VFS and later ones count the given frame 0 too, which lifts the number a little.

    The official layout: `joint_positions/CLASS/CLIP/joint_positions.mat` (`pos_img`, counted from 1: 1 is taken off),
    `splits/CLASS_test_split1.txt`, `puppet_mask/CLASS/CLIP/puppet_mask.mat` (its box normalises PCKmax), the frames in
    `Rename_Images/CLASS/CLIP/00001.png` or `ReCompress_Videos/CLASS/CLIP.avi`. Videos that are a frame or two longer or
    shorter than their annotation are scored on the common frames.

    Results: `CLASS/CLIP.csv`, a long CSV frame,name,x,y; joints that it leaves out are lost.

    Args:
        root: the folder that holds all that.
        split: 1, 2 or 3.
        list: a file that names the clips instead of a split: CLASS/CLIP, or as UVC's testlist_split1.txt.
        sequences: only these, CLASS/CLIP or CLIP.
        visible: confidence below which a joint is said to be absent. The default gives every place, as the published
            scripts do: withholding the doubtful ones raises PCK, which leaves lost joints out.
        corrections: how many frames are corrected with the truth, ascending; none to leave that out.
        choose: which frames, entries of `evaluation.corrections.CHOICES`.
    """

    root: Path
    split: int = 1
    list: Path | None = None
    sequences: tuple[str, ...] = ()
    visible: float = 0.0
    corrections: tuple[int, ...] = ()
    choose: tuple[str, ...] = ("uniform",)

    name: ClassVar[str] = "jhmdb"
    labels: ClassVar[str] = "keypoints"
    measures: ClassVar[tuple[Measure, ...]] = MEASURES

    def __post_init__(self) -> None:
        check_corrections(self.corrections, self.choose)

    def list_sequences(self) -> Sequence[BenchmarkSequence]:
        """Return the test clips of the split, or those of the list.

        Raises:
            InputError: a part of the layout is missing, or a clip is listed and not there.
        """
        clips = split_clips(self.root, self.split) if self.list is None else listed_clips(self.root, self.list)
        sequences = tuple(BenchmarkSequence(name, str(video)) for name, video in clips)
        return choose_sequences(sequences, self.sequences, where=self.root)

    def inputs(self, sequence: BenchmarkSequence) -> tuple[Sequence[Path], Mapping[str, Any]]:
        """Return the files of joints and puppet mask, and from which confidence points are shown."""
        corrected = {"corrections": self.corrections, "choose": self.choose} if self.corrections else {}
        return truth_files(self.root, sequence.name), {"visible": self.visible, **corrected}

    def evaluate(self, sequence: BenchmarkSequence, trackers: Trackers, results: Path) -> Scores:
        """Track the joints of one clip from its first frame, write them, and score them.

        Raises:
            InputError: the joints or the frames cannot be used.
        """
        (truth_xy, _), watch = self._truth(sequence), Stopwatch()
        count = len(truth_xy)

        def track(given: Sequence[Annotation], watch: Stopwatch) -> Iterator[Prediction]:
            from propagate.labels.keypoints import KeypointLabels

            label_type = KeypointLabels(NAMES, visible=self.visible)
            with read_video(sequence.video, end=count) as frames:
                yield from watch.track(trackers("keypoints"), frames, given, label_type=label_type)

        write_tracks(self._file(sequence, results), track([Annotation(0, truth_xy[0], NAMES)], watch))
        scores, notes = self.score(sequence, results), notes_of(watch)
        corrections: dict[str, Any] = {}
        if self.corrections:
            task = correctable_points(
                sequence.name, range(count), truth_xy, names=NAMES, track=lambda given: track(given, Stopwatch())
            )
            corrections = correct(task, choices=self.choose, counts=self.corrections)
        return replace(scores, seconds=watch.seconds, notes=(*scores.notes, *notes), corrections=corrections)

    def score(self, sequence: BenchmarkSequence, results: Path) -> Scores:
        """Score the joints of one clip.

        Raises:
            InputError: the file is missing or damaged, has another joint, or lacks a frame.
        """
        truth_xy, notes = self._truth(sequence)
        with read_video(sequence.video) as video:
            size = video.info.size
        side, about_boxes = box_sides(self.root, sequence.name, frames=len(truth_xy), size=size)
        frames = tuple(range(1, len(truth_xy)))
        found = read_tracks(self._file(sequence, results), names=NAMES, frames=frames, stems=stems_of(sequence.video))
        units = point_units(truth_xy[1:], found, names=NAMES, side=side[1:])
        return Scores(sequence.name, frames, units, facts={"objects": 1}, notes=(*notes, *about_boxes))

    def summary(self, scores: Sequence[Scores]) -> dict[str, float]:
        """Return the measures, all frames of all clips pooled per joint."""
        return pooled(scores)

    def curves(self, scores: Scores) -> dict[str, Curve]:
        """Return the share of right joints per frame at .1 and .2."""
        return right_over_time(scores)

    def filmstrip(
        self, sequence: BenchmarkSequence, results: Path, *, count: int, height: int
    ) -> NDArray[np.uint8] | None:
        """Return frames with the true joints above and the tracked ones below."""
        truth_xy, _ = self._truth(sequence)
        frames = range(1, len(truth_xy))
        found = read_tracks(self._file(sequence, results), names=NAMES, frames=frames, stems=stems_of(sequence.video))
        points = {frame: (truth_xy[frame], found[frame - 1]) for frame in frames}
        return point_strip(sequence.video, points, names=NAMES, skeleton=SKELETON, count=count, height=height)

    def _file(self, sequence: BenchmarkSequence, results: Path) -> Path:
        return results / f"{sequence.name}.csv"

    def _truth(self, sequence: BenchmarkSequence) -> tuple[Array, tuple[str, ...]]:
        """Return the joints (T, 15, 2) of the frames that the video has too, and what is odd about their number."""
        truth_xy = annotated_joints(self.root, sequence.name, count=len(NAMES))
        with read_video(sequence.video) as video:
            frames = len(video)
        common = min(frames, len(truth_xy))
        if common < 2:
            raise InputError(f"{sequence.video}: {frames} frames for {len(truth_xy)} annotated ones: nothing to score")
        note = f"the video has {frames} frames and the joints are given for {len(truth_xy)}: the first {common} count"
        return truth_xy[:common], () if frames == len(truth_xy) else (note,)
