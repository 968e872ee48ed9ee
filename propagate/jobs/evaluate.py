"""The job of `propagate evaluate`: methods over a benchmark's sequences, resumed by sequence, in several processes."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path

from propagate.errors import ConfigError
from propagate.evaluation.protocol import Benchmark, Case, Scores
from propagate.formats.atomic import write_text
from propagate.jobs.entries import Entry, EvaluationRequest, claim, plan
from propagate.jobs.memory import peak_memory
from propagate.jobs.place import unwritable


@dataclass(frozen=True)
class Done:
    """One sequence that is scored: by which entry, what it got, whether an earlier run had done it."""

    entry: Entry
    case: Case
    scores: Scores
    kept: bool


@dataclass(frozen=True)
class Task:
    """One sequence to be tracked and scored; plain data, so that a worker process can be given it."""

    benchmark: Benchmark
    entry: Entry
    case: Case

    def run(self) -> Scores:
        """Track the sequence, unless another tool did, and return its scores."""
        if self.entry.maker is None:
            return self.benchmark.score(self.case, self.entry.results)
        return self.benchmark.evaluate(self.case, self.entry.maker, self.entry.results)

    def keep(self, scores: Scores) -> None:
        """Write the scores, whole or not at all; those of another tool's results are quickly made again."""
        if self.entry.maker is None:
            return
        path = self.entry.file(self.case)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise unwritable(path, error) from error
        write_text(path, json.dumps(scores.to_json(), allow_nan=False))


class Evaluation:
    """An evaluation being done; iterate to do it. Made by `open_evaluation`."""

    def __init__(self, request: EvaluationRequest, entries: Sequence[Entry], cases: Sequence[Case]) -> None:
        self.request, self.entries, self.cases = request, tuple(entries), tuple(cases)
        self._found: dict[Path, dict[str, Scores]] = {entry.scores: {} for entry in entries}

    @property
    def total(self) -> int:
        """How many sequences are scored in all, one for every entry."""
        return len(self.entries) * len(self.cases)

    def __iter__(self) -> Iterator[Done]:
        """Yield each sequence once it is scored and its scores are on disk.

        Raises:
            InputError: truth or results cannot be used.
            WeightsError: weights that are missing.
            OutputError: scores cannot be written.
        """
        waiting: list[Task] = []
        for entry in self.entries:
            for case in self.cases:
                kept = _read(entry.file(case)) if entry.maker is not None else None
                if kept is None:
                    waiting.append(Task(self.request.benchmark, entry, case))
                else:
                    yield self._done(Done(entry, case, kept, kept=True))
        alone = bool(self.request.sweeps)  # a process each, so that peak memory is each one's own
        for task, scores in (
            _in_processes(waiting, self.request.jobs, alone=alone)
            if (alone or self.request.jobs > 1)
            else _here(waiting)
        ):
            yield self._done(Done(task.entry, task.case, scores, kept=False))

    def found(self, entry: Entry) -> dict[str, Scores]:
        """Return what an entry got, by sequence, in the order of the sequences."""
        got = self._found[entry.scores]
        return {case.name: got[case.name] for case in self.cases if case.name in got}

    def _done(self, done: Done) -> Done:
        self._found[done.entry.scores][done.case.name] = done.scores
        return done


def open_evaluation(request: EvaluationRequest) -> Evaluation:
    """Return the evaluation; everything that can be refused before tracking is.

    Raises:
        InputError: the benchmark's folder is not in its layout.
        ConfigError: a method or setting that cannot be, or nothing to do.
        ConflictError: another run's scores are in the place of an entry.
        OutputError: the folder cannot be written.
    """
    cases = list(request.benchmark.cases())[: request.limit]
    if not cases:
        raise ConfigError("no sequence to score", hint="look at --list, --sequences and --limit")
    entries = plan(request)
    for entry in entries:
        if entry.maker is not None:
            claim(request, entry, entry.maker)
    return Evaluation(request, entries, cases)


def _read(path: Path) -> Scores | None:
    """Return the scores that an earlier run left; None when there are none, or they are damaged."""
    try:
        return Scores.from_json(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _here(tasks: Sequence[Task]) -> Iterator[tuple[Task, Scores]]:
    for task in tasks:
        scores = task.run()
        task.keep(scores)
        yield task, scores


def _in_processes(tasks: Sequence[Task], jobs: int, *, alone: bool) -> Iterator[tuple[Task, Scores]]:
    """Yield tasks as they are done in `jobs` processes; the first error ends all."""
    pool = ProcessPoolExecutor(
        jobs, mp_context=get_context("spawn"), initializer=_ignore_interrupt, max_tasks_per_child=1 if alone else None
    )
    with pool:
        futures: dict[Future[Scores], Task] = {pool.submit(_work, task): task for task in tasks}
        try:
            for future in as_completed(futures):
                yield futures[future], future.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _ignore_interrupt() -> None:
    """Leave Ctrl-C to the parent: what is being done is finished and kept, the rest is not begun."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _work(task: Task) -> Scores:
    """Do a task in a process of its own; its peak memory is told too."""
    scores = replace(task.run(), memory=float(peak_memory()))
    task.keep(scores)
    return scores
