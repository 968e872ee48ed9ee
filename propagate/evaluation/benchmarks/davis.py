"""DAVIS, semi-supervised: the mask of frame 0 is carried on; J and F as the official davis2017-evaluation has them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from propagate.errors import InputError
from propagate.evaluation.benchmarks import davis_layout
from propagate.evaluation.benchmarks.colorizing import clusters_of, colorized
from propagate.evaluation.benchmarks.davis_layout import read_attributes
from propagate.evaluation.benchmarks.davis_masks import (
    MaskTally,
    Truth,
    annotation_of,
    facts_of,
    person_seconds,
    read_result,
    read_true,
    read_truth,
)
from propagate.evaluation.benchmarks.sequences import Stopwatch, notes_of, spread
from propagate.evaluation.corrections import Annotated, Correctable, CorrectedRun, check_corrections, correct
from propagate.evaluation.protocol import Benchmark, BenchmarkSequence, Curve, Measure, Scores, Trackers
from propagate.formats.atomic import make_folder
from propagate.formats.images import read_picture, write_rgb
from propagate.formats.indexed_png import write_mask
from propagate.metrics.color import cluster_accuracy
from propagate.metrics.masks import boundary_f, decay, jaccard, mean, recall
from propagate.render.compare import colors_strip, filmstrip
from propagate.values import Prediction
from propagate.video import read_video
from propagate.video.folder import list_images

COLORED = 8  # frames of a sequence whose predicted colours are kept
COLORS = "colors"  # their folder, beside the masks


@dataclass(frozen=True)
class Davis(Benchmark):
    """DAVIS 2016 (all objects as one) and 2017 (each on its own).

    Scored are all frames but the first and the last. Means run over objects, not sequences; recall and decay are taken
    per object first. Results are the official layout, SEQUENCE/STEM.png, indexed.

    Attributes:
        root: holds JPEGImages, Annotations and ImageSets.
        year: None to take it from the list's folder.
        list: a list under ImageSets, "2017/val"; None for the only one, 2017/val or 2016/val.
        sequences: names that stand in place of a list.
        resolution: a folder of JPEGImages and Annotations: 480p, 240p, Full-Resolution.
        colors: also carry the colours of frame 0 through the grey copy, and keep as the curve "color" how many pixels
            inside the true mask fall into the right one of 16 clusters (Vondrick 4.5).
        attributes: the file that names what makes a sequence hard; None to look for it in `root`.
        corrections: how many frames are corrected with the truth, ascending; none to leave that out.
        choose: which frames, entries of `evaluation.corrections.CHOICES`.
    """

    root: Path
    year: davis_layout.Year | None = None
    list: str | None = None
    sequences: tuple[str, ...] = ()
    resolution: str = "480p"
    colors: bool = False
    attributes: Path | None = None
    corrections: tuple[int, ...] = ()
    choose: tuple[str, ...] = ("uniform",)

    name: ClassVar[str] = "davis"
    labels: ClassVar[str] = "masks"
    measures: ClassVar[tuple[Measure, ...]] = (
        Measure("J&F"),
        Measure("J"),
        Measure("J-Recall"),
        Measure("J-Decay", better="lower"),
        Measure("F"),
        Measure("F-Recall"),
        Measure("F-Decay", better="lower"),
    )

    def __post_init__(self) -> None:
        check_corrections(self.corrections, self.choose)

    @property
    def official_columns(self) -> Mapping[str, str]:
        """Columns of davis2017-evaluation's evaluation_method.py -> our measures."""
        return {f"{one.name}-Mean" if one.name in ("J&F", "J", "F") else one.name: one.name for one in self.measures}

    def list_sequences(self) -> Sequence[BenchmarkSequence]:
        """Return the sequences in the list's order.

        Raises:
            InputError: the layout is not the official one; the missing part is named.
        """
        named = read_attributes(self.root, self.attributes)
        folder = self.root / "JPEGImages" / self.resolution
        return [BenchmarkSequence(name, str(folder / name), named.get(name, ())) for name in self._chosen.names]

    def inputs(self, sequence: BenchmarkSequence) -> tuple[Sequence[Path], Mapping[str, Any]]:
        """Return the masks, and whether objects are merged; the colours' clusters are those of all sequences."""
        clips = [one.name for one in self.list_sequences()] if self.colors else []
        corrected = {"corrections": self.corrections, "choose": self.choose} if self.corrections else {}
        return list_images(self._masks(sequence)), {"year": self._chosen.year, "colors": clips, **corrected}

    def evaluate(self, sequence: BenchmarkSequence, trackers: Trackers, results: Path) -> Scores:
        """Track one sequence, write all its masks into `results`, and score them.

        A sequence with truth on its first frame only (test-dev) is tracked and written, and scores nothing.

        Raises:
            InputError: the sequence's truth or pictures cannot be used.
        """
        truth = self._truth(sequence)
        folder = make_folder(results / sequence.name)
        watch, tally = Stopwatch(), MaskTally(truth)
        predictions = _tracked(sequence, truth, trackers, (0,), watch=watch)
        for prediction in tally.follow(predictions) if self.corrections else predictions:
            write_mask(folder / f"{prediction.frame.stem}.png", prediction.array.astype(np.int64))
        units = self._units(sequence, truth, results)
        if self.colors:
            for unit, curve in self._colors(sequence, truth, trackers, folder).items():
                units.setdefault(unit, {})["color"] = curve
        notes = (*truth.notes, *notes_of(watch))
        if not truth.scored:
            notes = (*notes, "truth on the first frame only: masks are written, nothing is scored")
            units = {}
        corrections = self._corrected(sequence, truth, trackers, tally) if self.corrections and truth.scored else {}
        return Scores(
            sequence.name,
            tuple(truth.scored),
            units,
            facts=facts_of(truth),
            notes=notes,
            corrections=corrections,
            seconds=watch.seconds,
        )

    def score(self, sequence: BenchmarkSequence, results: Path) -> Scores:
        """Score the masks of one sequence in `results`; first and last frame may be missing.

        Raises:
            InputError: a mask is missing, of another size, or holds an object that the truth lacks.
        """
        truth = self._truth(sequence)
        if not truth.scored:
            raise InputError(f"{self._masks(sequence)}: there is truth on the first frame only, nothing can be scored")
        if not (results / sequence.name).is_dir():
            hint = "a folder per sequence is expected, as in Annotations"
            raise InputError(f"{results}: there is no result of the sequence {sequence.name}", hint=hint)
        units = self._units(sequence, truth, results)
        return Scores(sequence.name, tuple(truth.scored), units, facts=facts_of(truth), notes=truth.notes)

    def summary(self, scores: Sequence[Scores]) -> dict[str, float]:
        """Return mean, recall and decay of J and F over all objects, and the mean of both means, J&F."""
        numbers = {}
        for name in ("J", "F"):
            curves = [np.asarray(unit[name]) for each in scores for unit in each.units.values()]
            numbers[name] = _mean([mean(curve) for curve in curves])
            numbers[f"{name}-Recall"] = _mean([recall(curve) for curve in curves])
            numbers[f"{name}-Decay"] = _mean([decay(curve) for curve in curves])
        numbers["J&F"] = (numbers["J"] + numbers["F"]) / 2
        return {measure.name: numbers[measure.name] for measure in self.measures}

    def curves(self, scores: Scores) -> dict[str, Curve]:
        """Return J&F, J and F per scored frame, the mean over the objects."""
        if not scores.units:
            return {}
        region, boundary = (np.mean([unit[name] for unit in scores.units.values()], axis=0) for name in ("J", "F"))
        return {"J&F": (region + boundary) / 2, "J": region, "F": boundary}

    def filmstrip(
        self, sequence: BenchmarkSequence, results: Path, *, count: int, height: int
    ) -> NDArray[np.uint8] | None:
        """Return `count` frames, the truth above and the prediction below; None where nothing was predicted."""
        pictures = [path for path in list_images(Path(sequence.video)) if self._is_shown(sequence, results, path.stem)]
        chosen = [pictures[place] for place in spread(len(pictures), count)] if pictures else []
        return self._strip(sequence, results, chosen, height=height)

    def hard_filmstrip(
        self, sequence: BenchmarkSequence, results: Path, *, frames: tuple[int, int], count: int, height: int
    ) -> NDArray[np.uint8] | None:
        """Return the filmstrip of a stretch, its first and last frame given: a frame before, the stretch, one after."""
        pictures = list_images(Path(sequence.video))
        first, last = frames
        inside = [first + place for place in spread(last - first + 1, max(count - 2, 1))]
        margin = max(2, (last - first) // 2)
        wanted = dict.fromkeys([max(first - margin, 0), *inside, min(last + margin, len(pictures) - 1)])
        chosen = [pictures[place] for place in wanted if place < len(pictures)]
        shown = [path for path in chosen if self._is_shown(sequence, results, path.stem)]
        return self._strip(sequence, results, shown, height=height)

    def _strip(
        self, sequence: BenchmarkSequence, results: Path, chosen: Sequence[Path], *, height: int
    ) -> NDArray[np.uint8] | None:
        """Return the pictures with the truth above and the prediction below; None without pictures."""
        if not chosen:
            return None
        frames = [read_picture(path) for path in chosen]
        truths = [self._true(sequence, path.stem, rgb) for path, rgb in zip(chosen, frames, strict=True)]
        found = [self._found(sequence, results, path.stem, rgb) for path, rgb in zip(chosen, frames, strict=True)]
        return filmstrip(frames, truths, found, count=len(chosen), height=height)

    def color_filmstrip(
        self, sequence: BenchmarkSequence, results: Path, *, count: int, height: int
    ) -> NDArray[np.uint8] | None:
        """Return predicted mask, predicted colours and true colours of up to `count` frames (Vondrick figure 10)."""
        if not self.colors:
            return None
        folder = results / sequence.name
        pictures = [
            path
            for path in list_images(Path(sequence.video))
            if (folder / f"{path.stem}.png").is_file() and (folder / COLORS / f"{path.stem}.png").is_file()
        ]
        if not pictures:
            return None
        chosen = [pictures[place] for place in spread(len(pictures), count)]
        frames = [read_picture(path) for path in chosen]
        masks = [self._found(sequence, results, path.stem, rgb) for path, rgb in zip(chosen, frames, strict=True)]
        colors = [read_picture(folder / COLORS / f"{path.stem}.png") for path in chosen]
        return colors_strip(frames, masks, colors, height=height)

    @property
    def list_title(self) -> str:
        """What the list of sequences is called, as the official evaluator's files are: "val"."""
        return self._chosen.title

    @cached_property
    def _chosen(self) -> davis_layout.SequenceList:
        return davis_layout.choose(
            self.root, year=self.year, wanted=self.list, sequences=self.sequences, resolution=self.resolution
        )

    @cached_property
    def _clusters(self) -> NDArray[np.float64]:
        return clusters_of(self.list_sequences())

    @property
    def _merged(self) -> bool:
        return self._chosen.year == 2016

    def _masks(self, sequence: BenchmarkSequence) -> Path:
        return self.root / "Annotations" / self.resolution / sequence.name

    def _truth(self, sequence: BenchmarkSequence) -> Truth:
        stems = [path.stem for path in list_images(Path(sequence.video))]
        with read_video(sequence.video) as reader:
            size = reader.info.size
        truth = read_truth(self._masks(sequence), stems, size=size, merged=self._merged)
        if len(stems) < 3:
            hint = "the first and the last are not scored"
            raise InputError(f"{sequence.video}: {len(stems)} frames are too few to score", hint=hint)
        return truth

    def _units(self, sequence: BenchmarkSequence, truth: Truth, results: Path) -> dict[str, dict[str, Curve]]:
        """Return J and F of every object over the scored frames."""
        numbers = range(1, truth.objects + 1)
        values = np.zeros((2, truth.objects, len(truth.scored)))
        for column, place in enumerate(truth.scored):
            true = truth.masks[place]
            path = results / sequence.name / f"{truth.stems[place]}.png"
            found = read_result(path, size=(true.shape[0], true.shape[1]), objects=truth.objects, merged=self._merged)
            for row, number in enumerate(numbers):
                pair = (true == number, found == number)
                values[:, row, column] = jaccard(*pair), boundary_f(*pair)
        return {str(number): {"J": values[0, row], "F": values[1, row]} for row, number in enumerate(numbers)}

    def _corrected(
        self, sequence: BenchmarkSequence, truth: Truth, trackers: Trackers, first: MaskTally
    ) -> dict[str, Any]:
        """Return the records of all choices of frames; `first` has followed the run from frame 0 alone."""

        def track(annotated: Annotated) -> CorrectedRun:
            tally = MaskTally(truth)
            for _ in tally.follow(_tracked(sequence, truth, trackers, annotated, watch=Stopwatch())):
                pass
            return tally.result()

        known: dict[Annotated, CorrectedRun] = {(0,): first.result()}
        task = Correctable(sequence.name, person_seconds(truth), self.measures[0].name, track, known)
        return correct(task, choices=self.choose, counts=self.corrections)

    def _colors(self, sequence: BenchmarkSequence, truth: Truth, trackers: Trackers, folder: Path) -> dict[str, Curve]:
        """Return per object the share of pixels inside its true mask whose cluster of colour is right."""
        kept = spread(len(truth.stems), COLORED)
        make_folder(folder / COLORS)
        curves = {str(number): np.full(len(truth.scored), np.nan) for number in range(1, truth.objects + 1)}
        for frame, rgb in colorized(sequence.video, trackers, watch=Stopwatch()):
            if frame.index in kept:
                write_rgb(folder / COLORS / f"{frame.stem}.png", rgb)
            if frame.index not in truth.scored:
                continue
            true = truth.masks[frame.index]
            for number in np.unique(true[(true > 0) & (true <= truth.objects)]):
                inside = true == number
                accuracy = cluster_accuracy(frame.rgb, rgb, self._clusters, where=inside)
                curves[str(number)][frame.index - 1] = accuracy
        return curves

    def _is_shown(self, sequence: BenchmarkSequence, results: Path, stem: str) -> bool:
        return (results / sequence.name / f"{stem}.png").is_file() and (self._masks(sequence) / f"{stem}.png").is_file()

    def _true(self, sequence: BenchmarkSequence, stem: str, rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
        path = self._masks(sequence) / f"{stem}.png"
        return read_true(path, size=(rgb.shape[0], rgb.shape[1]), merged=self._merged, odd={})

    def _found(
        self, sequence: BenchmarkSequence, results: Path, stem: str, rgb: NDArray[np.uint8]
    ) -> NDArray[np.uint8]:
        path = results / sequence.name / f"{stem}.png"
        return read_result(path, size=(rgb.shape[0], rgb.shape[1]), objects=255, merged=self._merged)


def _tracked(
    sequence: BenchmarkSequence, truth: Truth, trackers: Trackers, annotated: Annotated, *, watch: Stopwatch
) -> Iterator[Prediction]:
    """Yield the predictions of a sequence of which a person gave some frames."""
    from propagate.engine.pipeline import load_label_type

    given = [annotation_of(truth, frame) for frame in annotated]
    label_type = load_label_type("masks", truth.ids)
    with read_video(sequence.video) as frames:
        yield from watch.track(trackers("masks"), frames, given, label_type=label_type)


def _mean(values: Sequence[float]) -> float:
    return mean(np.array(values, dtype=float))
