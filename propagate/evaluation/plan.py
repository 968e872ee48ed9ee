"""What is to be scored and where: every method of a request in every setting, each in a folder of its own.

What `--method` names is a baseline, or an encoder with its weights and settings. One function parses it.
"""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal, get_args, get_type_hints

import yaml

import propagate
from propagate.baselines import PROPAGATORS
from propagate.config import read_settings
from propagate.device import use_threads
from propagate.encoders import ENCODERS
from propagate.errors import ConfigError
from propagate.evaluation import BENCHMARKS
from propagate.evaluation.protocol import Benchmark, BenchmarkSequence, Tracker
from propagate.runs.settings import LoadedModel, SettingLayers, load_model

MACHINE = ("device", "threads", "checkpoint")  # settings that make no other run of it

PRESETS = ("paper", "tool")
BASELINE_FORMS: Mapping[str, Mapping[str, Mapping[str, Any]]] = {  # baseline -> what may follow its "@" -> options
    "flow": {"tvl1": {"estimator": "tvl1"}, "raft": {"estimator": "raft"}},
    "flow-first": {"tvl1": {"estimator": "tvl1"}, "raft": {"estimator": "raft"}},
    "siftflow": {"first": {"first": True}},
}
THRESHOLDS = (0.1, 0.3, 0.5, 0.7, 0.9)  # Vondrick 4.1: "several thresholds, and use the one that performs the best"


@dataclass(frozen=True)
class Method:
    """One tracker to be scored.

    Attributes:
        name: as it was given: "flow", "resnet18:random", "corrflow@paper".
        kind: a baseline of `PROPAGATORS`, or an encoder of `ENCODERS` under the engine.
        base: the entry's name.
        weights: as `load_encoder` takes them.
        preset: "paper", "tool" or None; of a baseline, its form.
        options: the baseline's own options, or settings of the engine that stand above all others (a sweep's).
        detail: what sets it apart from the method as given, in words: "radius=4".
    """

    name: str
    kind: Literal["baseline", "encoder"]
    base: str
    weights: str | None = None
    preset: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    detail: str = ""

    @property
    def folder(self) -> str:
        """The name of the folder that holds its scores and results."""
        text = ",".join(filter(None, (self.name, self.detail)))
        return re.sub(r"[^A-Za-z0-9._,=@+-]+", "-", text).strip(".-")

    def varied(self, options: Mapping[str, Any], *, detail: str) -> Method:
        """Return the method with other options."""
        return replace(self, options={**self.options, **options}, detail=detail)


def parse_method(text: str) -> Method:
    """Return the method that a word names: identity, flow, flow-first, siftflow, or ENCODER[:WEIGHTS][@PRESET].

    A baseline may name its form after an @: flow@raft, siftflow@first.

    Raises:
        ConfigError: no such baseline, encoder, form or preset.
    """
    head, at, tail = text.rpartition("@")
    base, _, weights = (head if at else text).partition(":")
    if base in PROPAGATORS:
        forms = BASELINE_FORMS.get(base, {})
        if weights:
            raise ConfigError(f"method {text!r}: {base} has no weights")
        if at and tail not in forms:
            raise ConfigError(f"method {text!r}: {base} has no form {tail!r}", hint=_one_of(forms))
        return Method(text, "baseline", base, preset=tail if at else None, options=dict(forms[tail]) if at else {})
    if at and tail not in PRESETS:
        if "/" not in tail and "." not in tail:
            raise ConfigError(f"method {text!r}: no preset is called {tail!r}", hint=_one_of(PRESETS))
        (base, _, weights), at = text.partition(":"), ""  # the @ belongs to a file's name
    if base not in ENCODERS:
        known = [*PROPAGATORS, *ENCODERS]
        raise ConfigError(f"no method is called {base!r}", hint=f"one of {', '.join(known)}")
    return Method(text, "encoder", base, weights=weights or None, preset=tail if at else None)


def variants(method: Method, *, labels: str) -> list[Method]:
    """Return what is run for a method: flow of masks once a threshold, the best of which counts (Vondrick 4.1)."""
    if method.base not in BASELINE_FORMS or labels != "masks":
        return [method]
    return [method.varied({"threshold": value}, detail=f"threshold={value}") for value in THRESHOLDS]


def _one_of(names: Sequence[str] | Mapping[str, object]) -> str:
    return f"one of {', '.join(names)}" if names else "it has none"


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
        """Return the settings and the encoder, which a process loads once however many sequences it tracks.

        `rawcolor` looks at the pattern of luma when colours are propagated.

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
        settings: what its numbers depend on, plain data: as `TrackerMaker.record` returns it.
    """

    name: str
    group: str
    detail: str
    results: Path
    scores: Path
    maker: TrackerMaker | None
    swept: tuple[str, str] | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def state(self) -> Path:
        """Where a sequence's results lie while it is being tracked."""
        return self.scores.parent / ".state"

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
    chosen = variants(method, labels=request.benchmark.labels)
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


def with_settings(request: EvaluationRequest, runs: Sequence[MethodRun]) -> list[MethodRun]:
    """Return the runs with what their numbers depend on; nothing is written, so that what cannot be is refused in time.

    Raises:
        ConfigError: a setting that cannot be.
        WeightsError: weights that are missing or of another encoder.
        DeviceError: the device is missing.
    """
    labels = request.benchmark.labels
    return [replace(run, settings=run.maker.record(labels)) if run.maker else run for run in runs]


def request_record(request: EvaluationRequest) -> dict[str, Any]:
    """Return what OUT/run.yaml holds: with `--config OUT/run.yaml` alone the same is asked again."""
    sweeps = [f"{name}={','.join(word for word, _ in values)}" for name, values in request.sweeps]
    benchmark = request.benchmark
    options = {one.name: getattr(benchmark, one.name) for one in fields(benchmark) if one.name != "root"}  # type: ignore[arg-type]
    inputs = {
        "root": str(benchmark.root.resolve()),
        "options": {name: _plain(value) for name, value in options.items()},
        "methods": list(request.methods),
        "results": [str(folder.resolve()) for folder in request.results],
        "sweeps": sweeps,
        "limit": request.limit,
        "preset": request.layers.preset,
        "quality": request.layers.quality,
    }
    head = {"command": f"evaluate {benchmark.name}", "version": propagate.__version__}
    return {**head, "inputs": inputs, "settings": {**request.layers.file, **request.layers.flags}}


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value.resolve())
    return list(value) if isinstance(value, tuple) else value


def read_inputs(path: Path, kind: str) -> dict[str, Any]:
    """Return what the run.yaml of an evaluation says was asked; nothing of a file of settings alone.

    Raises:
        ConfigError: the file cannot be read, or does not hold what an evaluation writes.
    """
    read_settings(path)  # refuses what is too large or too deep
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    if not isinstance(content, dict) or content.get("command") != f"evaluate {kind}" or "inputs" not in content:
        return {}  # settings alone, or another command's run.yaml: its settings are taken, its inputs are not
    inputs = content["inputs"]
    lists = [inputs.get(name, []) for name in ("methods", "results", "sweeps")] if isinstance(inputs, dict) else [None]
    if not all(isinstance(one, list) and all(isinstance(word, str) for word in one) for one in lists):
        raise ConfigError(f"{path}: its inputs are not those that an evaluation writes")
    return dict(inputs)


def build_benchmark(kind: str, root: Path, options: Mapping[str, Any]) -> Benchmark:
    """Return a benchmark with its options, which may be plain data of a run.yaml.

    Raises:
        ConfigError: it has no such option, or not of such a value.
    """
    made: type[Any] = BENCHMARKS[kind]
    hints = get_type_hints(made)
    known = {one.name for one in fields(made)} - {"root"}
    unknown = next((name for name in options if name not in known), None)
    if unknown is not None:
        raise ConfigError(f"{kind} has no option {unknown!r}", hint=f"it has {', '.join(sorted(known))}")
    read = {name: _typed(value, hints[name]) for name, value in options.items()}
    try:
        benchmark: Benchmark = made(root, **read)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{kind}: {error}") from error
    return benchmark


def _typed(value: Any, hint: Any) -> Any:
    """Return plain data as the type of a field: a path of text, a tuple of a list."""
    if isinstance(value, str) and (hint is Path or Path in get_args(hint)):
        return Path(value)
    return tuple(value) if isinstance(value, list) else value
