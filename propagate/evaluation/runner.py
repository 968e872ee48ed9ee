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

import propagate
from propagate.errors import ConfigError, ConflictError
from propagate.evaluation.folder import (
    RECORD,
    EvaluationFolder,
    check_same,
    clear_scratch,
    file_digest,
    forget,
    identify_sequence,
    move_results,
    read_record,
    read_sealed,
    sealed,
    write_record,
)
from propagate.evaluation.plan import EvaluationRequest, MethodRun, evaluation_plan, request_record, with_settings
from propagate.evaluation.protocol import Benchmark, BenchmarkSequence, Scores
from propagate.formats.atomic import make_folder, write_text
from propagate.runs.folder import RunFolder
from propagate.runs.record import Record


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
    """One sequence that is scored.

    Attributes:
        method_run: by which method and settings.
        sequence: which.
        scores: what it got.
        kept: whether an earlier run had done it.
        notes: what to say of its files.
    """

    method_run: MethodRun
    sequence: BenchmarkSequence
    scores: Scores
    kept: bool
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Task:
    """One sequence to be tracked and scored; plain data, so that a worker process can be given it."""

    benchmark: Benchmark
    method_run: MethodRun
    sequence: BenchmarkSequence

    def do(self, *, alone: bool = False) -> Done:
        """Track the sequence, unless another tool did, and score it; results and scores are then on disk.

        Args:
            alone: no other task is done in this process, so its peak memory is the task's own and is told too.

        Raises:
            InputError: truth or results cannot be used.
            OutputError: a file cannot be written.
        """
        run = self.method_run
        if run.maker is None:  # quickly done again: nothing is kept
            return self._done(self.benchmark.score(self.sequence, run.results), kept=False)
        made = run.state / hashlib.sha256(self.sequence.name.encode()).hexdigest()[:16]
        clear_scratch(made)  # what a run that was killed left
        scores = self.benchmark.evaluate(self.sequence, run.maker, made)
        if alone:
            scores = replace(scores, memory=float(peak_memory()))
        known = (read_sealed(run.file(self.sequence)) or {}).get("files", {})
        files, notes = move_results(made, run.results, known=known)
        path = run.file(self.sequence)
        make_folder(path.parent)
        write_text(path, sealed({"inputs": self.digest(), "files": files, **scores.to_json()}))
        return self._done(scores, kept=False, notes=notes)

    def kept(self) -> Done | None:
        """Return what an earlier run left of the same truth and pictures.

        None where there is nothing, the scores were cut or edited, or a result is missing. A result that was edited is
        the user's: it is left, and said.
        """
        content = None if self.method_run.maker is None else read_sealed(self.method_run.file(self.sequence))
        if content is None or content.get("inputs") != self.digest():
            return None
        notes = []
        for name, digest in dict(content.get("files") or {}).items():
            path = self.method_run.results / name
            found = file_digest(path)
            if found is None:
                return None
            if found != digest:
                notes.append(f"{path} was changed since it was scored: it is left as it is, and not scored again")
        try:
            return self._done(Scores.from_json(content), kept=True, notes=tuple(notes))
        except (ValueError, KeyError, TypeError, AttributeError):
            return None

    def digest(self) -> str:
        """Return what tells the sequence's pictures, truth and scoring from others.

        Raises:
            InputError: a file cannot be read.
        """
        truth, options = self.benchmark.inputs(self.sequence)
        about = {
            **identify_sequence(self.sequence.name, Path(self.sequence.video), truth),
            "options": dict(options),
        }
        return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()

    def _done(self, scores: Scores, *, kept: bool, notes: tuple[str, ...] = ()) -> Done:
        return Done(self.method_run, self.sequence, scores, kept, notes)


class Evaluation:
    """An evaluation being done; iterate to do it. Made by `open_evaluation`."""

    def __init__(
        self,
        request: EvaluationRequest,
        runs: Sequence[MethodRun],
        sequences: Sequence[BenchmarkSequence],
        *,
        folder: EvaluationFolder,
        held: RunFolder,
    ) -> None:
        self.request, self.method_runs, self.sequences = request, tuple(runs), tuple(sequences)
        self.folder = folder
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
                    yield self._done(kept)
        alone = bool(self.request.sweeps)  # a process each, so that peak memory is each one's own
        apart = alone or self.request.jobs > 1
        for done in (
            _in_processes(waiting, self.request.jobs, alone=alone) if apart else (task.do() for task in waiting)
        ):
            yield self._done(done)

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
    runs = with_settings(request, evaluation_plan(request))
    _refuse_own_results(request)
    folder = EvaluationFolder(request.out, request_record(request), force=request.force)
    held = RunFolder.folder(request.out)
    held.claim()
    try:
        records = [_method_record(request, run) for run in runs]
        for run, record in zip(runs, records, strict=True):
            _check_method(run, record, force=request.force)
        folder.begin()
        if request.force:
            folder.forget_flows()
        for run, record in zip(runs, records, strict=True):
            _begin_method(run, record, force=request.force)
    except BaseException:
        held.close()
        raise
    return Evaluation(request, runs, sequences, folder=folder, held=held)


def _refuse_own_results(request: EvaluationRequest) -> None:
    out = request.out.resolve()
    for folder in request.results:
        if out == folder.resolve() or folder.resolve() in out.parents:
            raise ConflictError(f"{request.out}: lies in the results that are to be scored", hint="give another -o")


def _method_record(request: EvaluationRequest, run: MethodRun) -> Record:
    head = {"command": f"evaluate {request.benchmark.name}", "version": propagate.__version__}
    return {**head, "fingerprint": dict(run.settings)}


def _check_method(run: MethodRun, record: Record, *, force: bool) -> None:
    """Make sure that the scores in a run's place are of the same method and settings, or none."""
    if run.maker is None:
        return
    path = run.scores.parent / RECORD
    there = read_record(path)
    check_same(path, there, record, force=force)
    if there is None and run.scores.is_dir() and any(run.scores.iterdir()) and not force:
        hint = "give another -o, or --force to do it again"
        raise ConflictError(f"{path.parent}: holds scores without a record of their settings", hint=hint)


def _begin_method(run: MethodRun, record: Record, *, force: bool) -> None:
    """Write what a method's numbers depend on, after what is to be done again is removed."""
    if run.maker is None:
        return
    if force:
        forget(run.scores, run.results)
    write_record(run.scores.parent / RECORD, record)
    for folder in (run.scores, run.results):
        make_folder(folder)


def _in_processes(tasks: Sequence[Task], jobs: int, *, alone: bool) -> Iterator[Done]:
    """Yield tasks as they are done in `jobs` processes; the first error ends all."""
    pool = ProcessPoolExecutor(
        jobs,
        mp_context=get_context("spawn"),
        initializer=_follow_parent,
        initargs=(os.getpid(),),
        max_tasks_per_child=1 if alone else None,
    )
    with pool:
        futures: list[Future[Done]] = [pool.submit(_work, task, alone) for task in tasks]
        try:
            for future in as_completed(futures):
                yield future.result()
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


def _work(task: Task, alone: bool) -> Done:
    """Do a task in another process."""
    return task.do(alone=alone)
