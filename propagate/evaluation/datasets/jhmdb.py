"""JHMDB: 15 joints of a person, given on the first frame of each clip of a split (Jhuang 2013; CorrFlow 4.2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from propagate.errors import InputError
from propagate.evaluation.datasets.case_names import chosen_cases
from propagate.evaluation.datasets.jhmdb_layout import (
    annotated_joints,
    box_sides,
    listed_clips,
    split_clips,
    truth_files,
)
from propagate.evaluation.datasets.keypoint_results import read_tracks, stems_of, write_tracks
from propagate.evaluation.datasets.keypoint_scores import MEASURES, point_units, pooled, right_over_time
from propagate.evaluation.datasets.keypoint_strip import point_strip
from propagate.evaluation.datasets.tracking import Stopwatch, notes_of
from propagate.evaluation.protocol import Case, Curve, Measure, Scores, Trackers
from propagate.values import Annotation
from propagate.video import read_video

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
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Jhmdb:
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
    """

    root: Path
    split: int = 1
    list: Path | None = None
    sequences: tuple[str, ...] = ()
    visible: float = 0.0

    name: ClassVar[str] = "jhmdb"
    measures: ClassVar[tuple[Measure, ...]] = MEASURES

    def cases(self) -> Sequence[Case]:
        """Return the test clips of the split, or those of the list.

        Raises:
            InputError: a part of the layout is missing, or a clip is listed and not there.
        """
        clips = split_clips(self.root, self.split) if self.list is None else listed_clips(self.root, self.list)
        cases = tuple(Case(name, str(video)) for name, video in clips)
        return chosen_cases(cases, self.sequences, where=self.root)

    def inputs(self, case: Case) -> tuple[Sequence[Path], Mapping[str, Any]]:
        """Return the files of joints and puppet mask, and from which confidence points are shown."""
        return truth_files(self.root, case.name), {"visible": self.visible}

    def evaluate(self, case: Case, trackers: Trackers, results: Path) -> Scores:
        """Track the joints of one clip from its first frame, write them, and score them.

        Raises:
            InputError: the joints or the frames cannot be used.
        """
        from propagate.labels.keypoints import KeypointCodec

        truth_xy, _ = self._truth(case)
        codec = KeypointCodec(NAMES, visible=self.visible)
        watch = Stopwatch()
        given = Annotation(0, truth_xy[0], NAMES)
        with read_video(case.video, end=len(truth_xy)) as frames:
            found = watch.track(trackers("keypoints"), frames, [given], codec=codec)
            write_tracks(self._file(case, results), found)
        scores = self.score(case, results)
        return replace(scores, seconds=watch.seconds, notes=(*scores.notes, *notes_of(watch)))

    def score(self, case: Case, results: Path) -> Scores:
        """Score the joints of one clip.

        Raises:
            InputError: the file is missing or damaged, has another joint, or lacks a frame.
        """
        truth_xy, notes = self._truth(case)
        with read_video(case.video) as video:
            size = video.info.size
        side, about_boxes = box_sides(self.root, case.name, frames=len(truth_xy), size=size)
        frames = tuple(range(1, len(truth_xy)))
        found = read_tracks(self._file(case, results), names=NAMES, frames=frames, stems=stems_of(case.video))
        units = point_units(truth_xy[1:], found, names=NAMES, side=side[1:])
        return Scores(case.name, frames, units, facts={"objects": 1}, notes=(*notes, *about_boxes))

    def summary(self, scores: Sequence[Scores]) -> dict[str, float]:
        """Return the measures, all frames of all clips pooled per joint."""
        return pooled(scores)

    def curves(self, scores: Scores) -> dict[str, Curve]:
        """Return the share of right joints per frame at .1 and .2."""
        return right_over_time(scores)

    def filmstrip(self, case: Case, results: Path, *, count: int, height: int) -> NDArray[np.uint8] | None:
        """Return frames with the true joints above and the tracked ones below."""
        truth_xy, _ = self._truth(case)
        frames = range(1, len(truth_xy))
        found = read_tracks(self._file(case, results), names=NAMES, frames=frames, stems=stems_of(case.video))
        points = {frame: (truth_xy[frame], found[frame - 1]) for frame in frames}
        return point_strip(case.video, points, names=NAMES, skeleton=SKELETON, count=count, height=height)

    def _file(self, case: Case, results: Path) -> Path:
        return results / f"{case.name}.csv"

    def _truth(self, case: Case) -> tuple[Array, tuple[str, ...]]:
        """Return the joints (T, 15, 2) of the frames that the video has too, and what is odd about their number."""
        truth_xy = annotated_joints(self.root, case.name, count=len(NAMES))
        with read_video(case.video) as video:
            frames = len(video)
        common = min(frames, len(truth_xy))
        if common < 2:
            raise InputError(f"{case.video}: {frames} frames for {len(truth_xy)} annotated ones: nothing to score")
        note = f"the video has {frames} frames and the joints are given for {len(truth_xy)}: the first {common} count"
        return truth_xy[:common], () if frames == len(truth_xy) else (note,)
