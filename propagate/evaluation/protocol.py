"""What a benchmark is, and the values that pass between it, the runner, the analysis and the report."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from propagate.errors import InputError
from propagate.values import Annotation, Frame, Prediction

if TYPE_CHECKING:
    from propagate.labels.protocol import LabelType

Curve = NDArray[np.float64]


class Tracker(Protocol):
    """The engine or a baseline: frames and annotations in, a prediction a frame out."""

    def __call__(
        self, frames: Iterable[Frame], annotations: Sequence[Annotation], *, label_type: LabelType
    ) -> Iterator[Prediction]:
        """Yield a prediction per frame, in order."""
        ...


Trackers = Callable[[str], Tracker]  # from a label type, an entry of LABEL_TYPES, to what carries it


@dataclass(frozen=True)
class Measure:
    """One number of a benchmark.

    Attributes:
        name: its key in `Benchmark.summary`, and its heading.
        better: which way is good.
        digits: after the point, in tables.
        brief: whether a terminal's table shows it; files and the report show all.
    """

    name: str
    better: Literal["higher", "lower"] = "higher"
    digits: int = 3
    brief: bool = True


@dataclass(frozen=True)
class BenchmarkSequence:
    """One sequence of a benchmark.

    Attributes:
        name: unique; a slash in it makes a folder of its results ("catch/clip_3").
        video: a file or a folder of images, as `read_video` takes it.
        attributes: what makes it hard, as the data set says ("OCC", "FM").
    """

    name: str
    video: str
    attributes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        parts = self.name.split("/")
        if any(part in ("", ".", "..") for part in parts) or "\\" in self.name or "\0" in self.name:
            raise InputError(f"{self.name!r} cannot be the name of a sequence", hint="a name is no path")


@dataclass(frozen=True)
class Scores:
    """What one method got on one sequence; it goes through JSON and back.

    Attributes:
        sequence: the sequence's name.
        frames: (T,) indices of the scored frames.
        units: unit (an object's id, a joint's name, "all") -> curve name -> (T,) float, NaN where it is not defined,
            infinite where a point was lost. Which curves there are is the benchmark's own matter.
        totals: what its summary needs besides, plain data (VIP's confusion matrix).
        facts: what the truth says of the sequence, plain data: {"objects": 2, "areas": {"1": 0.03}} (of the picture).
        notes: lines for the user: what is odd about this sequence.
        corrections: choice of frames -> its records, one for each number of corrections; see `evaluation.corrections`.
        seconds: wall time of the tracker per frame, NaN for results of another tool.
        memory: peak resident memory in bytes of the process that tracked, NaN when it was not measured.
    """

    sequence: str
    frames: tuple[int, ...]
    units: Mapping[str, Mapping[str, Curve]]
    totals: Mapping[str, Any] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    corrections: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    seconds: float = float("nan")
    memory: float = float("nan")

    def __post_init__(self) -> None:
        for unit, curves in self.units.items():
            for name, curve in curves.items():
                if curve.shape != (len(self.frames),):
                    raise ValueError(
                        f"{self.sequence}: {unit} {name} has shape {curve.shape}, expected ({len(self.frames)},)"
                    )

    def take(self, positions: Sequence[int] | NDArray[np.intp]) -> Scores:
        """Return the scores of some of the scored frames, repeated where `positions` repeat; `totals` stay whole."""
        chosen = np.asarray(positions, dtype=np.intp)
        units = {unit: {name: curve[chosen] for name, curve in curves.items()} for unit, curves in self.units.items()}
        return replace(self, frames=tuple(self.frames[place] for place in chosen), units=units)

    def to_json(self) -> dict[str, Any]:
        """Return plain data; NaN becomes None and infinity "inf", so that it is strict JSON."""
        units = {
            unit: {name: [_plain(value) for value in curve.tolist()] for name, curve in curves.items()}
            for unit, curves in self.units.items()
        }
        corrected = {"corrections": dict(self.corrections)} if self.corrections else {}
        return {
            "case": self.sequence,
            "frames": list(self.frames),
            "units": units,
            "totals": dict(self.totals),
            "facts": dict(self.facts),
            "notes": list(self.notes),
            **corrected,
            "seconds": _plain(self.seconds),
            "memory": _plain(self.memory),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Scores:
        """Return what `to_json` made `data` of."""
        units = {
            unit: {name: np.array([_number(value) for value in curve], dtype=float) for name, curve in curves.items()}
            for unit, curves in data["units"].items()
        }
        return cls(
            sequence=data["case"],
            frames=tuple(data["frames"]),
            units=units,
            totals=data["totals"],
            facts=data["facts"],
            notes=tuple(data["notes"]),
            corrections=data.get("corrections", {}),
            seconds=_number(data["seconds"]),
            memory=_number(data["memory"]),
        )


def _plain(value: float) -> float | str | None:
    if np.isnan(value):
        return None
    return value if np.isfinite(value) else "inf"


def _number(value: float | str | None) -> float:
    return float("nan") if value is None else float(value)


class Benchmark(Protocol):
    """A set of sequences with truth and the official way to score them: a frozen dataclass of plain data.

    A benchmark inherits from this, and so has the parts that not every one offers.

    Attributes:
        labels: what is propagated, an entry of LABEL_TYPES.
        root: where the data lies.
    """

    labels: ClassVar[str]
    root: Path

    @property
    def name(self) -> str:
        """Its name in `BENCHMARKS`."""
        ...

    @property
    def measures(self) -> tuple[Measure, ...]:
        """What `summary` gives, in a table's order; the first is the headline by which sequences are ranked."""
        ...

    @property
    def official_columns(self) -> Mapping[str, str]:
        """Columns of the official evaluator's CSV -> our measures; none where there is no such file."""
        return {}

    @property
    def list_title(self) -> str:
        """What the list of sequences is called, as the official evaluator's files are."""
        return "val"

    def list_sequences(self) -> Sequence[BenchmarkSequence]:
        """Return the sequences in the list's order.

        Raises:
            InputError: the layout is not the official one; the missing part is named.
        """
        ...

    def inputs(self, sequence: BenchmarkSequence) -> tuple[Sequence[Path], Mapping[str, Any]]:
        """Return the files of a sequence's truth and the options that change its scores: others are scored again."""
        ...

    def evaluate(self, sequence: BenchmarkSequence, trackers: Trackers, results: Path) -> Scores:
        """Track one sequence, write what is found into the folder `results` (made by this), and score it.

        Raises:
            InputError: the sequence's truth or pictures cannot be used.
        """
        ...

    def score(self, sequence: BenchmarkSequence, results: Path) -> Scores:
        """Score one sequence from `results`, the root of a folder that `evaluate` or another tool filled.

        Raises:
            InputError: a result is missing, of another size, or holds an object that the truth lacks.
        """
        ...

    def summary(self, scores: Sequence[Scores]) -> dict[str, float]:
        """Return the official numbers over sequences (one may stand there twice): measure name -> value."""
        ...

    def curves(self, scores: Scores) -> dict[str, Curve]:
        """Return measure name -> (T,), the mean over units per frame; nothing where it has no meaning."""
        ...

    def filmstrip(
        self, sequence: BenchmarkSequence, results: Path, *, count: int, height: int
    ) -> NDArray[np.uint8] | None:
        """Return a picture (H, W, 3): `count` frames, truth above and prediction below; None when there is nothing."""
        ...

    def hard_filmstrip(
        self, sequence: BenchmarkSequence, results: Path, *, frames: tuple[int, int], count: int, height: int
    ) -> NDArray[np.uint8] | None:
        """Return the filmstrip of a stretch from its first to its last frame; by default of the whole sequence."""
        return self.filmstrip(sequence, results, count=count, height=height)

    def color_filmstrip(
        self, sequence: BenchmarkSequence, results: Path, *, count: int, height: int
    ) -> NDArray[np.uint8] | None:
        """Return predicted mask, predicted colours and true colours; None where colours are not propagated too."""
        return None
