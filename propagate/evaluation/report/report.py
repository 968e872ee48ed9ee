"""One self-contained HTML page: what was measured, how sure it is, where it fails, and beside it what papers report."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

import propagate
from propagate.errors import OutputError, PropagateError
from propagate.evaluation.analysis.bootstrap import RunIntervals
from propagate.evaluation.analysis.failures import ATTRIBUTE, HardCase, hard_cases
from propagate.evaluation.protocol import Benchmark, BenchmarkSequence
from propagate.evaluation.report import sections
from propagate.evaluation.report.page import bullets, document, heading, paragraph, section, strip, table, verbatim
from propagate.evaluation.report.published import PublishedTable, published_tables
from propagate.evaluation.report.tables import format_number, plain_data, table_rows
from propagate.evaluation.results import MethodResult, Strip, SweepPoint, featured, ranked_sequences
from propagate.formats.atomic import write_text
from propagate.render.plots import can_plot

NAME = "report.html"
Draw = Callable[[], NDArray[np.uint8] | None]
SHOWN = 3  # sequences shown at each end
STRIP_FRAMES, STRIP_HEIGHT = 6, 110  # of a filmstrip; pixels of one picture
APART = (
    "These figures are published ones, transcribed from papers: measured by others, on other data or other splits "
    "than the table above unless the headings agree, with other code. They are for orientation, and are never "
    "averaged with measured rows."
)


def write_report(
    folder: Path,
    benchmark: Benchmark,
    results: Sequence[MethodResult],
    *,
    strips: Mapping[str, Path],
    sweep: Sequence[SweepPoint] = (),
    color_strips: Sequence[Strip] = (),
    command: str = "",
    notes: Sequence[str] = (),
    intervals: RunIntervals | None = None,
    write: Callable[[Path, str], None] = write_text,
) -> Path:
    """Write report.html into `folder`, whole or not at all, and return its path.

    Args:
        folder: made when absent.
        benchmark: what was measured; its filmstrips are drawn from `strips`.
        results: a method each, at least one; their names differ.
        strips: method name -> the folder of its results; a method without one gets no filmstrips.
        sweep: a setting's values and what each cost; several settings may stand in it.
        color_strips: predicted mask, predicted colours and true colours (Vondrick figure 10).
        command: that made the results.
        notes: lines about the run as a whole.
        intervals: the intervals, when they are at hand already; None to draw them here.
        write: writes a file whole or not at all.

    Raises:
        ValueError: there are no results, or two of one name.
        OutputError: the folder cannot be written to.
    """
    if len({result.name for result in results}) != len(results):
        raise ValueError("two methods in one report have the same name")
    intervals = intervals or RunIntervals(benchmark, results)
    headline = benchmark.measures[0]
    ours = featured(results, headline=headline.name, better=headline.better)
    sequences = {sequence.name: sequence for sequence in benchmark.list_sequences()}
    attributes = {sequence.name: sequence.attributes for sequence in sequences.values()}
    body = [
        _introduction(benchmark, results, ours),
        _measured(benchmark, results, intervals),
        sections.differences(intervals, results, ours),
        sections.over_time(benchmark, results),
        sections.attributes(benchmark, results, ours, attributes=attributes),
        sections.sizes(benchmark, results),
        sections.sweep(benchmark, sweep),
        sections.corrections(intervals, results),
        _ends(benchmark, ours, sequences, strips.get(ours.name)),
        _hard(benchmark, ours, sequences, strips.get(ours.name)),
        sections.odds(intervals, results, color_strips=color_strips),
        _published(benchmark.name),
        _sequences(benchmark, results),
        _settings(results, command=command, notes=notes),
    ]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be made: {error.strerror or error}") from error
    write(folder / NAME, document(f"{benchmark.name}: how good it is", [part for part in body if part]))
    return folder / NAME


def _introduction(benchmark: Benchmark, results: Sequence[MethodResult], ours: MethodResult) -> Markup:
    count = len({name for result in results for name in result.scores})
    sequences = "1 sequence" if count == 1 else f"{count} sequences"
    methods = "1 method" if len(results) == 1 else f"{len(results)} methods"
    about = f"Benchmark {benchmark.name}, data in {benchmark.root}: {sequences}, {methods}"
    lines = [paragraph(f"{about}; propagate {propagate.__version__}.")]
    lines.append(paragraph(f"The filmstrips and hard cases below are of {ours.name}."))
    if not can_plot():
        lines.append(paragraph("There are no plots: matplotlib is not installed (pip install 'propagate[report]')."))
    return Markup("\n").join(lines)


def _measured(benchmark: Benchmark, results: Sequence[MethodResult], intervals: RunIntervals) -> Markup:
    headline = benchmark.measures[0].name
    shown = {
        r.name: {name: interval for name, interval in intervals.of(r).items() if name == headline} for r in results
    }
    rows = table_rows(benchmark, results, intervals=shown)
    rows = [[f"{row[0]} ({row[-1]})" if row[-1] and number else row[0], *row[1:-1]] for number, row in enumerate(rows)]
    lower = [measure.name for measure in benchmark.measures if measure.better == "lower"]
    words = [
        f"In brackets: 95 % intervals of {intervals.resamples} bootstrap draws,",
        "of whole sequences where there are several,",
    ]
    words.append("of blocks of frames where there is one. They say how far a figure may move on other data like this.")
    if lower:
        words.append(f"Lower is better for {', '.join(lower)}.")
    if len({frozenset(result.scores) for result in results}) > 1:
        words.append("The methods were not scored on the same sequences: their figures cannot be compared as they are.")
    caption = f"{benchmark.name}, measured here"
    return section(
        "Measured",
        [
            table(sections.unbroken(rows), caption=caption),
            paragraph(" ".join(words), soft=True),
        ],
    )


def _ends(
    benchmark: Benchmark, ours: MethodResult, sequences: Mapping[str, BenchmarkSequence], folder: Path | None
) -> Markup:
    """Return the best and the worst sequences as filmstrips."""
    if folder is None:
        return Markup("")
    ranked = ranked_sequences(ours, benchmark)
    measure = benchmark.measures[0]
    best = ranked[: min(SHOWN, -(-len(ranked) // 2))]
    worst = ranked[len(best) :][-SHOWN:][::-1]
    parts = []
    for title, chosen in (("Best", best), ("Worst", worst)):
        strips = []
        for name, value in chosen:
            caption = f"{name}: {measure.name} {format_number(value, measure.digits)}. Truth above, {ours.name} below."
            strips.append(_strip(_filmstrip(benchmark, sequences.get(name), folder), caption=caption))
        parts += [heading(title), *strips] if strips else []
    return section("Best and worst sequences", parts)


def _filmstrip(benchmark: Benchmark, sequence: BenchmarkSequence | None, folder: Path) -> Draw:
    """Return what draws a whole sequence."""
    if sequence is None:
        return lambda: None
    return lambda: benchmark.filmstrip(sequence, folder, count=STRIP_FRAMES, height=STRIP_HEIGHT)


def _strip(draw: Draw, *, caption: str) -> Markup:
    picture: NDArray[np.uint8] | None = None
    reason = "there is nothing to show"
    try:
        picture = draw()
    except PropagateError as error:  # a results folder may be gone, the scores are still worth a page
        reason = str(error)
    if picture is None:
        return paragraph(f"{caption} No filmstrip: {reason}.", soft=True)
    return strip(picture, alt=f"Filmstrip of {caption}", caption=caption)


def _hard(
    benchmark: Benchmark, ours: MethodResult, sequences: Mapping[str, BenchmarkSequence], folder: Path | None
) -> Markup:
    attributes = {sequence.name: sequence.attributes for sequence in sequences.values()}
    parts = []
    every = hard_cases(list(ours.scores.values()), attributes=attributes)
    for found in every:
        parts += [heading(found.kind.capitalize()), paragraph(hard_case_words(found, ours.name))]
        if folder is not None:
            caption = f"{found.sequence}. Truth above, {ours.name} below."
            parts.append(_strip(_stretch(benchmark, sequences.get(found.sequence), folder, found), caption=caption))
    if parts:
        absent = [kind for kind in ATTRIBUTE if kind not in {found.kind for found in every}]
        none = f" There is no sequence of {' or of '.join(absent)}." if absent else ""
        words = f"Found in the truth, the worst of each kind (the failures that CorrFlow names in A.1).{none}"
        parts.insert(0, paragraph(words))
    return section("Hard cases", parts)


def _stretch(benchmark: Benchmark, sequence: BenchmarkSequence | None, folder: Path, found: HardCase) -> Draw:
    """Return what draws a hard stretch and a frame on either side."""
    if sequence is None:
        return lambda: None
    return lambda: benchmark.hard_filmstrip(
        sequence, folder, frames=found.frames, count=STRIP_FRAMES, height=STRIP_HEIGHT
    )


def hard_case_words(found: HardCase, method: str) -> str:
    """Return a hard case in one sentence or two."""
    first, last = found.frames
    frames = f"frame {first}" if first == last else f"frames {first} to {last}"
    marks = {None: "", True: " The data set's attributes say so too.", False: " The data set's attributes do not."}
    values = {"before": found.before, "during": found.during, "after": found.after}
    scores = ", ".join(f"{format_number(value, 3)} {when}" for when, value in values.items())
    where = f"{found.sequence}, object {found.unit}, {frames}"
    return f"{where}: {found.cause}. J of {method}: {scores}.{marks[found.confirmed]}"


def _published(benchmark: str) -> Markup:
    tables = [_published_table(one) for one in published_tables() if one.benchmark == benchmark]
    return section("Published", [paragraph(APART), *tables] if tables else [], kind="published")


def _published_table(one: PublishedTable) -> Markup:
    digits = 1
    rows = [["method", *one.measures, "labels used", "trained on"]]
    for row in one.rows:
        values = [format_number(np.nan if value is None else value, digits) for value in row.values.values()]
        rows.append([row.method, *values, "yes" if row.supervised else "no", row.data or "–"])
    caption = f"Published: {one.title}. Data set: {one.dataset}; split: {one.split}; unit: {one.unit}."
    words = [len(rows[0]) - 1]
    return table(rows, caption=caption, words=words) + paragraph(f"Source: {one.source}. {one.note}", soft=True)


def _sequences(benchmark: Benchmark, results: Sequence[MethodResult]) -> Markup:
    measure = benchmark.measures[0]
    names = list(dict.fromkeys(name for result in results for name in result.scores))
    rows = [["sequence", *(result.name for result in results)]]
    for name in names:
        found = [benchmark.summary([r.scores[name]]) if name in r.scores else {} for r in results]
        rows.append([name, *(format_number(values.get(measure.name, np.nan), measure.digits) for values in found)])
    return section("Every sequence", [table(rows, caption=f"{measure.name} of every sequence")])


def _settings(results: Sequence[MethodResult], *, command: str, notes: Sequence[str]) -> Markup:
    parts = [heading("Command"), verbatim(command)] if command else []
    for result in results:
        if result.settings:
            text = json.dumps(plain_data(result.settings), ensure_ascii=False, indent=1)
            parts += [heading(result.name), verbatim(text)]
    found = [(s.sequence, note) for result in results for s in result.scores.values() for note in s.notes]
    lines = [*notes, *dict.fromkeys(f"{sequence}: {note}" for sequence, note in found)]
    return section("Settings and notes", [*parts, *([heading("Notes"), bullets(lines)] if lines else [])])
