"""What is to be scored and where: every method of a request in every setting, each in a folder of its own."""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

import propagate
from propagate.baselines import PROPAGATORS
from propagate.device import use_threads
from propagate.errors import ConfigError, ConflictError
from propagate.evaluation.methods import Method, parse_method, variants
from propagate.evaluation.protocol import Benchmark, BenchmarkSequence, Tracker
from propagate.formats.atomic import write_text
from propagate.runs.folder import unwritable
from propagate.runs.legacy import is_same_run, remove
from propagate.runs.settings import LoadedModel, SettingLayers, load_model

MACHINE = ("device", "threads", "checkpoint")  # settings that make no other run of it


@dataclass(frozen=True)
class TrackerMaker:
    """Makes the tracker of one method for any label type; plain data, so that a worker process can be given it.

    Attributes:
        method: what is run.
        layers: what was said of the settings; the preset is for encoders that name none themselves.
        cache: where flows are kept, for baselines.
    """

    method: Method
    layers: SettingLayers = field(default_factory=SettingLayers)
    cache: Path | None = None

    def __call__(self, labels: str) -> Tracker:
        """Return what carries labels of a type, an entry of LABEL_TYPES.

        Raises:
            ConfigError: a setting that cannot be.
            WeightsError: weights that are missing or of another encoder.
            DeviceError: the device is missing.
        """
        if self.method.kind == "baseline":
            threads = self.layers.flags.get("threads")
            use_threads(threads if isinstance(threads, int) else None)
            options = dict(self.method.options)
            if self.method.base != "identity":
                options["cache"] = self.cache
            tracker: Tracker = functools.partial(PROPAGATORS[self.method.base], **options)
            return tracker
        from propagate.engine.pipeline import run

        settled = self.settled(labels)
        return functools.partial(run, encoder=settled.encoder, config=settled.config)

    def settled(self, labels: str) -> LoadedModel:
        """Return the settings and the loaded encoder; `rawcolor` looks at the pattern of luma when colours are carried.

        Raises:
            ConfigError: as `__call__`.
            WeightsError: as `__call__`.
            DeviceError: as `__call__`.
        """
        own = {"encoder": self.method.base, "weights": self.method.weights, **self.method.options}
        layers = replace(self.layers.with_flags(own), preset=self.method.preset or self.layers.preset)
        return load_model(layers, luma=labels == "colors")

    def record(self, labels: str) -> dict[str, Any]:
        """Return what the method's numbers depend on, as plain data: all settings, and the digest of the weights.

        Raises:
            ConfigError: as `__call__`.
            WeightsError: as `__call__`.
            DeviceError: as `__call__`.
        """
        if self.method.kind == "baseline":
            if self.method.options.get("estimator") == "raft":
                from propagate.baselines.raft import load_raft

                load_raft()  # refused now where its weights are absent
            return {"method": self.method.name, "options": dict(self.method.options)}
        settled = self.settled(labels)
        settings = {name: value for name, value in asdict(settled.config).items() if name not in MACHINE}
        return {"method": self.method.name, "weights_sha256": settled.weights, "settings": settings}


Sweep = tuple[str, tuple[tuple[str, Any], ...]]  # a setting, and its values with the words they were given in


@dataclass(frozen=True)
class EvaluationRequest:
    """What is asked of an evaluation.

    Attributes:
        benchmark: the sequences, their truth and how they are scored.
        out: the folder of all scores, results and tables.
        methods: words as `parse_method` takes them.
        results: folders that another tool filled, scored beside the methods.
        sweeps: settings whose values are tried one at a time with every encoder.
        layers: what was said of the settings of every encoder; the preset is for those that name none.
        jobs: processes.
        limit: only so many sequences.
        force: do again what another run of ours did there.
    """

    benchmark: Benchmark
    out: Path
    methods: Sequence[str] = ()
    results: Sequence[Path] = ()
    sweeps: Sequence[Sweep] = ()
    layers: SettingLayers = field(default_factory=SettingLayers)
    jobs: int = 1
    limit: int | None = None
    force: bool = False


@dataclass(frozen=True)
class MethodRun:
    """One method, or one folder of another tool's results, in one setting.

    Attributes:
        name: as the tables call it.
        group: the method as it was asked for; of the runs of one flow only the best counts.
        detail: what sets the run apart from others of its group.
        results: where its results lie or will lie.
        scores: the folder of its scores.
        maker: makes its tracker; None when another tool tracked.
        swept: the setting and the word of its value.
    """

    name: str
    group: str
    detail: str
    results: Path
    scores: Path
    maker: TrackerMaker | None
    swept: tuple[str, str] | None = None

    def file(self, sequence: BenchmarkSequence) -> Path:
        """Return where the scores of a sequence are kept."""
        return self.scores / f"{sequence.name}.json"


def evaluation_plan(request: EvaluationRequest) -> list[MethodRun]:
    """Return the runs of a request, the results of other tools first: they are refused before anything is tracked.

    Raises:
        ConfigError: nothing to score, a method that cannot be, or one that is asked for twice.
    """
    if not request.methods and not request.results:
        raise ConfigError("nothing to score", hint="give --method NAME or --results DIR")
    for name in ("encoder", "weights"):
        if name in request.layers.flags:
            raise ConfigError(f"--{name} is named in the method", hint="--method ENCODER:WEIGHTS")
    runs = [_of_results(folder) for folder in request.results]
    for word in request.methods:
        runs += _of_method(request, parse_method(word))
    places = [run.scores for run in runs]
    twice = next((run.name for run in runs if places.count(run.scores) > 1), None)
    if twice is not None:
        raise ConfigError(f"{twice!r} is to be scored twice")
    return runs


def _of_results(folder: Path) -> MethodRun:
    if not folder.is_dir():
        raise ConfigError(f"--results {folder}: there is no such folder")
    name = f"results:{folder}"
    return MethodRun(name, name, "", folder, folder, None)


def _of_method(request: EvaluationRequest, method: Method) -> list[MethodRun]:
    labels = request.benchmark.name
    chosen = variants(method, labels="masks" if labels in ("davis", "vip") else labels)
    runs = [_method_run(request, one) for one in chosen]
    if method.kind == "baseline" or not request.sweeps:
        return runs
    return [_swept(request, method, name, word, value) for name, values in request.sweeps for word, value in values]


def _swept(request: EvaluationRequest, method: Method, setting: str, word: str, value: Any) -> MethodRun:
    """Return an encoder's run with one value of a setting: a method of its own in every table."""
    run = _method_run(request, method.varied({setting: value}, detail=f"{setting}={word}"))
    name = f"{method.name} {setting}={word}"
    return replace(run, name=name, group=name, detail="", swept=(setting, word))


def _method_run(request: EvaluationRequest, method: Method) -> MethodRun:
    place = request.out / method.folder
    maker = TrackerMaker(
        method,
        layers=_with_threads(request),
        cache=request.out / "cache",
    )
    return MethodRun(method.name, method.name, method.detail, place / "results", place / "scores", maker)


def _with_threads(request: EvaluationRequest) -> SettingLayers:
    """Return the settings; with several processes each gets its share of the threads, if nothing else is said."""
    if request.jobs == 1:
        return request.layers
    share = {"threads": max(1, (os.cpu_count() or 1) // request.jobs)}
    return replace(request.layers, flags={**share, **request.layers.flags})


def claim_folder(request: EvaluationRequest) -> None:
    """Make sure that the folder of all scores is ours or new.

    Raises:
        ConflictError: it holds other files or another benchmark's scores, or results that are to be scored.
        OutputError: it cannot be written.
    """
    out = request.out
    for folder in request.results:
        if out.resolve() == folder.resolve() or folder.resolve() in out.resolve().parents:
            raise ConflictError(f"{out}: lies in the results that are to be scored", hint="give another -o")
    record = {"command": f"evaluate {request.benchmark.name}", "version": propagate.__version__, "fingerprint": {}}
    there = is_same_run(out / "run.yaml", record, force=request.force)
    try:
        out.mkdir(parents=True, exist_ok=True)
        if there is None and any(out.iterdir()) and not request.force:
            raise ConflictError(f"{out}: holds other files", hint="give another -o, or --force to write beside them")
        if request.force:
            remove(out / "cache")  # so that the time of flows is measured again
    except OSError as error:
        raise unwritable(out, error) from error
    write_text(out / "run.yaml", yaml.safe_dump(record, sort_keys=False))


def records(request: EvaluationRequest, runs: Sequence[MethodRun]) -> list[dict[str, Any]]:
    """Return what each run's numbers depend on; nothing is written, so that what cannot be is refused in time.

    Raises:
        ConfigError: a setting that cannot be.
        WeightsError: weights that are missing or of another encoder.
        DeviceError: the device is missing.
    """
    kind = request.benchmark.name
    labels = "colors" if kind == "colors" else "masks"
    head = {"command": f"evaluate {kind}", "version": propagate.__version__}
    return [{**head, "fingerprint": run.maker.record(labels) if run.maker else {}} for run in runs]


def claim(request: EvaluationRequest, run: MethodRun, record: Mapping[str, Any]) -> None:
    """Make sure that the scores in a run's place are of the same method and settings, or none.

    Raises:
        ConflictError: they are of another run, or of an unknown one.
        OutputError: the place cannot be written.
    """
    path = run.scores.parent / "run.yaml"
    there = is_same_run(path, record, force=request.force)
    if there is None and run.scores.is_dir() and any(run.scores.iterdir()) and not request.force:
        hint = "give another -o, or --force to do it again"
        raise ConflictError(f"{path.parent}: holds scores without a record of their settings", hint=hint)
    if request.force:
        remove(run.scores)
        remove(run.results)
    try:
        run.scores.mkdir(parents=True, exist_ok=True)
        run.results.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(request.out, error) from error
    write_text(path, yaml.safe_dump(dict(record), sort_keys=False, allow_unicode=True))
