"""`propagate train`."""

from __future__ import annotations

import shlex
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from propagate.cli import console
from propagate.cli.options import Force, Json, Quiet, config_file, filled, read_words, setting_options
from propagate.cli.signals import StopRequest
from propagate.errors import ConfigError
from propagate.training.config import LEARNING, OURS, TrainConfig

if TYPE_CHECKING:
    from collections.abc import Iterator

    from propagate.training.data.footage import Footage
    from propagate.training.loop import Event
    from propagate.training.request import TrainInputs
    from propagate.training.run import Training

SIDE = 256  # pixels of the short side of small frames
_SHOWN = {**OURS, "radius": 6}  # of corrflow, which alone has it
_SETTINGS = setting_options(TrainConfig, defaults=_SHOWN, first={"config": config_file(LEARNING)})


def _given(values: dict[str, Any]) -> dict[str, Any]:
    file = {"config": values["config"]} if values["config"] is not None else {}
    return {**file, **read_words(TrainConfig, {name: value for name, value in values.items() if name != "config"})}


def train(
    videos: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="VIDEOS",
            help="Folders, videos, globs, lists (.txt) or manifests (.csv); by default those of --config's run.yaml.",
            show_default=False,
        ),
    ] = None,
    *,
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder of the results.")] = Path("trained"),
    prepare: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Decode the videos once into small frames here; later runs use them again."),
    ] = None,
    side: Annotated[
        int | None,
        typer.Option(
            min=16, metavar="PIXELS", help="Short side of the small frames; 256 by default.", show_default=False
        ),
    ] = None,
    labelled: Annotated[
        Path | None,
        typer.Option("--validate", metavar="DIR", help="Also score masks on these labelled sequences (DAVIS layout)."),
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
    file = settings.get("config")
    if not videos and file is None:
        raise ConfigError("no videos are given", hint="give VIDEOS, or --config RUN/run.yaml to repeat a run")
    from propagate.commands.train import open_training
    from propagate.training.request import TrainInputs, TrainRequest

    inputs = TrainInputs(tuple(videos or ()), prepare, side, labelled)
    if not videos and file is not None:
        inputs = _repeated(inputs, file)
    footage = _footage(inputs, quiet=quiet)
    with StopRequest() as stop:
        request = TrainRequest(
            footage,
            out,
            flags={name: value for name, value in settings.items() if name != "config"},
            settings_file=file,
            labelled=inputs.validate,
            inputs=inputs,
            workers=workers,
            force=force,
            stop=stop,
        )
        with closing(open_training(request)) as training:
            _follow(training, as_json=json, quiet=quiet)
    if training.dist.first:
        console.say(_best(training.weights), quiet=quiet)
        if not json:
            console.show(str(training.weights))


train = filled(train, "settings", _SETTINGS, _given)


def _repeated(given: TrainInputs, file: Path) -> TrainInputs:
    """Return the inputs of the run whose run.yaml is named, those that are given in place of its own.

    Raises:
        ConfigError: it names no videos.
    """
    from propagate.training.request import TrainInputs

    there = TrainInputs.read(file)
    if not there.videos:
        raise ConfigError(f"{file}: names no videos", hint="give VIDEOS, or the run.yaml of a training run")
    return TrainInputs(
        there.videos, given.prepare or there.prepare, given.side or there.side, given.validate or there.validate
    )


def _footage(inputs: TrainInputs, *, quiet: bool) -> Footage:
    """Return the footage, saying what was skipped and why; of several processes the first alone prepares it."""
    from propagate.training.data.footage import decoded_footage
    from propagate.training.data.prepared import open_footage, prepare_videos
    from propagate.training.data.sources import find_videos
    from propagate.training.distributed import first_alone, processes

    dist = processes()
    found, prepare, side = find_videos(inputs.videos), inputs.prepare, inputs.side or SIDE
    if prepare is None:
        tell = console.every(5.0, "{} of {} videos looked at", quiet=quiet or not dist.first)
        footage = decoded_footage(found, side=side, progress=tell)
    else:

        def decode() -> None:
            steps = prepare_videos(found, prepare, side=side)
            for _ in console.progress(steps, done=0, total=len(found.videos), what="videos", quiet=quiet):
                pass

        first_alone(dist, decode)
        footage = open_footage(prepare)
    for path, reason in (*found.skipped, *footage.skipped) if dist.first else ():
        console.say(f"skipped {path}: {' '.join(reason.split())}", quiet=quiet)
    return footage


def _best(weights: Path) -> str:
    """Return what the best weights of a run scored, and how they are used."""
    from propagate.encoders.weights_file import read_header

    made = read_header(weights).training
    scored = ", ".join(f"{name} {value:.2f}" for name, value in made["validation"].items()) or "not validated"
    words = shlex.join(["propagate", "masks", "clip.mp4", "mask.png", "--weights", str(weights)])
    return f"best: {scored} at step {made['step']}; try: {words}"


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
        if training.dist.first:
            console.say("this run is finished", quiet=quiet)
        return
    if training.dist.first:
        console.say(_opening(training), quiet=quiet)
    total = training.config.steps or 0
    events: Iterator[Event] = iter(training)
    first = training.dist.first
    if total and first:
        events = console.progress(events, done=training.first_step, total=total, what="steps", quiet=quiet)
    tell = console.every(30.0, "step {}: {:.0%} of the run, loss {:.4f}, {:.1f} clips/s", quiet=quiet or bool(total))
    for event in events:
        if first:
            tell(event.step.number, event.step.done, event.step.losses["loss"], event.rate)
        if first and event.validation is not None:
            figures = "".join(f", {name} {value:.4f}" for name, value in event.validation.items())
            best = ", the best so far" if event.improved and event.validation else ""
            loss = event.step.losses["loss"]
            pace = f"{event.rate:.1f} clips/s, {event.waiting:.0%} waiting for them"
            console.say(f"step {event.step.number}: loss {loss:.4f}{figures}{best}; {pace}", quiet=quiet)
            if as_json:
                console.show_json({"step": event.step.number, "loss": loss, **event.validation})
