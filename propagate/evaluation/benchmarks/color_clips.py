"""Colouring a grey video from its first frame in colour: how far the colours are from the true ones, against time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from propagate.errors import InputError
from propagate.evaluation.benchmarks.colorizing import check_length, clusters_of, colorized
from propagate.evaluation.benchmarks.sequences import Stopwatch, find_clips, notes_of, spread
from propagate.evaluation.protocol import Benchmark, BenchmarkSequence, Curve, Measure, Scores, Trackers
from propagate.formats.atomic import make_folder
from propagate.formats.images import read_picture, write_rgb
from propagate.metrics.color import cluster_accuracy, mean_chroma, mean_delta_e
from propagate.metrics.masks import mean
from propagate.render.compare import picture_rows, resized
from propagate.values import Frame
from propagate.video import read_video

SHOWN = 8  # frames of each clip that are kept for the filmstrip
SHOWN_HEIGHT = 240  # of these, in pixels
STRIP = "strip"  # their folder, beside full frames
UNIT = "all"
GREY = 0.1  # Lab units: a picture of less mean chroma has no colour to lose
Pair = tuple[Frame, NDArray[np.uint8]]


@dataclass(frozen=True)
class ColorClips(Benchmark):
    """Clips in colour, of which the tracker sees the luma and the colours of frame 0 (Vondrick 4.2).

    Scored are all frames but the first: the mean CIEDE2000 difference, the share of pixels that fall into the right
    one of 16 clusters of colour (fitted on the true frames of all clips), and mean chroma over true mean chroma, which
    shows colours that fade. Full frames are kept only on demand, as CLIP/STEM.png.

    Attributes:
        root: video files or folders of frames, one clip, or a DAVIS tree.
        sequences: names of clips, when only some are wanted.
        save: keep every predicted frame.
    """

    root: Path
    sequences: tuple[str, ...] = ()
    save: bool = False

    name: ClassVar[str] = "colors"
    labels: ClassVar[str] = "colors"
    measures: ClassVar[tuple[Measure, ...]] = (
        Measure("dE2000", better="lower", digits=2),
        Measure("accuracy"),
        Measure("saturation"),
    )

    def list_sequences(self) -> Sequence[BenchmarkSequence]:
        """Return the clips in natural order.

        Raises:
            InputError: there are none, or a name is not there.
        """
        return find_clips(self.root, self.sequences)

    def inputs(self, sequence: BenchmarkSequence) -> tuple[Sequence[Path], Mapping[str, Any]]:
        """Return no file, the clip itself is the truth, and the clips that the clusters are fitted on."""
        return (), {"clips": [one.name for one in self.list_sequences()], "save": self.save}

    def evaluate(self, sequence: BenchmarkSequence, trackers: Trackers, results: Path) -> Scores:
        """Colour one clip, write frames of it into `results`, and score it.

        Raises:
            InputError: the clip cannot be read, or has one frame.
        """
        with read_video(sequence.video) as reader:
            frames = len(reader)
        check_length(sequence, frames, least=2)
        watch = Stopwatch()
        pairs = colorized(sequence.video, trackers, watch=watch)
        units = self._units(self._written(pairs, make_folder(results / sequence.name), frames), frames)
        return self._scores(sequence, units, notes=notes_of(watch), seconds=watch.seconds)

    def score(self, sequence: BenchmarkSequence, results: Path) -> Scores:
        """Score one clip from its full frames, CLIP/STEM.png.

        Raises:
            InputError: a frame is missing or of another size.
        """
        with read_video(sequence.video) as reader:
            check_length(sequence, len(reader), least=2)
            units = self._units(self._read(reader, results / sequence.name), len(reader))
        return self._scores(sequence, units, notes=(), seconds=float("nan"))

    def summary(self, scores: Sequence[Scores]) -> dict[str, float]:
        """Return the mean over clips of each clip's mean over its frames."""
        clips = [{name: mean(curve) for name, curve in each.units[UNIT].items()} for each in scores]
        return {one.name: mean(np.array([clip[one.name] for clip in clips])) for one in self.measures}

    def curves(self, scores: Scores) -> dict[str, Curve]:
        """Return every measure per frame."""
        return dict(scores.units[UNIT])

    def filmstrip(
        self, sequence: BenchmarkSequence, results: Path, *, count: int, height: int
    ) -> NDArray[np.uint8] | None:
        """Return up to `count` frames, the true colours above and the carried ones below; None without any."""
        folder = results / sequence.name
        shown = {path.stem: path for place in (folder, folder / STRIP) for path in sorted(place.glob("*.png"))}
        with read_video(sequence.video) as reader:
            wanted = set(spread(len(reader), SHOWN))
            pairs = [
                (resized(frame.rgb, height), read_picture(shown[frame.stem]))
                for frame in reader
                if frame.index in wanted and frame.stem in shown
            ]
        if not pairs:
            return None
        return picture_rows(
            list(zip(*(pairs[place] for place in spread(len(pairs), count)), strict=True)), height=height
        )

    @cached_property
    def _clusters(self) -> NDArray[np.float64]:
        return clusters_of(self.list_sequences())

    def _written(self, pairs: Iterable[Pair], folder: Path, frames: int) -> Iterator[Pair]:
        """Yield what comes, written: few small frames, and all at full size with `save`."""
        kept = spread(frames, SHOWN)
        make_folder(folder / STRIP)
        for frame, rgb in pairs:
            if self.save:
                write_rgb(folder / f"{frame.stem}.png", rgb)
            if frame.index in kept:
                small = resized(rgb, SHOWN_HEIGHT) if rgb.shape[0] > SHOWN_HEIGHT else rgb
                write_rgb(folder / STRIP / f"{frame.stem}.png", small)
            yield frame, rgb

    def _read(self, frames: Iterable[Frame], folder: Path) -> Iterator[Pair]:
        for frame in frames:
            if frame.index == 0:
                continue
            path = folder / f"{frame.stem}.png"
            if not path.is_file():
                hint = "every frame but the first is expected; `evaluate` keeps them with save"
                raise InputError(f"{path}: there is no such picture", hint=hint)
            yield frame, read_picture(path, size=frame.size)

    def _units(self, pairs: Iterable[Pair], frames: int) -> dict[str, dict[str, Curve]]:
        """Return the curves over frames 1 to the last, NaN where the truth could not be decoded."""
        curves = {one.name: np.full(frames - 1, np.nan) for one in self.measures}
        for frame, rgb in pairs:
            if frame.index == 0 or frame.undecodable:
                continue
            place = frame.index - 1
            curves["dE2000"][place] = mean_delta_e(frame.rgb, rgb)
            curves["accuracy"][place] = cluster_accuracy(frame.rgb, rgb, self._clusters)
            chroma = mean_chroma(frame.rgb)
            curves["saturation"][place] = mean_chroma(rgb) / chroma if chroma > GREY else np.nan
        return {UNIT: curves}

    def _scores(
        self, sequence: BenchmarkSequence, units: dict[str, dict[str, Curve]], *, notes: tuple[str, ...], seconds: float
    ) -> Scores:
        frames = len(units[UNIT]["dE2000"]) + 1
        return Scores(
            sequence.name, tuple(range(1, frames)), units, facts={"frames": frames}, notes=notes, seconds=seconds
        )
