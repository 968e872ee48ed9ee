"""What is to be scored and where: every method of a request in every setting, each in a folder of its own."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

import propagate
from propagate.errors import ConfigError, ConflictError
from propagate.evaluation.methods import Method, parse_method, variants
from propagate.evaluation.protocol import Benchmark, Case
from propagate.formats.atomic import write_text
from propagate.jobs.fingerprint import differences
from propagate.jobs.place import remove, unwritable
from propagate.jobs.trackers import TrackerMaker

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
        flags: fields of `PropagateConfig` for every encoder.
        settings_file: a YAML file of settings.
        preset: for encoders that name none.
        jobs: processes.
        limit: only so many sequences.
        force: do again what another run of ours did there.
    """

    benchmark: Benchmark
    out: Path
    methods: Sequence[str] = ()
    results: Sequence[Path] = ()
    sweeps: Sequence[Sweep] = ()
    flags: Mapping[str, Any] = field(default_factory=dict)
    settings_file: Path | None = None
    preset: str | None = None
    jobs: int = 1
    limit: int | None = None
    force: bool = False


@dataclass(frozen=True)
class Entry:
    """One method, or one folder of another tool's results, in one setting.

    Attributes:
        name: as the tables call it.
        group: the method as it was asked for; of the entries of one flow only the best counts.
        detail: what sets the entry apart from others of its group.
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

    def file(self, case: Case) -> Path:
        """Return where the scores of a sequence are kept."""
        return self.scores / f"{case.name}.json"


def plan(request: EvaluationRequest) -> list[Entry]:
    """Return the entries of a request, the results of other tools first: they are refused before anything is tracked.

    Raises:
        ConfigError: nothing to score, a method that cannot be, or one that is asked for twice.
    """
    if not request.methods and not request.results:
        raise ConfigError("nothing to score", hint="give --method NAME or --results DIR")
    entries = [_of_results(folder) for folder in request.results]
    for word in request.methods:
        entries += _of_method(request, parse_method(word))
    places = [entry.scores for entry in entries]
    twice = next((entry.name for entry in entries if places.count(entry.scores) > 1), None)
    if twice is not None:
        raise ConfigError(f"{twice!r} is to be scored twice")
    return entries


def _of_results(folder: Path) -> Entry:
    if not folder.is_dir():
        raise ConfigError(f"--results {folder}: there is no such folder")
    return Entry(str(folder), str(folder), "", folder, folder, None)


def _of_method(request: EvaluationRequest, method: Method) -> list[Entry]:
    labels = request.benchmark.name
    chosen = variants(method, labels="masks" if labels in ("davis", "vip") else labels)
    entries = [_entry(request, one) for one in chosen]
    if method.kind == "baseline" or not request.sweeps:
        return entries
    return [_swept(request, method, name, word, value) for name, values in request.sweeps for word, value in values]


def _swept(request: EvaluationRequest, method: Method, setting: str, word: str, value: Any) -> Entry:
    """Return an encoder's entry with one value of a setting: a method of its own in every table."""
    entry = _entry(request, method.varied({setting: value}, detail=f"{setting}={word}"))
    name = f"{method.name} {setting}={word}"
    return replace(entry, name=name, group=name, detail="", swept=(setting, word))


def _entry(request: EvaluationRequest, method: Method) -> Entry:
    place = request.out / method.folder
    maker = TrackerMaker(
        method,
        flags=_threads(request),
        file=request.settings_file,
        preset=request.preset,
        cache=request.out / "cache",
    )
    return Entry(method.name, method.name, method.detail, place / "results", place / "scores", maker)


def _threads(request: EvaluationRequest) -> dict[str, Any]:
    """Return the flags; with several processes each gets its share of the threads, if nothing else is said."""
    share = {"threads": max(1, (os.cpu_count() or 1) // request.jobs)} if request.jobs > 1 else {}
    return {**share, **request.flags}


def claim(request: EvaluationRequest, entry: Entry, maker: TrackerMaker) -> None:
    """Make sure that the scores in an entry's place are of the same run, or none.

    Raises:
        ConflictError: they are of another run.
        OutputError: the place cannot be written.
    """
    benchmark = request.benchmark
    fields: Any = benchmark  # every benchmark is a dataclass
    about = {name: _as_plain(value) for name, value in asdict(fields).items() if name not in ("root", "measures")}
    record = {
        "command": f"evaluate {benchmark.name}",
        "version": propagate.__version__,
        "fingerprint": {"data": benchmark.root.resolve().name, **about, **maker.record()},
    }
    path = entry.scores.parent / "run.yaml"
    there = _read_yaml(path)
    found = differences(there, record) if there is not None else []
    if found and not request.force:
        hint = "give another -o, or --force to do it again"
        raise ConflictError(f"{path.parent}: holds another run: {'; '.join(found[:3])}", hint=hint)
    if request.force and there is not None:
        remove(entry.scores)
        remove(entry.results)
    try:
        entry.scores.mkdir(parents=True, exist_ok=True)
        entry.results.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(request.out, error) from error
    write_text(path, yaml.safe_dump(record, sort_keys=False, allow_unicode=True))


def _as_plain(value: Any) -> Any:
    """Return a field of a benchmark as YAML holds it."""
    if isinstance(value, Path):
        return value.name
    return list(value) if isinstance(value, tuple) else value


def _read_yaml(path: Path) -> dict[str, Any] | None:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return None
    return content if isinstance(content, dict) else None
