"""Does a run from the command line: what was recognised, the forecast, progress, what was lost; and the exit code."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import typer

from propagate.cli import console
from propagate.cli.options import Cuts, End, Force, Json, Out, Quiet, Start, filled, request_of
from propagate.cli.signals import StopRequest
from propagate.runs.settings import SettingLayers

if TYPE_CHECKING:
    from propagate.runs.finished import FinishedRun
    from propagate.runs.request import Request
    from propagate.runs.run import Run
    from propagate.values import Prediction

T = TypeVar("T")
PARTLY, UNDER = 4, 5
LONG = 10.0  # seconds of work from which a forecast is given
SHOTS = 12  # that are named at most
MEASURED = 8  # frames after which the forecast is made


@dataclass(frozen=True)
class RunOptions:
    """The options that every command takes whose result is a run: the fields are called as the options are."""

    out: Path | None
    start: str | None
    end: str | None
    force: bool
    json: bool
    quiet: bool
    cuts: str


_OPTIONS: dict[str, Any] = {
    "out": Out,
    "start": Start,
    "end": End,
    "force": Force,
    "json": Json,
    "quiet": Quiet,
    "cuts": Cuts,
}


def takes_run_options(command: Callable[..., None]) -> Callable[..., None]:
    """Return a command whose parameter `run` is filled from the options that all runs share."""
    return filled(command, "run", _OPTIONS, _read_options)


def _read_options(given: dict[str, Any]) -> RunOptions:
    return RunOptions(
        out=given["out"],
        start=given["start"],
        end=given["end"],
        force=bool(given["force"]),
        json=bool(given["json"]),
        quiet=bool(given["quiet"]),
        cuts=given["cuts"] or "auto",
    )


def as_request(video: str, run: RunOptions, settings: SettingLayers, stop: Callable[[], int | None]) -> Request:
    """Return what a command is asked for."""
    return request_of(
        video, run.out, start=run.start, end=run.end, force=run.force, settings=settings, stop=stop, cuts=run.cuts
    )


def execute(
    open_run: Callable[[Request], Run | FinishedRun],
    video: str,
    *,
    run: RunOptions,
    settings: SettingLayers,
    fail_under: float | None = None,
    remark: Callable[[Run | FinishedRun], str | None] | None = None,
) -> None:
    """Do a run, show it, and exit with 4 or 5 where that is due.

    Args:
        open_run: opens it, given what is asked for; a signal ends the process while it does.
        video: the video.
        run: the options that all runs share.
        settings: those of the engine.
        fail_under: exit with 5 when an object's mean confidence is lower.
        remark: returns a last line of talk.
    """
    stop = StopRequest()
    work = open_run(as_request(video, run, settings, stop))
    with closing(work), stop:
        _do(work, as_json=run.json, quiet=run.quiet)
    if remark is not None and (line := remark(work)):
        console.say(line, quiet=run.quiet)
    _end(work, as_json=run.json, quiet=run.quiet, fail_under=fail_under)


def _do(run: Run | FinishedRun, *, as_json: bool, quiet: bool) -> None:
    for note in run.notes:
        console.say(note, quiet=quiet)
    if as_json:
        _show_lines(run)
    if run.finished:
        console.say(f"{run.folder.out}: finished before, nothing to do", quiet=quiet)
        return
    from propagate.formats.results import record

    if run.done:
        console.say(f"continues after {run.done} of {run.total} frames", quiet=quiet)
    if run.steps:
        _prepare(run, quiet=quiet)
    with closing(iter(run)) as steps:  # closed here, so that the state is saved whatever happens while showing
        told = _forecast(run, steps, total=run.total - run.done, free=_free, quiet=quiet)
        shown = console.progress(told, done=run.done, total=run.total, what="frames", quiet=quiet, free=_free)
        for prediction in shown:
            if as_json:
                console.show_json({"type": "frame", **record(prediction)})
    _say_cuts(run, quiet=quiet)


def _say_cuts(run: Run | FinishedRun, *, quiet: bool) -> None:
    """Say where new shots begin, and which are labelled from others only."""
    if not run.cuts:
        return
    console.say(f"new shots begin with frame {', '.join(map(str, run.cuts[:SHOTS]))}", quiet=quiet)
    bare = [index for index in run.cuts if index in run.bare_shots]
    if bare:
        listed = ", ".join(map(str, bare[:SHOTS]))
        what = "have no label of their own: what is there comes from other shots, and has the flag 'cut'"
        console.say(f"shots that begin with frame {listed} {what}", quiet=quiet)


def _free(prediction: Prediction) -> bool:
    """Return whether a frame cost nothing: one before the first label, or one that could not be decoded."""
    return prediction.source in ("none", "undecodable")


def _show_lines(run: Run | FinishedRun) -> None:
    """Print the lines of frames that an earlier run has done."""
    for line in run.lines():
        console.show_json({"type": "frame", **line})


def _prepare(run: Run | FinishedRun, *, quiet: bool) -> None:
    """Compute what must be known before the first frame is written."""
    console.say(f"{run.steps} frames are computed first: what is given later speaks for them, too", quiet=quiet)
    with closing(run.prepare()) as steps:
        told = _forecast(run, steps, total=run.steps, free=lambda _: False, quiet=quiet)
        for _ in console.progress(told, done=0, total=run.steps, what="frames ahead", quiet=quiet):
            pass


def _forecast(
    run: Run | FinishedRun, steps: Iterable[T], *, total: int, free: Callable[[T], bool], quiet: bool
) -> Iterator[T]:
    """Yield steps of a run; after the first few that cost something, say what is to come, if that is long.

    Args:
        run: that is done.
        steps: of it.
        total: how many they are.
        free: whether a step cost nothing.
        quiet: say nothing.
    """
    begin, number, held = time.monotonic(), 0, _held(run)
    for count, step in enumerate(steps, start=1):
        yield step
        number += not free(step)
        if number == 2:
            begin = time.monotonic()  # the first frames hold the start-up
        if number == MEASURED and not free(step):
            left = (total - count) * (time.monotonic() - begin) / (MEASURED - 2)
            if left > LONG:
                console.say(_forecast_line(run, left, disk=(_held(run) - held) / count * total), quiet=quiet)


def _held(run: Run | FinishedRun) -> int:
    """Return how many bytes the run's files take."""
    return _bytes(run.folder.out) + _bytes(run.folder.state)


def _forecast_line(run: Run | FinishedRun, left: float, *, disk: float) -> str:
    parts = [f"{run.total} frames", f"about {console.seconds(left)} left", *_memory()]
    return ", ".join([*parts, f"about {max(disk / 1e6, 0.1):.1f} MB on disk"])


def _memory() -> list[str]:
    """Return how much memory the process has taken; nothing on a system that does not say (Windows)."""
    try:
        import resource
    except ImportError:
        return []
    import sys

    unit = 1 if sys.platform == "darwin" else 1024
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    return [f"{memory / 1e9:.1f} GB of memory so far"]


def _bytes(place: Path) -> int:
    """Return how many bytes lie in a file or folder, whose files are written and renamed meanwhile."""
    if not place.is_dir():
        return _size(place)
    return sum(_size(Path(folder, name)) for folder, _, names in os.walk(place) for name in names)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:  # renamed since it was listed
        return 0


def _end(run: Run | FinishedRun, *, as_json: bool, quiet: bool, fail_under: float | None) -> None:
    """Print the result, say what was lost, and exit with the code that is due."""
    confidence = mean_confidence(entry.line for entry in run.folder.manifest.frames())
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
        console.show(str(run.folder.out))
    if code:
        raise typer.Exit(code)


def _lost(run: Run | FinishedRun) -> str:
    lost, parts = run.lost, []
    if lost.missing:
        repeat = "repeats" if len(lost.missing) == 1 else "repeat"
        parts.append(f"{console.frames(lost.missing)} could not be decoded and {repeat} the frame before")
    if lost.patched:
        it = "it" if len(lost.patched) == 1 else "them"
        named = console.frames(lost.patched)
        parts.append(f"{named} and what builds on {it} are damaged, shown as far as they decode")
    return "; ".join([*parts, *filter(None, [lost.ends_early])])


def _summary(run: Run | FinishedRun, confidence: dict[str, float], code: int) -> dict[str, Any]:
    return {
        "type": "summary",
        "out": str(run.folder.out),
        "frames": run.total,
        "missing": list(run.lost.missing),
        "patched": list(run.lost.patched),
        "confidence": confidence,
        "exit": code,
    }


def mean_confidence(lines: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """Return the mean confidence of each object over the frames on which it was propagated.

    Args:
        lines: of results.jsonl.
    """
    sums: dict[str, list[float]] = {}
    for line in lines:
        if line["source"] == "propagated":
            for thing in line["objects"]:
                if "absent" in thing["flags"]:  # a person said so
                    continue
                sums.setdefault(str(thing["id"]), []).append(thing["confidence"])
    return {name: round(sum(values) / len(values), 4) for name, values in sums.items()}
