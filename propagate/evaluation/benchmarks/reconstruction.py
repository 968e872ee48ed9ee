"""TimeCycle's reconstruction: a frame rebuilt by copying colours straight from the one some frames before it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from propagate.errors import InputError
from propagate.evaluation.benchmarks.colorizing import check_length
from propagate.evaluation.benchmarks.sequences import Stopwatch, find_clips, spread
from propagate.evaluation.protocol import Benchmark, BenchmarkSequence, Curve, Measure, Scores, Tracker, Trackers
from propagate.formats.atomic import make_folder
from propagate.formats.images import read_picture, write_rgb
from propagate.metrics.color import mean_l1
from propagate.metrics.masks import mean
from propagate.render.compare import picture_rows, resized
from propagate.values import Annotation, Frame
from propagate.video import VideoReader, read_video

SHOWN = 8  # rebuilt frames of each clip and gap that are kept for the filmstrip
SHOWN_HEIGHT = 240  # of these, in pixels
STRIP = "strip"  # their folder, beside full frames
UNIT = "all"
Planned = dict[int, list[tuple[int, int]]]  # target frame -> (gap, place on the curve)


@dataclass(frozen=True)
class Reconstruction(Benchmark):
    """For every t, frames t + 5 and t + 10 are rebuilt directly from frame t by copying RGB (TimeCycle, experiment V).

    The tracker is shown just the two frames, in colour, and carries the first one's RGB as three channels of values.
    The measure is the mean absolute difference over pixels and channels, in 0..255. The paper does not state its unit,
    so its numbers cannot be laid beside these; the calibration is `identity`, which copies frame t itself. Results are
    CLIP/GAP/STEM.png, STEM of the rebuilt frame; they are kept only on demand.

    Attributes:
        root: video files or folders of frames, one clip, or a DAVIS tree.
        sequences: names of clips, when only some are wanted.
        gaps: frames between source and target.
        every: take only every n-th t.
        limit_starts: at most so many t a clip, evenly spread.
        save: keep every rebuilt frame.
    """

    root: Path
    sequences: tuple[str, ...] = ()
    gaps: tuple[int, ...] = (5, 10)
    every: int = 1
    limit_starts: int | None = None
    save: bool = False

    name: ClassVar[str] = "reconstruction"
    labels: ClassVar[str] = "maps"

    def __post_init__(self) -> None:
        if not self.gaps or min(self.gaps) < 1 or len(set(self.gaps)) != len(self.gaps):
            raise ValueError(f"gaps must be different numbers of frames from 1 on, not {self.gaps}")
        if self.every < 1 or (self.limit_starts is not None and self.limit_starts < 1):
            raise ValueError(f"every and limit_starts must be 1 or more, not {self.every} and {self.limit_starts}")

    @property
    def measures(self) -> tuple[Measure, ...]:
        """The mean absolute difference per gap."""
        return tuple(Measure(f"L1@{gap}", better="lower", digits=2) for gap in self.gaps)

    def list_sequences(self) -> Sequence[BenchmarkSequence]:
        """Return the clips in natural order.

        Raises:
            InputError: there are none, or a name is not there.
        """
        return find_clips(self.root, self.sequences)

    def inputs(self, sequence: BenchmarkSequence) -> tuple[Sequence[Path], Mapping[str, Any]]:
        """Return no file, the clip itself is the truth, and which frames are rebuilt."""
        chosen = {"gaps": list(self.gaps), "every": self.every, "limit_starts": self.limit_starts, "save": self.save}
        return (), chosen

    def evaluate(self, sequence: BenchmarkSequence, trackers: Trackers, results: Path) -> Scores:
        """Rebuild frames of one clip, write some or all of them into `results`, and score them.

        Raises:
            InputError: the clip cannot be read, or is shorter than every gap.
        """
        watch, tracker = Stopwatch(), trackers("maps")
        with read_video(sequence.video) as reader:
            starts = self._starts(sequence, reader)
            plan = self._planned(starts, len(reader))
            kept = {targets[place] for targets in self._targets(plan) for place in spread(len(targets), SHOWN)}
            unit = self._empty(starts)
            for first, target, gap, place in self._pairs(reader, plan):
                rgb = _rebuilt(tracker, first, target, watch=watch)
                self._write(results / sequence.name, target.stem, gap, rgb, shown=(gap, target.index) in kept)
                unit[f"L1@{gap}"][place] = mean_l1(target.rgb, rgb)
            notes = _notes(reader)
        return Scores(sequence.name, tuple(starts), {UNIT: unit}, notes=notes, seconds=watch.seconds)

    def score(self, sequence: BenchmarkSequence, results: Path) -> Scores:
        """Score the rebuilt frames CLIP/GAP/STEM.png of one clip.

        Raises:
            InputError: a frame is missing or of another size.
        """
        with read_video(sequence.video) as reader:
            starts = self._starts(sequence, reader)
            unit = self._empty(starts)
            for _, target, gap, place in self._pairs(reader, self._planned(starts, len(reader))):
                path = results / sequence.name / str(gap) / f"{target.stem}.png"
                if not path.is_file():
                    hint = f"frame {target.index} rebuilt from {gap} frames before; `evaluate` keeps it with --save"
                    raise InputError(f"{path}: there is no such picture", hint=hint)
                unit[f"L1@{gap}"][place] = mean_l1(target.rgb, read_picture(path, size=target.size))
            notes = _notes(reader)
        return Scores(sequence.name, tuple(starts), {UNIT: unit}, notes=notes)

    def summary(self, scores: Sequence[Scores]) -> dict[str, float]:
        """Return the mean over clips of each clip's mean over its t."""
        return {
            one.name: mean(np.array([mean(each.units[UNIT][one.name]) for each in scores])) for one in self.measures
        }

    def curves(self, scores: Scores) -> dict[str, Curve]:
        """Return the difference of every gap per t, NaN where the clip ends before."""
        return dict(scores.units[UNIT])

    def filmstrip(
        self, sequence: BenchmarkSequence, results: Path, *, count: int, height: int
    ) -> NDArray[np.uint8] | None:
        """Return up to `count` frames of the first gap, the true ones above and the rebuilt below; None without any."""
        folder = results / sequence.name / STRIP / str(self.gaps[0])
        shown = {path.stem: path for path in folder.glob("*.png")}
        if not shown:
            return None
        with read_video(sequence.video) as reader:
            pairs = [
                (resized(frame.rgb, height), read_picture(shown[frame.stem])) for frame in reader if frame.stem in shown
            ]
        if not pairs:
            return None
        return picture_rows(
            list(zip(*(pairs[place] for place in spread(len(pairs), count)), strict=True)), height=height
        )

    def _starts(self, sequence: BenchmarkSequence, reader: VideoReader) -> list[int]:
        """Return every t from which at least one gap stays within the clip."""
        check_length(sequence, len(reader), least=min(self.gaps) + 1)
        starts = list(range(0, len(reader) - min(self.gaps), self.every))
        return [starts[place] for place in spread(len(starts), self.limit_starts)]

    def _empty(self, starts: Sequence[int]) -> dict[str, Curve]:
        return {one.name: np.full(len(starts), np.nan) for one in self.measures}

    def _planned(self, starts: Sequence[int], frames: int) -> Planned:
        plan: Planned = {}
        for place, start in enumerate(starts):
            for gap in self.gaps:
                if start + gap < frames:
                    plan.setdefault(start + gap, []).append((gap, place))
        return plan

    def _targets(self, plan: Planned) -> list[list[tuple[int, int]]]:
        """Return (gap, target) of every gap, in order."""
        return [
            [(gap, target) for target in sorted(plan) for found, _ in plan[target] if found == gap] for gap in self.gaps
        ]

    def _pairs(self, reader: VideoReader, plan: Planned) -> Iterator[tuple[Frame, Frame, int, int]]:
        """Yield source frame, target frame, gap and place on the curve; pairs with a damaged frame are left out."""
        recent: deque[Frame] = deque(maxlen=max(self.gaps) + 1)
        for frame in reader:
            recent.append(frame)
            for gap, place in plan.get(frame.index, ()):
                first = recent[-1 - gap]
                if not (first.undecodable or frame.undecodable):
                    yield first, frame, gap, place

    def _write(self, folder: Path, stem: str, gap: int, rgb: NDArray[np.uint8], *, shown: bool) -> None:
        if self.save:
            write_rgb(make_folder(folder / str(gap)) / f"{stem}.png", rgb)
        if shown:
            small = resized(rgb, SHOWN_HEIGHT) if rgb.shape[0] > SHOWN_HEIGHT else rgb
            write_rgb(make_folder(folder / STRIP / str(gap)) / f"{stem}.png", small)


def _rebuilt(tracker: Tracker, first: Frame, target: Frame, *, watch: Stopwatch) -> NDArray[np.uint8]:
    """Return the target (H, W, 3) made of the first frame's colours."""
    from propagate.engine.pipeline import load_label_type
    from propagate.labels.maps import MapPlane

    label_type = load_label_type("maps", [MapPlane("rgb", "value", 3)])
    pair = [replace(first, index=0), replace(target, index=1)]
    given = Annotation(0, first.rgb.astype(np.float32), label_type.ids)
    *_, last = watch.track(tracker, pair, [given], label_type=label_type)
    return np.clip(np.rint(last.array.astype(np.float32)), 0, 255).astype(np.uint8)


def _notes(reader: VideoReader) -> tuple[str, ...]:
    """Return a line on damaged frames; complete after an iteration."""
    if not reader.missing:
        return ()
    more = f" and {len(reader.missing) - 1} more" if len(reader.missing) > 1 else ""
    return (f"a frame cannot be decoded and is left out: {reader.missing[0]}{more}",)
