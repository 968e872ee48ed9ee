"""Shows a run while it is done: what was recognised, the forecast, progress, what was lost; and the exit code."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from propagate.cli import console
from propagate.cli.signals import StopRequest

if TYPE_CHECKING:
    from propagate.runs.run import Run
    from propagate.values import Prediction

PARTLY, UNDER = 4, 5
LONG = 10.0  # seconds of work from which a forecast is given
MEASURED = 8  # frames after which the forecast is made


def carry(
    open_run: Callable[[StopRequest], Run],
    *,
    as_json: bool = False,
    quiet: bool = False,
    fail_under: float | None = None,
) -> None:
    """Do a run, show it, and exit with 4 or 5 where that is due.

    Args:
        open_run: opens it, given what asks it to stop.
        as_json: print a line a frame and a summary instead of the path.
        quiet: say nothing but errors.
        fail_under: exit with 5 when an object's mean confidence is lower.
    """
    with StopRequest() as stop:
        run = open_run(stop)
        try:
            _do(run, as_json=as_json, quiet=quiet)
        finally:
            run.close()
    _end(run, as_json=as_json, quiet=quiet, fail_under=fail_under)


def _do(run: Run, *, as_json: bool, quiet: bool) -> None:
    from propagate.formats.results import record

    for note in run.notes:
        console.say(note, quiet=quiet)
    if run.finished:
        console.say(f"{run.place.out}: finished before, nothing to do", quiet=quiet)
        if as_json:
            _show_lines(run.log)
        return
    if as_json:
        _show_lines(run.log)
    if run.done:
        console.say(f"continues after {run.done} of {run.total} frames", quiet=quiet)
    with closing(iter(run)) as steps:  # closed here, so that the state is saved whatever happens while showing
        told = _forecast(run, steps, quiet=quiet)
        for prediction in console.progress(told, done=run.done, total=run.total, what="frames", quiet=quiet):
            if as_json:
                console.show_json({"type": "frame", **record(prediction)})


def _show_lines(log: Path) -> None:
    """Print the lines of frames that an earlier run has done."""
    from propagate.formats.results import read

    for line in read(log) if log.is_file() else ():
        console.show_json({"type": "frame", **line})


def _forecast(run: Run, steps: Iterable[Prediction], *, quiet: bool) -> Iterator[Prediction]:
    """Yield the run's predictions; after the first few say what is to come, if that is long."""
    begin = time.monotonic()
    for number, prediction in enumerate(steps, 1):
        yield prediction
        if number == 2:
            begin = time.monotonic()  # the first frames hold the start-up
        if number == MEASURED:
            left = (run.total - run.done) * (time.monotonic() - begin) / (MEASURED - 2)
            if left > LONG:
                console.say(_forecast_line(run, left), quiet=quiet)


def _forecast_line(run: Run, left: float) -> str:
    import resource
    import sys

    unit = 1 if sys.platform == "darwin" else 1024
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    disk = (_bytes(run.place.out) + _bytes(run.place.state)) / max(run.done, 1) * run.total
    return (
        f"{run.total} frames, about {console.seconds(left)}, {memory / 1e9:.1f} GB of memory so far, "
        f"about {max(disk / 1e6, 0.1):.1f} MB on disk"
    )


def _bytes(place: Path) -> int:
    """Return how many bytes lie in a file or folder."""
    paths = place.rglob("*") if place.is_dir() else [place]
    return sum(path.stat().st_size for path in paths if path.is_file())


def _end(run: Run, *, as_json: bool, quiet: bool, fail_under: float | None) -> None:
    """Print the result, say what was lost, and exit with the code that is due."""
    confidence = mean_confidence(run.log)
    code, lost = 0, _lost(run)
    if lost:
        code = PARTLY
        console.say(f"warning: {lost}")
    under = {name: mean for name, mean in confidence.items() if fail_under is not None and mean < fail_under}
    if under:
        code = code or UNDER
        listed = ", ".join(f"{name}: {mean:.2f}" for name, mean in under.items())
        console.say(f"mean confidence below {fail_under}: {listed}")
    if as_json:
        console.show_json(_summary(run, confidence, code))
    else:
        console.show(str(run.place.out))
    if code:
        raise typer.Exit(code)


def _lost(run: Run) -> str:
    missing, patched = run.reader.missing, run.reader.patched
    parts = []
    if missing:
        repeat = "repeats" if len(missing) == 1 else "repeat"
        parts.append(f"{console.frames(missing)} could not be decoded and {repeat} the frame before")
    if patched:
        it = "it" if len(patched) == 1 else "them"
        parts.append(f"{console.frames(patched)} and what builds on {it} are damaged, shown as far as they decode")
    if run.reader.damaged and run.reader.info.ends_early:
        parts.append(next((line for line in run.reader.info.problems if "ends early" in line), "the file ends early"))
    return "; ".join(parts)


def _summary(run: Run, confidence: dict[str, float], code: int) -> dict[str, Any]:
    return {
        "type": "summary",
        "out": str(run.place.out),
        "frames": run.total,
        "missing": list(run.reader.missing),
        "patched": list(run.reader.patched),
        "confidence": confidence,
        "exit": code,
    }


def mean_confidence(log: Path) -> dict[str, float]:
    """Return the mean confidence of each object over the frames on which it was propagated."""
    from propagate.formats.results import read

    sums: dict[str, list[float]] = {}
    for line in read(log) if log.is_file() else ():
        if line["source"] == "propagated":
            for thing in line["objects"]:
                sums.setdefault(str(thing["id"]), []).append(thing["confidence"])
    return {name: round(sum(values) / len(values), 4) for name, values in sums.items()}
