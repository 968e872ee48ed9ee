"""Corrections with the truth, as an annotator would make them: which frames, and what the run is then worth.

With N corrections a sequence has N + 1 annotated frames: the first, and N more. A person gives all objects of a frame.
What a choice of frames got on a sequence is a list of records, one for each N, plain data (`Scores.corrections`):
`corrections`, `frames` (annotated), `seconds` (of a person's work), `all` and `untouched` (measure -> mean over all
frames with truth, and over those that nobody annotated), `tube`, `drawn`, `absent` and `why`.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from propagate.errors import InputError
from propagate.metrics.masks import mean
from propagate.runs.choice import next_frames, spaced

Array = NDArray[np.float64]
MASK_SECONDS, ABSENT_SECONDS = 80.0, 3.0  # EVA-VOS: a mask drawn by hand; a word that the object is not there
POINT_SECONDS = 2.4  # Bearman 2016, What's the Point, 4.1: one click


@dataclass(frozen=True)
class CorrectedRun:
    """What a run with some annotated frames got on a sequence.

    Attributes:
        frames: (T,) indices of the frames with truth, ascending.
        values: measure -> (U, T) of every object or point, NaN where it is not defined.
        lines: what `results.jsonl` would hold, a record a frame.
        tube: (U,) intersection over union of each object's whole volume; NaN for points.
        drawn: on how many (object, frame) an object was drawn that the truth lacks there.
        absent: on how many (object, frame) the truth lacks it.
    """

    frames: tuple[int, ...]
    values: Mapping[str, Array]
    lines: Sequence[Mapping[str, Any]]
    tube: Array
    drawn: int = 0
    absent: int = 0

    def per_frame(self, measure: str) -> Array:
        """Return (T,) the mean over objects or points of each frame, NaN where none has a value."""
        return np.array([mean(column) for column in self.values[measure].T])

    def means(self, kept: NDArray[np.bool_]) -> dict[str, float]:
        """Return the mean over objects of the mean over the frames (T,) that are kept."""
        return {
            name: mean(np.array([mean(row[kept]) for row in values], dtype=float))
            for name, values in self.values.items()
        }


Annotated = tuple[int, ...]  # frames, ascending


@dataclass(frozen=True)
class Correctable:
    """A sequence that can be corrected with its truth.

    Attributes:
        name: by which chance is seeded.
        seconds: frame with truth -> what its annotation costs a person; the first of them is always annotated.
        headline: the measure by which frames are bad.
        track: runs the tracker with annotated frames.
        known: runs that are at hand; those that are made are put there too, so that choices share them.
    """

    name: str
    seconds: Mapping[int, float]
    headline: str
    track: Callable[[Annotated], CorrectedRun]
    known: dict[Annotated, CorrectedRun] = field(default_factory=dict)

    @property
    def places(self) -> Annotated:
        """The frames with truth, ascending."""
        return tuple(sorted(self.seconds))

    def run(self, frames: Iterable[int]) -> CorrectedRun:
        """Return the run with these frames annotated."""
        key = tuple(sorted(set(frames)))
        if key not in self.known:
            self.known[key] = self.track(key)
        return self.known[key]


Picked = tuple[int, str]  # a frame, and why
Plan = Callable[[Correctable, int], list[list[Picked]]]  # frames beside the first, for 0 to N corrections


def _uniform(task: Correctable, most: int) -> list[list[Picked]]:
    places = task.places
    even = [np.linspace(0, len(places) - 1, number + 1).round().astype(int)[1:] for number in range(most + 1)]
    return [[(places[place], "evenly spaced") for place in chosen] for chosen in even]


def _random(task: Correctable, most: int) -> list[list[Picked]]:
    rng = np.random.default_rng(zlib.crc32(task.name.encode()))
    order = [(int(frame), "by chance") for frame in rng.permutation(task.places[1:])[:most]]
    return [order[:number] for number in range(most + 1)]


def _greedy(pick: Callable[[Correctable, CorrectedRun, Annotated], Picked]) -> Plan:
    """Return a plan that looks at each run before it picks the next frame."""

    def plan(task: Correctable, most: int) -> list[list[Picked]]:
        picked: list[Picked] = []
        for _ in range(most):
            annotated = (task.places[0], *(frame for frame, _ in picked))
            picked.append(pick(task, task.run(annotated), annotated))
        return [picked[:number] for number in range(most + 1)]

    return plan


def _least(values: Mapping[int, float], annotated: Annotated) -> int:
    """Return the frame of the least value among those well apart from the annotated ones; NaN is never the least."""
    known = [frame for frame, value in values.items() if np.isfinite(value)]
    return min(spaced(known, annotated) or spaced(values, annotated), key=lambda frame: values[frame])


def _worst(task: Correctable, run: CorrectedRun, annotated: Annotated) -> Picked:
    values = dict(zip(run.frames, run.per_frame(task.headline).tolist(), strict=True))
    frame = _least(values, annotated)
    return frame, f"{task.headline} {values[frame]:.3f}"


def _lowest(task: Correctable, run: CorrectedRun, annotated: Annotated) -> Picked:
    sure = {
        line["index"]: float(np.mean([one["confidence"] for one in line["objects"]] or [1.0]))
        for line in run.lines
        if line["index"] in task.seconds
    }
    frame = _least(sure, annotated)
    return frame, f"confidence {sure[frame]:.3f}"


def _tool(task: Correctable, run: CorrectedRun, annotated: Annotated) -> Picked:
    [best] = next_frames(run.lines, annotated=annotated, candidates=task.places)
    return best.frame, "; ".join(best.reasons)


CHOICES: Mapping[str, Plan] = {
    "uniform": _uniform,
    "random": _random,
    "lowest": _greedy(_lowest),
    "worst": _greedy(_worst),
    "tool": _greedy(_tool),
}


def check_corrections(counts: Sequence[int], choices: Sequence[str]) -> None:
    """Refuse what cannot be asked of a benchmark.

    Raises:
        ValueError: a number that is negative or not above the one before it, or a choice that does not exist.
    """
    if list(counts) != sorted(set(counts)) or any(number < 0 for number in counts):
        raise ValueError(f"corrections must be numbers from 0 on, ascending, not {', '.join(map(str, counts))}")
    unknown = next((name for name in choices if name not in CHOICES), None)
    if unknown is not None:
        raise ValueError(f"no choice of frames is called {unknown!r}: it is one of {', '.join(CHOICES)}")
    if len(set(choices)) != len(choices) or not choices:
        raise ValueError("the choices of frames must be at least one, and each named once")


def correct(task: Correctable, *, choices: Sequence[str], counts: Sequence[int]) -> dict[str, list[dict[str, Any]]]:
    """Return the records of every choice of frames, one for each number of corrections.

    Raises:
        InputError: the sequence has too few frames with truth.
    """
    if max(counts) >= len(task.places) - 1:
        found = f"{len(task.places)} frames with truth are too few for {max(counts)} corrections"
        raise InputError(f"{task.name}: {found}", hint="one more must be left to be scored")
    plans = {choice: CHOICES[choice](task, max(counts)) for choice in choices}
    return {choice: [_record(task, plan[number]) for number in counts] for choice, plan in plans.items()}


def _record(task: Correctable, picked: Sequence[Picked]) -> dict[str, Any]:
    """Return what a person's corrections of these frames are worth, and cost."""
    why = {task.places[0]: "the first", **dict(picked)}
    run = task.run(why)
    touched = np.isin(run.frames, list(why))
    return {
        "corrections": len(picked),
        "frames": sorted(why),
        "seconds": sum(task.seconds[frame] for frame in why),
        "all": _plain(run.means(np.ones(len(run.frames), dtype=bool))),
        "untouched": _plain(run.means(~touched)),
        "tube": _plain({"tube": mean(run.tube)})["tube"],
        "drawn": run.drawn,
        "absent": run.absent,
        "why": {str(frame): word for frame, word in sorted(why.items())},
    }


def _plain(values: Mapping[str, float]) -> dict[str, float | None]:
    return {name: None if np.isnan(value) else float(value) for name, value in values.items()}
