"""Methods over a benchmark's sequences, resumed by sequence, in several processes."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from multiprocessing import active_children, get_context
from pathlib import Path
from typing import IO

from propagate.errors import ConfigError
from propagate.evaluation.plan import EvaluationRequest, MethodRun, claim, claim_folder, evaluation_plan, records
from propagate.evaluation.protocol import Benchmark, BenchmarkSequence, Scores
from propagate.formats.atomic import write_text
from propagate.runs.folder import unwritable
from propagate.runs.legacy import identify_files, identify_video, lock


def peak_memory() -> int:
    """Return the peak resident memory of this process in bytes, without what its parent had before it began."""
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
        return int(next(line for line in status.splitlines() if line.startswith("VmHWM:")).split()[1]) * 1024
    except (OSError, StopIteration):  # not Linux
        import resource

        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


@dataclass(frozen=True)
class Done:
    """One sequence that is scored: by which method, what it got, whether an earlier run had done it."""

    method_run: MethodRun
    sequence: BenchmarkSequence
    scores: Scores
    kept: bool


@dataclass(frozen=True)
class Task:
    """One sequence to be tracked and scored; plain data, so that a worker process can be given it."""

    benchmark: Benchmark
    method_run: MethodRun
    sequence: BenchmarkSequence

    def do(self) -> Scores:
        """Track the sequence, unless another tool did, and return its scores."""
        if self.method_run.maker is None:
            return self.benchmark.score(self.sequence, self.method_run.results)
        return self.benchmark.evaluate(self.sequence, self.method_run.maker, self.method_run.results)

    def kept(self) -> Scores | None:
        """Return the scores that an earlier run left of the same truth and pictures; None without, or damaged."""
        if self.method_run.maker is None:
            return None
        try:
            content = json.loads(self.method_run.file(self.sequence).read_text(encoding="utf-8"))
            return Scores.from_json(content) if content["inputs"] == self.digest() else None
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None

    def digest(self) -> str:
        """Return what tells the sequence's pictures, truth and scoring from others.

        Raises:
            InputError: a file cannot be read.
        """
        truth, options = self.benchmark.inputs(self.sequence)
        video = identify_video(Path(self.sequence.video), name=self.sequence.name)
        about = {"video": video, "truth": identify_files(truth), "options": dict(options)}
        return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()

    def keep(self, scores: Scores) -> None:
        """Write the scores, whole or not at all; those of another tool's results are quickly made again."""
        if self.method_run.maker is None:
            return
        path = self.method_run.file(self.sequence)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise unwritable(path, error) from error
        write_text(path, json.dumps({"inputs": self.digest(), **scores.to_json()}, allow_nan=False))


class Evaluation:
    """An evaluation being done; iterate to do it. Made by `open_evaluation`."""

    def __init__(
        self,
        request: EvaluationRequest,
        runs: Sequence[MethodRun],
        sequences: Sequence[BenchmarkSequence],
        *,
        held: IO[bytes],
    ) -> None:
        self.request, self.method_runs, self.sequences = request, tuple(runs), tuple(sequences)
        self._held = held
        self._found: dict[Path, dict[str, Scores]] = {run.scores: {} for run in runs}

    @property
    def total(self) -> int:
        """How many sequences are scored in all, one for every method and setting."""
        return len(self.method_runs) * len(self.sequences)

    def __iter__(self) -> Iterator[Done]:
        """Yield each sequence once it is scored and its scores are on disk.

        Raises:
            InputError: truth or results cannot be used.
            WeightsError: weights that are missing.
            OutputError: scores cannot be written.
        """
        waiting: list[Task] = []
        for run in self.method_runs:
            for sequence in self.sequences:
                task = Task(self.request.benchmark, run, sequence)
                if (kept := task.kept()) is None:
                    waiting.append(task)
                else:
                    yield self._done(Done(run, sequence, kept, kept=True))
        alone = bool(self.request.sweeps)  # a process each, so that peak memory is each one's own
        apart = alone or self.request.jobs > 1
        for task, scores in _in_processes(waiting, self.request.jobs, alone=alone) if apart else _here(waiting):
            yield self._done(Done(task.method_run, task.sequence, scores, kept=False))

    def close(self) -> None:
        """Let other runs into the folder."""
        self._held.close()

    def found(self, run: MethodRun) -> dict[str, Scores]:
        """Return what a run got, by sequence, in the order of the sequences."""
        got = self._found[run.scores]
        return {sequence.name: got[sequence.name] for sequence in self.sequences if sequence.name in got}

    def _done(self, done: Done) -> Done:
        self._found[done.method_run.scores][done.sequence.name] = done.scores
        return done


def open_evaluation(request: EvaluationRequest) -> Evaluation:
    """Return the evaluation; everything that can be refused before tracking is.

    Raises:
        InputError: the benchmark's folder is not in its layout.
        ConfigError: a method or setting that cannot be, or nothing to do.
        ConflictError: another run's scores are in the place of a run.
        OutputError: the folder cannot be written.
    """
    sequences = list(request.benchmark.list_sequences())[: request.limit]
    if not sequences:
        raise ConfigError("no sequence to score", hint="look at --list, --sequences and --limit")
    runs = evaluation_plan(request)
    known = records(request, runs)
    claim_folder(request)
    held = lock(request.out)
    try:
        for run, record in zip(runs, known, strict=True):
            if run.maker is not None:
                claim(request, run, record)
    except BaseException:
        held.close()
        raise
    return Evaluation(request, runs, sequences, held=held)


def _here(tasks: Sequence[Task]) -> Iterator[tuple[Task, Scores]]:
    for task in tasks:
        scores = task.do()
        task.keep(scores)
        yield task, scores


def _in_processes(tasks: Sequence[Task], jobs: int, *, alone: bool) -> Iterator[tuple[Task, Scores]]:
    """Yield tasks as they are done in `jobs` processes; the first error ends all."""
    pool = ProcessPoolExecutor(
        jobs,
        mp_context=get_context("spawn"),
        initializer=_follow_parent,
        initargs=(os.getpid(),),
        max_tasks_per_child=1 if alone else None,
    )
    with pool:
        futures: dict[Future[Scores], Task] = {pool.submit(_work, task, alone): task for task in tasks}
        try:
            for future in as_completed(futures):
                yield futures[future], future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for child in active_children():  # what they are at is not half written: scores are whole or absent
                child.terminate()
            raise


def _follow_parent(parent: int) -> None:
    """Leave Ctrl-C to the parent, and end when it is gone, however it ended."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _work(task: Task, alone: bool) -> Scores:
    """Do a task in another process; alone in it, its peak memory is its own and is told too."""
    scores = task.do()
    if alone:
        scores = replace(scores, memory=float(peak_memory()))
    task.keep(scores)
    return scores
