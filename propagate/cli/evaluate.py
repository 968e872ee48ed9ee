"""`propagate evaluate davis|jhmdb|vip|keypoints|colors|reconstruction`."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from propagate.cli import console
from propagate.cli.options import Force, Json, Quiet, filled, parse_sweep, register, takes_settings
from propagate.errors import ConfigError
from propagate.runs.settings import SettingLayers

if TYPE_CHECKING:
    from propagate.evaluation.runner import Evaluation

_PANEL = "What is scored"


@dataclass(frozen=True)
class Asked:
    """What all benchmarks are asked: the options of `_SHARED`."""

    methods: tuple[str, ...]
    results: tuple[Path, ...]
    sweeps: tuple[str, ...]
    out: Path | None
    jobs: int
    limit: int | None
    fail_under: float | None
    force: bool
    json: bool
    quiet: bool


_SHARED: dict[str, Any] = {
    "method": Annotated[
        list[str] | None,
        typer.Option(
            "--method",
            "-m",
            metavar="METHOD",
            help="identity, flow, flow-first, siftflow, or ENCODER[:WEIGHTS]\\[@PRESET]; repeatable.",
            rich_help_panel=_PANEL,
            show_default=False,
        ),
    ],
    "results": Annotated[
        list[Path] | None,
        typer.Option(
            metavar="DIR", help="Also score results of another tool, in the official layout.", rich_help_panel=_PANEL
        ),
    ],
    "sweep": Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=A,B", help="Score with each value of a setting: radius=4,8,full.", rich_help_panel=_PANEL
        ),
    ],
    "limit": Annotated[
        int | None,
        typer.Option(min=1, help="Only so many sequences, the first.", rich_help_panel=_PANEL, show_default=False),
    ],
    "jobs": Annotated[
        int | None, typer.Option("--jobs", "-j", min=1, help="How many processes score at once.", show_default=False)
    ],
    "out": Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="The folder of scores, results and report. Default: ROOT's name and the benchmark's.",
            show_default=False,
        ),
    ],
    "fail_under": Annotated[
        float | None, typer.Option(help="Exit with 5 when a method's headline score is worse.", show_default=False)
    ],
    "force": Force,
    "json": Json,
    "quiet": Quiet,
}


def _read_asked(given: dict[str, Any]) -> Asked:
    return Asked(
        methods=tuple(given["method"] or ()),
        results=tuple(given["results"] or ()),
        sweeps=tuple(given["sweep"] or ()),
        out=given["out"],
        jobs=given["jobs"] or 1,
        limit=given["limit"],
        fail_under=given["fail_under"],
        force=bool(given["force"]),
        json=bool(given["json"]),
        quiet=bool(given["quiet"]),
    )


def takes_shared(command: Callable[..., None]) -> Callable[..., None]:
    """Return a command whose parameter `asked` is filled from the options that all benchmarks share."""
    return filled(command, "asked", _SHARED, _read_asked)


UNDER = 5  # exit code of --fail-under
evaluate = typer.Typer(
    short_help="Score trackers on a benchmark",
    help="Example:  propagate evaluate davis DAVIS --method rawcolor --method flow -o scores\n\n"
    "Score trackers on a benchmark, beside the papers' baselines: a table, JSON, CSV and an HTML report.",
    no_args_is_help=True,
    add_completion=False,
)
Root = Annotated[
    Path | None,
    typer.Argument(metavar="ROOT", help="The data set's folder, in its official layout.", show_default=False),
]
Save = Annotated[
    bool | None, typer.Option("--save", help="Keep all predicted frames, not a few small ones.", show_default=False)
]
Corrections = Annotated[
    str | None,
    typer.Option(
        metavar="N,N",
        help="Also correct so many frames with the truth, as an annotator would: 0,1,2,3,5.",
        show_default=False,
    ),
]
Choose = Annotated[
    list[str] | None,
    typer.Option(
        metavar="HOW",
        help="Which frames are corrected: uniform (the default), random, lowest, worst or tool; repeatable.",
        show_default=False,
    ),
]
Sequences = Annotated[str | None, typer.Option(metavar="A,B", help="Only these sequences.", show_default=False)]


@takes_settings
@takes_shared
def davis(
    root: Root = None,
    *,
    list_: Annotated[
        str | None, typer.Option("--list", metavar="NAME", help="A list under ImageSets: 2017/val.", show_default=False)
    ] = None,
    sequences: Sequences = None,
    year: Annotated[
        int | None,
        typer.Option(help="2016 scores all objects as one, 2017 each; without it, as --list says.", show_default=False),
    ] = None,
    resolution: Annotated[
        str | None, typer.Option(metavar="FOLDER", help="480p (the default), Full-Resolution, ...", show_default=False)
    ] = None,
    colors: Annotated[
        bool | None,
        typer.Option(
            "--colors",
            help="Propagate colours too: do failures to track and to colourise go together?",
            show_default=False,
        ),
    ] = None,
    attributes: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="A file of the sequences' attributes, by which scores are grouped.", show_default=False
        ),
    ] = None,
    corrections: Corrections = None,
    choose: Choose = None,
    call: typer.Context,
    asked: Asked,
    settings: SettingLayers,
) -> None:
    """Score masks on DAVIS: J and F by the official definitions, one object or several.

    Example:  propagate evaluate davis DAVIS -m identity -m flow -m rawcolor --jobs 2 -o scores
    """
    if year not in (None, 2016, 2017):
        raise typer.BadParameter("--year is 2016 or 2017")
    given = {"year": year, "list": list_, "resolution": resolution, "colors": colors, "attributes": attributes}
    named = {"sequences": _names(sequences), **_corrections(corrections, choose)}
    _evaluate("davis", root, given | named, asked, settings, file=call.params["config"])


@takes_settings
@takes_shared
def jhmdb(
    root: Root = None,
    *,
    split: Annotated[
        int | None, typer.Option(min=1, max=3, help="Its test clips are scored; 1 by default.", show_default=False)
    ] = None,
    list_: Annotated[
        Path | None,
        typer.Option(
            "--list", metavar="FILE", help="A file with CLASS/CLIP lines, instead of a split.", show_default=False
        ),
    ] = None,
    sequences: Sequences = None,
    corrections: Corrections = None,
    choose: Choose = None,
    call: typer.Context,
    asked: Asked,
    settings: SettingLayers,
) -> None:
    """Score keypoints on JHMDB: PCK-instance, PCK-max, and a strict PCK.

    Example:  propagate evaluate jhmdb JHMDB -m identity -m rawcolor -o scores
    """
    given = {"split": split, "list": list_, "sequences": _names(sequences), **_corrections(corrections, choose)}
    _evaluate("jhmdb", root, given, asked, settings, file=call.params["config"])


@takes_settings
@takes_shared
def vip(
    root: Root = None,
    *,
    list_: Annotated[
        str | None,
        typer.Option(
            "--list", metavar="NAME", help="val (the default), or another list of videos.", show_default=False
        ),
    ] = None,
    sequences: Sequences = None,
    skip_first: Annotated[
        bool | None,
        typer.Option(
            "--skip-first", help="Leave the given frame out; the papers' scripts count it.", show_default=False
        ),
    ] = None,
    call: typer.Context,
    asked: Asked,
    settings: SettingLayers,
) -> None:
    """Score parts and instances of people on VIP: mean IoU and AP.

    Example:  propagate evaluate vip VIP_Fine -m identity -m rawcolor -o scores
    """
    given = {"list": list_, "sequences": _names(sequences), "first": False if skip_first else None}
    _evaluate("vip", root, given, asked, settings, file=call.params["config"])


@takes_settings
@takes_shared
def keypoints(
    root: Annotated[
        Path | None,
        typer.Argument(metavar="DIR", help="Truth (.npz or .csv) beside videos of the same stem.", show_default=False),
    ] = None,
    *,
    videos: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where the videos lie, if elsewhere.", show_default=False)
    ] = None,
    sequences: Sequences = None,
    frames: Annotated[
        int | None, typer.Option(min=2, help="Only so many frames, the first.", show_default=False)
    ] = None,
    corrections: Corrections = None,
    choose: Choose = None,
    call: typer.Context,
    asked: Asked,
    settings: SettingLayers,
) -> None:
    """Score keypoints on videos of your own.

    Example:  propagate evaluate keypoints labelled/ -m identity -m rawcolor -o scores
    """
    given = {"videos": videos, "sequences": _names(sequences), "frames": frames}
    _evaluate("keypoints", root, given | _corrections(corrections, choose), asked, settings, file=call.params["config"])


@takes_settings
@takes_shared
def colors(
    root: Annotated[
        Path | None, typer.Argument(metavar="DIR", help="Colour videos, or folders of frames.", show_default=False)
    ] = None,
    *,
    sequences: Sequences = None,
    save: Save = None,
    call: typer.Context,
    asked: Asked,
    settings: SettingLayers,
) -> None:
    """Score colours propagated from the first frame through a grey copy: CIEDE2000 and cluster accuracy over time.

    Example:  propagate evaluate colors clips/ -m identity -m rawcolor -o scores
    """
    _evaluate(
        "colors", root, {"sequences": _names(sequences), "save": save}, asked, settings, file=call.params["config"]
    )


@takes_settings
@takes_shared
def reconstruction(
    root: Annotated[
        Path | None, typer.Argument(metavar="VIDEOS", help="A folder of videos, or one video.", show_default=False)
    ] = None,
    *,
    sequences: Sequences = None,
    every: Annotated[
        int | None, typer.Option(min=1, help="Take every n-th frame as a start; 1 by default.", show_default=False)
    ] = None,
    save: Save = None,
    call: typer.Context,
    asked: Asked,
    settings: SettingLayers,
) -> None:
    """Rebuild frames 5 and 10 later by copying pixels (TimeCycle, experiment V): mean L1 in 0 to 255.

    Example:  propagate evaluate reconstruction clips/ -m identity -m rawcolor -o scores
    """
    given = {"sequences": _names(sequences), "every": every, "save": save}
    _evaluate("reconstruction", root, given, asked, settings, file=call.params["config"])


def _names(text: str | None) -> tuple[str, ...] | None:
    return None if text is None else tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))


def _corrections(text: str | None, choose: list[str] | None) -> dict[str, object]:
    """Return the options of corrections, None where one was not given."""
    if text is None:
        if choose:
            raise typer.BadParameter("--choose says which frames are corrected: give --corrections 0,1,2,3,5 too")
        return {}
    try:
        counts = tuple(sorted({int(word) for word in text.split(",") if word.strip()}))
    except ValueError as error:
        raise typer.BadParameter(f"--corrections {text!r}: numbers with commas between, such as 0,1,2,3,5") from error
    return {"corrections": counts, "choose": tuple(choose) if choose else None}


def _evaluate(
    kind: str,
    root: Path | None,
    given: Mapping[str, object],
    asked: Asked,
    settings: SettingLayers,
    *,
    file: Path | None,
) -> None:
    """Do an evaluation with progress on stderr; print the table, and exit with the code that is due.

    Args:
        kind: the benchmark, an entry of `BENCHMARKS`.
        root: its data; None to take it from the run.yaml that `--config` names, as for all that is not given.
        given: the benchmark's own options, None where one was not given.
        asked: what all benchmarks are asked.
        settings: of the methods.
        file: what `--config` names.
    """
    from propagate.evaluation.plan import EvaluationRequest, build_benchmark, read_inputs
    from propagate.evaluation.runner import open_evaluation
    from propagate.evaluation.summary import summarize

    before = read_inputs(file, kind) if file else {}
    place = root or before.get("root")
    if place is None:
        raise ConfigError("no folder of data is given", hint="give ROOT, or --config OUT/run.yaml of an evaluation")
    options = {**before.get("options", {}), **{name: value for name, value in given.items() if value is not None}}
    benchmark = build_benchmark(kind, Path(place), options)
    request = EvaluationRequest(
        benchmark,
        asked.out or Path(f"{benchmark.root.resolve().name}.{benchmark.name}"),
        methods=asked.methods or tuple(before.get("methods", ())),
        results=asked.results or tuple(map(Path, before.get("results", ()))),
        sweeps=tuple(parse_sweep(text) for text in asked.sweeps or before.get("sweeps", ())),
        layers=replace(
            settings,
            preset=settings.preset or before.get("preset"),
            quality=settings.quality or before.get("quality"),
        ),
        jobs=asked.jobs,
        limit=asked.limit or before.get("limit"),
        force=asked.force,
    )
    with closing(open_evaluation(request)) as evaluation:
        _follow(evaluation, quiet=asked.quiet)
        summary = summarize(evaluation, command=shlex.join(["propagate", *sys.argv[1:]]))
    for line in summary.notes:
        console.say(line, quiet=asked.quiet)
    if asked.json:
        console.show_json(dict(summary.data))
    else:
        for table in (summary.table, *summary.tables):
            console.show_table(table)
        console.show(str(summary.report))
    if asked.fail_under is not None and (beyond := summary.beyond(asked.fail_under)):
        console.say(f"worse than {asked.fail_under}: {', '.join(beyond)}")
        raise typer.Exit(UNDER)


def _follow(evaluation: Evaluation, *, quiet: bool) -> None:
    """Let an evaluation run, saying each sequence as it is done."""
    sequences, runs = len(evaluation.sequences), len(evaluation.method_runs)
    console.say(f"{sequences} sequence{'s' * (sequences != 1)}, {runs} run{'s' * (runs != 1)} of each", quiet=quiet)
    kept = 0
    steps = console.progress(evaluation, done=0, total=evaluation.total, what="sequences", quiet=quiet)
    for done in steps:
        kept += done.kept
        for note in (*(() if done.kept else done.scores.notes), *done.notes):
            console.say(f"{done.sequence.name}: {note}", quiet=quiet)
    if kept:
        console.say(f"{kept} of {evaluation.total} had been scored before", quiet=quiet)


for _command in (davis, jhmdb, vip, keypoints, colors, reconstruction):
    register(evaluate, _command)
