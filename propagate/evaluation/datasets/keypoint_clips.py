"""Any labelled clips: points in a .npz or .csv beside each video, given on the first labelled frame."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from propagate.errors import InputError
from propagate.evaluation.datasets.case_names import chosen_cases
from propagate.evaluation.datasets.keypoint_results import read_tracks, stems_of, write_tracks
from propagate.evaluation.datasets.keypoint_scores import (
    MEASURES,
    animals,
    boxless_frames,
    mean_pixels,
    point_units,
    pooled,
    right_over_time,
)
from propagate.evaluation.datasets.keypoint_strip import point_strip
from propagate.evaluation.datasets.keypoint_truth import PointTruth, read_truth, truth_files, video_of
from propagate.evaluation.datasets.tracking import Stopwatch, notes_of
from propagate.evaluation.protocol import Case, Curve, Measure, Scores, Trackers
from propagate.metrics.over_frames import mean
from propagate.values import Annotation
from propagate.video import read_video


@dataclass(frozen=True)
class KeypointClips:
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
    """

    root: Path
    videos: Path | None = None
    sequences: tuple[str, ...] = ()
    frames: int | None = None
    visible: float = 0.0

    name: ClassVar[str] = "keypoints"
    measures: ClassVar[tuple[Measure, ...]] = (*MEASURES, Measure("pixels", better="lower", digits=1))

    def cases(self) -> Sequence[Case]:
        """Return a case per truth file.

        Raises:
            InputError: there is no truth file, or one has no video.
        """
        files = truth_files(self.root)
        chosen = chosen_cases([Case(stem, "") for stem in files], self.sequences, where=self.root)
        return tuple(Case(case.name, str(video_of(files[case.name], videos=self.videos))) for case in chosen)

    def inputs(self, case: Case) -> tuple[Sequence[Path], Mapping[str, Any]]:
        """Return the file of points, and which of them count."""
        return [truth_files(self.root)[case.name]], {"visible": self.visible, "frames": self.frames}

    def evaluate(self, case: Case, trackers: Trackers, results: Path) -> Scores:
        """Track the points of one clip from its first labelled frame, write them, and score them.

        Raises:
            InputError: the truth or the video cannot be used.
        """
        from propagate.labels.keypoints import KeypointCodec

        truth = self._truth(case)
        codec = KeypointCodec(truth.names, visible=self.visible)
        given = Annotation(truth.frames[0], truth.xy[0], truth.names)
        watch = Stopwatch()
        with read_video(case.video, start=truth.frames[0], end=truth.frames[-1] + 1) as frames:
            found = watch.track(trackers("keypoints"), frames, [given], codec=codec)
            write_tracks(self._file(case, results), found)
        scores = self.score(case, results)
        return replace(scores, seconds=watch.seconds, notes=(*scores.notes, *notes_of(watch)))

    def score(self, case: Case, results: Path) -> Scores:
        """Score the points of one clip.

        Raises:
            InputError: the file is missing or damaged, has another point, or lacks a labelled frame.
        """
        truth = self._truth(case)
        frames = truth.frames[1:]
        found = read_tracks(self._file(case, results), names=truth.names, frames=frames, stems=stems_of(case.video))
        units = point_units(truth.xy[1:], found, names=truth.names, alone=float("nan"))
        facts = {"objects": len(animals(truth.names)), "points": len(truth.names)}
        lone = sum(boxless_frames(truth.xy[1:], truth.names))
        note = f"{lone} frames show one point of its subject alone: it has no box and counts in pixels only"
        return Scores(case.name, frames, units, facts=facts, notes=(*truth.notes, note) if lone else truth.notes)

    def summary(self, scores: Sequence[Scores]) -> dict[str, float]:
        """Return the mean over the clips of each measure."""
        each: Sequence[Mapping[str, float]] = [pooled([one]) | {"pixels": mean_pixels(one)} for one in scores]
        return {m.name: mean(np.array([numbers[m.name] for numbers in each], dtype=float)) for m in self.measures}

    def curves(self, scores: Scores) -> dict[str, Curve]:
        """Return the share of right points per labelled frame at .1 and .2."""
        return right_over_time(scores)

    def filmstrip(self, case: Case, results: Path, *, count: int, height: int) -> NDArray[np.uint8] | None:
        """Return labelled frames with the true points above and the tracked ones below."""
        truth = self._truth(case)
        frames = truth.frames[1:]
        found = read_tracks(self._file(case, results), names=truth.names, frames=frames, stems=stems_of(case.video))
        points = {frame: (truth.xy[place + 1], found[place]) for place, frame in enumerate(frames)}
        return point_strip(case.video, points, names=truth.names, count=count, height=height)

    def _file(self, case: Case, results: Path) -> Path:
        return results / f"{case.name}.csv"

    def _truth(self, case: Case) -> PointTruth:
        """Return the true points of the frames that are looked at."""
        with read_video(case.video) as frames:
            size = frames.info.size
        truth = read_truth(truth_files(self.root)[case.name], stems=stems_of(case.video), size=size)
        if self.frames is None:
            return truth
        kept = sum(frame < truth.frames[0] + self.frames for frame in truth.frames)
        if kept < 2:
            raise InputError(f"{case.video}: no second labelled frame among the first {self.frames} frames")
        return replace(truth, frames=truth.frames[:kept], xy=truth.xy[:kept])
