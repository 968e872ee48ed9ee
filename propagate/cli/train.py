"""`propagate train`."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from propagate.cli import console
from propagate.cli.options import Force, Json, Quiet, filled, setting_value
from propagate.cli.signals import StopRequest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from propagate.commands.train import Training
    from propagate.training.footage import Footage
    from propagate.training.loop import Event

_LEARNING, _CLIPS, _LOSSES, _MACHINE = "What is learnt", "Clips", "Objectives", "Machine"


def _setting(name: str, panel: str, text: str, *, metavar: str | None = None) -> Any:
    return typer.Option(name, metavar=metavar, help=text, rich_help_panel=panel, show_default=False)


def _switch(name: str, text: str) -> Any:
    return typer.Option(f"--{name}/--no-{name}", help=text, rich_help_panel=_LOSSES, show_default=False)


_SETTINGS: dict[str, Any] = {
    "config": Annotated[
        Path | None, _setting("--config", _LEARNING, "Settings from a YAML file, such as a run.yaml.", metavar="FILE")
    ],
    "objective": Annotated[
        str | None,
        _setting(
            "--objective",
            _LEARNING,
            "propagate, colorization, corrflow, timecycle or single_image.",
            metavar="NAME",
        ),
    ],
    "encoder": Annotated[
        str | None,
        _setting(
            "--encoder", _LEARNING, "resnet18, timecycle-r18, ...; by default the objective's own.", metavar="NAME"
        ),
    ],
    "padding": Annotated[
        str | None, _setting("--padding", _LEARNING, "zeros or reflect: of new weights.", metavar="NAME")
    ],
    "layers": Annotated[int | None, _setting("--layers", _LEARNING, "Last layer of the trunk: of new weights.")],
    "init": Annotated[
        str | None,
        _setting("--init", _LEARNING, "Weights to go on from.", metavar="WEIGHTS"),
    ],
    "steps": Annotated[
        int | None, _setting("--steps", _LEARNING, "How many; these or minutes. Resumes to the same weights.")
    ],
    "minutes": Annotated[float | None, _setting("--minutes", _LEARNING, "How long; with steps what ends first.")],
    "batch": Annotated[int | None, _setting("--batch", _LEARNING, "Clips a step, over all processes.")],
    "learning_rate": Annotated[float | None, _setting("--learning-rate", _LEARNING, "Of the optimiser.")],
    "schedule": Annotated[
        str | None, _setting("--schedule", _LEARNING, "constant, vondrick, corrflow or cosine.", metavar="NAME")
    ],
    "warmup": Annotated[float | None, _setting("--warmup", _LEARNING, "Share of the run over which the rate rises.")],
    "size": Annotated[int | None, _setting("--size", _CLIPS, "Side of the square that the encoder sees.")],
    "frames": Annotated[int | None, _setting("--frames", _CLIPS, "Of a clip.")],
    "rate": Annotated[float | None, _setting("--rate", _CLIPS, "Frames a second.")],
    "jitter_crops": Annotated[
        int | None,
        _setting(
            "--jitter-crops", _CLIPS, "colorization: cut frames apart, so that place tells less.", metavar="PIXELS"
        ),
    ],
    "copy_paste": Annotated[
        int | None,
        _setting("--copy-paste", _CLIPS, "colorization: pieces of other clips that move across each.", metavar="COUNT"),
    ],
    "stretch_chroma": Annotated[
        float | None,
        _setting("--stretch-chroma", _CLIPS, "colorization: spread a clip's chroma so far.", metavar="LAB"),
    ],
    "held_out": Annotated[float | None, _setting("--held-out", _CLIPS, "Share of the videos kept for validation.")],
    "recipe": Annotated[str | None, _setting("--recipe", _LOSSES, "Terms of propagate.", metavar="TERMS")],
    "temperature": Annotated[float | None, _setting("--temperature", _LOSSES, "Divides similarity.")],
    "radius": Annotated[
        str | None,
        _setting("--radius", _LOSSES, "Cells of corrflow's restricted attention, or full.", metavar="N|full"),
    ],
    "clusters": Annotated[int | None, _setting("--clusters", _LOSSES, "Quantised colours.")],
    "color_dropout": Annotated[bool | None, _switch("color-dropout", "corrflow: drop colour channels; off: grey.")],
    "scheduled_sampling": Annotated[
        bool | None, _switch("scheduled-sampling", "corrflow: copy from own predictions too.")
    ],
    "inliers": Annotated[
        bool | None, _switch("inliers", "timecycle: its code's similarity, which does not make all features alike.")
    ],
    "queries": Annotated[int | None, _setting("--queries", _LOSSES, "timecycle: patches of a clip.")],
    "cycle": Annotated[bool | None, _switch("cycle", "corrflow: there and back.")],
    "validations": Annotated[int | None, _setting("--validations", _MACHINE, "How many over the whole run.")],
    "save_every": Annotated[float | None, _setting("--save-every", _MACHINE, "Minutes between checkpoints.")],
    "device": Annotated[str | None, _setting("--device", _MACHINE, "auto, cpu, cuda or mps.", metavar="NAME")],
    "dtype": Annotated[str | None, _setting("--dtype", _MACHINE, "auto, float32 or bfloat16.", metavar="NAME")],
    "threads": Annotated[int | None, _setting("--threads", _MACHINE, "CPU threads.")],
    "seed": Annotated[int | None, _setting("--seed", _MACHINE, "Of weights, clips and chance.")],
}


def _given(values: dict[str, Any]) -> dict[str, Any]:
    given = {name: value for name, value in values.items() if value is not None}
    return {name: setting_value(name, value) if isinstance(value, str) else value for name, value in given.items()}


def train(
    videos: Annotated[
        list[str], typer.Argument(metavar="VIDEOS", help="Folders, videos, globs, lists (.txt) or manifests (.csv).")
    ],
    *,
    out: Annotated[Path, typer.Option("--out", "-o", help="Where the results go.")] = Path("trained"),
    prepare: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Decode once into small frames here, and use them again.")
    ] = None,
    side: Annotated[int, typer.Option(min=16, metavar="PIXELS", help="Short side of the small frames.")] = 256,
    labelled: Annotated[
        Path | None, typer.Option("--validate", metavar="DIR", help="Labelled sequences (DAVIS layout), for J.")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Threads that assemble batches.")] = 1,
    force: Force = False,
    json: Json = False,
    quiet: Quiet = False,
    settings: dict[str, Any],
) -> None:
    """Learn to track from raw video: best.safetensors, log.jsonl, curve.svg, checkpoints, pictures.

    Example:  propagate train videos/ --objective corrflow --minutes 60 --prepare small/ -o run
    """
    from propagate.commands.train import open_training
    from propagate.training.request import TrainRequest

    footage = _footage(videos, prepare, side=side, quiet=quiet)
    with StopRequest() as stop:
        request = TrainRequest(
            footage,
            out,
            flags={name: value for name, value in settings.items() if name != "config"},
            settings_file=settings.get("config"),
            labelled=labelled,
            workers=workers,
            force=force,
            stop=stop,
        )
        with closing(open_training(request)) as training:
            _follow(training, as_json=json, quiet=quiet)
    if training.own.first and not json:
        console.show(str(training.weights))


train = filled(train, "settings", _SETTINGS, _given)


def _footage(videos: list[str], prepare: Path | None, *, side: int, quiet: bool) -> Footage:
    """Return the footage, saying what was skipped and why; of several processes the first alone prepares it."""
    from propagate.training.distributed import first_alone, processes
    from propagate.training.footage import decoded_footage
    from propagate.training.footage_cache import open_footage, prepare_videos
    from propagate.training.sources import find_videos

    own = processes()
    found = find_videos(videos)
    if prepare is None:
        tell = console.every(5.0, "{} of {} videos looked at", quiet=quiet or not own.first)
        footage = decoded_footage(found, side=side, progress=tell)
    else:

        def decode() -> None:
            steps = prepare_videos(found, prepare, side=side)
            for _ in console.progress(steps, done=0, total=len(found.videos), what="videos", quiet=quiet):
                pass

        first_alone(own, decode)
        footage = open_footage(prepare)
    for path, reason in (*found.skipped, *footage.skipped) if own.first else ():
        console.say(f"skipped {path}: {reason}", quiet=quiet)
    return footage


def _opening(training: Training) -> str:
    """Return what a run says before its first step."""
    config, held = training.config, training.request.footage.shots
    shown = training.footage.shots
    encoder, videos = training.objective.encoder.name, len({shot.source for shot in shown})
    since = f"going on after step {training.first_step}: " if training.first_step else ""
    return (
        f"{since}{config.objective} with {encoder} on {training.device}, batches of {config.batch}: "
        f"{len(shown)} shots of {videos} videos, {len(held) - len(shown)} more held out"
    )


def _follow(training: Training, *, as_json: bool, quiet: bool) -> None:
    """Let a run go on, with a line or a bar of progress."""
    if training.finished:
        console.say("this run is finished", quiet=quiet)
        return
    if training.own.first:
        console.say(_opening(training), quiet=quiet)
    total = training.config.steps or 0
    events: Iterator[Event] = iter(training)
    first = training.own.first
    if total and first:
        events = console.progress(events, done=training.first_step, total=total, what="steps", quiet=quiet)
    tell = console.every(30.0, "step {}: {:.0%} of the run, loss {:.4f}, {:.1f} clips/s", quiet=quiet or bool(total))
    for event in events:
        if first:
            tell(event.step.number, event.step.done, event.step.losses["loss"], event.rate)
        if first and event.validation is not None:
            figures = ", ".join(f"{name} {value:.4f}" for name, value in event.validation.items())
            best = ", the best so far" if event.improved else ""
            loss = event.step.losses["loss"]
            pace = f"{event.rate:.1f} clips/s, {event.waiting:.0%} waiting for them"
            console.say(f"step {event.step.number}: loss {loss:.4f}, {figures}{best}; {pace}", quiet=quiet)
            if as_json:
                console.show_json({"step": event.step.number, "loss": loss, **event.validation})
