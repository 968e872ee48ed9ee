"""What every command is told about its video, its place and its settings, and how a run begins from that."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import propagate
from propagate.config import PropagateConfig, resolve
from propagate.errors import ConflictError
from propagate.runs.finished import FinishedRun, find_finished, read_asked
from propagate.runs.folder import RunFolder, check_writable
from propagate.runs.inputs import LabelFile, default_out, parse_place
from propagate.runs.record import Record, differences, identify_video, identity, run_record
from propagate.runs.settings import LoadedModel, SettingLayers, load_model, name_model

if TYPE_CHECKING:
    from propagate.labels.protocol import LabelType
    from propagate.runs.outputs import Figures, FrameFiles, Whole
    from propagate.runs.run import Run
    from propagate.values import Annotation, Frame, ObjectId, Prediction
    from propagate.video import VideoReader


def never() -> int | None:
    """Return the signal that asks a run to stop: none ever does."""
    return None


@dataclass(frozen=True)
class Request:
    """What is common to all commands that propagate labels through one video.

    Attributes:
        video: a file, a folder of images, or "-".
        out: where results go; called after the video when None.
        start: the first frame, or seconds such as "12.5s".
        end: where to stop, exclusive.
        force: replace the files of another run of ours.
        layers: what was said of the settings.
        stop: asked after every frame; a signal's number stops the run.
        cuts: where shots begin: "auto", "off", frames such as "120,300", or a file of them.
    """

    video: str
    out: Path | None = None
    start: str | None = None
    end: str | None = None
    force: bool = False
    layers: SettingLayers = field(default_factory=SettingLayers)
    stop: Callable[[], int | None] = never
    cuts: str = "auto"

    def open_video(self, *, luma: bool = False) -> VideoReader:
        """Return a reader of the asked range.

        Raises:
            InputError: nothing there can be read as video.
            ConfigError: the range is malformed or holds no frame.
        """
        from propagate.video import read_video

        return read_video(self.video, start=parse_place(self.start), end=parse_place(self.end), luma=luma)

    def load_model(self, *, luma: bool = False) -> LoadedModel:
        """Return the settings and the network, as `settings.load_model`."""
        return load_model(self.layers, luma=luma)

    def out_or(self, ending: str) -> Path:
        """Return `out`, or the video's stem with an ending such as "masks" or "colorized.mp4"."""
        return self.out or default_out(self.video, ending)


@dataclass(frozen=True)
class Asked:
    """All that a run is asked for, as plain data, before anything is opened.

    Attributes:
        folder: where results go.
        settings: as given, with the digest of the weights.
        content: everything.
    """

    folder: RunFolder
    settings: Record
    content: Record


def ask(
    request: Request,
    command: str,
    folder: RunFolder,
    *,
    labels: Sequence[LabelFile],
    options: Mapping[str, Any],
    wholes: Sequence[Path] = (),
) -> Asked:
    """Return what is asked for; a finished run of just this is recognised by it.

    Args:
        request: the video and the settings.
        command: its name.
        folder: where results go.
        labels: the files that are read.
        options: all the command's own options.
        wholes: files that are made of all frames.

    Raises:
        InputError: a file cannot be read.
        ConfigError: a setting that cannot be.
    """
    settings = {"layers": asdict(request.layers), "weights": name_model(request.layers).digest}
    video = None
    if request.video != "-" and Path(request.video).exists():
        path = Path(request.video)
        video = identify_video(path, name=request.video, base=folder.base, digests=folder.digests)
    content = {
        "command": command,
        "version": propagate.__version__,
        "video": video,
        "labels": [label.record(folder) for label in labels],
        "settings": settings,
        "options": dict(options),
        "range": [request.start, request.end],
        "cuts": cuts_text(request.cuts),
        "wholes": [folder.name_of(path) for path in wholes],
    }
    return Asked(folder, settings, json.loads(json.dumps(content)))


def finished(request: Request, asked: Asked) -> FinishedRun | None:
    """Return the run that is asked for where it is done and its files are whole, and nothing forces it."""
    return None if request.force or asked.content["video"] is None else find_finished(asked.folder, asked.content)


def earlier_choices(request: Request, folder: RunFolder) -> Mapping[str, Any]:
    """Return the options of the run that is in a folder and goes on, empty when there is none."""
    if request.force:
        return {}
    if (asked := read_asked(folder)) is not None:
        return dict(asked["options"])
    there = folder.read_record()
    options = there.get("options") if there is not None else None
    return options if isinstance(options, dict) else {}


def earlier_overlay(request: Request, folder: RunFolder) -> Path | None:
    """Return the overlay that an earlier run in a folder made, while it is there: it is kept up to date."""
    names = earlier_choices(request, folder).get("overlay") or ()
    found = [folder.path_of(str(name)) for name in names if folder.path_of(str(name)).is_file()]
    return found[0] if found else None


def no_figures(prediction: Prediction) -> Mapping[str, float | None]:
    """Return nothing more to record of a frame."""
    return {}


def no_summary(figures: Iterator[Mapping[str, float | None]]) -> Mapping[str, Any]:
    """Return nothing to add to run.yaml."""
    return {}


@dataclass(frozen=True)
class Work:
    """What one command makes of a request.

    Attributes:
        command: its name.
        annotations: what a person gave, within the range.
        label_type: the label type.
        labels: the files that the annotations come from.
        options: the command's own options that make it the run that it is.
        choices: those that may change within a run: which outputs are wanted.
        described: what was recognised, for run.yaml: `ids`, `colors`, `forms`.
        notes: lines for the user.
        files: what is written for each frame.
        wholes: what is made of all frames.
        figures: what else is recorded of a frame.
        summarize: what is added to run.yaml in the end, of all frames' figures.
        see: what the engine is shown of a frame; the frame itself when None.
        absent: frame -> the objects that a person said are absent from it.
    """

    command: str
    annotations: Sequence[Annotation]
    label_type: LabelType
    labels: Sequence[LabelFile]
    options: Mapping[str, Any]
    choices: Mapping[str, Any]
    described: Mapping[str, Any]
    notes: tuple[str, ...]
    files: Sequence[FrameFiles] = ()
    wholes: Sequence[Whole] = ()
    figures: Figures = no_figures
    summarize: Callable[[Iterator[Mapping[str, float | None]]], Mapping[str, Any]] = no_summary
    see: Callable[[Frame], Frame] | None = None
    absent: Mapping[int, Sequence[ObjectId]] = field(default_factory=dict)


@dataclass(frozen=True)
class Model:
    """Settings, and the network where it is needed.

    Attributes:
        config: the resolved settings.
        weights: SHA-256 of the file of weights, None without one.
        load: returns the same with the network.
    """

    config: PropagateConfig
    weights: str | None
    load: Callable[[], LoadedModel]


def open_model(request: Request, asked: Asked, *, luma: bool, size: tuple[int, int]) -> Model:
    """Return the settings of a run; no network is loaded where a run of the same settings was finished before.

    Args:
        request: the settings as given.
        asked: the same, to compare.
        luma: the encoder will see grey pictures.
        size: (height, width) of the frames, to refuse what the encoder cannot do with them.

    Raises:
        ConfigError: an unknown setting, value, encoder, preset or quality.
        WeightsError: weights that are missing, damaged or of another encoder.
        DeviceError: the device is missing.
    """
    there = asked.folder.read_record()
    if there is not None and _settings_asked_before(asked.folder) == asked.content["settings"]:
        config = resolve(there["settings"])
        return Model(config, there["inputs"].get("weights"), lambda: request.load_model(luma=luma))
    model = request.load_model(luma=luma)
    from propagate.encoders.features import FeatureExtractor

    FeatureExtractor(model.encoder, model.config, size)
    return Model(model.config, model.weights, lambda: model)


def _settings_asked_before(folder: RunFolder) -> Any:
    """Return the settings that a finished run was given; None when there is none."""
    asked = read_asked(folder)
    return None if asked is None else asked["settings"]


def begin(request: Request, work: Work, *, asked: Asked, reader: VideoReader, model: Model) -> Run:
    """Return the run, its folder claimed and what is there taken up; nothing is touched when it is refused.

    Raises:
        ConflictError: something else is in its place, or another run is at work there.
        OutputError: the place cannot be written.
    """
    folder = asked.folder
    record = _record(request, work, folder=folder, reader=reader, model=model)
    but = ("labels", *(f"options.{name}" for name in (*work.choices, "end")))
    folder.inputs = frozenset(path.resolve() for path in (reader.path, *(label.path for label in work.labels)))
    wholes = [whole.path for whole in work.wholes]
    _refuse_inputs(folder, wholes)
    _refuse_shorter(folder, record, force=request.force)
    folder.check(record, wholes=wholes, but=but, force=request.force)
    for path in wholes:
        check_writable(path)
    folder.claim()
    try:
        folder.check(record, wholes=wholes, but=but, force=request.force)
        if request.force:
            folder.adopt(folder.read_record() or {})
        return _run(request, work, asked=asked, reader=reader, model=model, record=record, but=but)
    except BaseException:
        folder.close()
        raise


def cuts_text(choice: str) -> str:
    """Return what was said of cuts, the frames in the place of a file of them.

    Raises:
        InputError: the file cannot be read, or holds something else.
    """
    if choice in ("auto", "off") or re.fullmatch(r"[0-9]+(,[0-9]+)*", choice):
        return choice
    from propagate.video.cuts import read_cuts

    return ",".join(map(str, sorted(read_cuts(choice)))) or "off"


def _record(request: Request, work: Work, *, folder: RunFolder, reader: VideoReader, model: Model) -> Record:
    inputs = {
        "video": identify_video(reader.path, name=request.video, base=folder.base, digests=folder.digests),
        "labels": [label.record(folder) for label in work.labels],
        "weights": model.weights,
    }
    options = {"start": reader.first, "end": reader.last, "cuts": cuts_text(request.cuts)}
    options |= {**work.options, **work.choices}
    names = [*(kind.folder for kind in work.files), *(folder.name_of(whole.path) for whole in work.wholes)]
    described = {**work.described, "results": names}
    return run_record(work.command, model.config, inputs=inputs, options=options, described=described)


def _run(
    request: Request,
    work: Work,
    *,
    asked: Asked,
    reader: VideoReader,
    model: Model,
    record: Record,
    but: Sequence[str],
) -> Run:
    from propagate.device import choose_device, use_threads
    from propagate.engine.propagation import Propagation
    from propagate.engine.snapshot import Decoder
    from propagate.runs.plan import Keys, make_plan
    from propagate.runs.run import Parts, Run, readable, same

    folder, config, label_type, see = asked.folder, model.config, work.label_type, work.see or same
    use_threads(config.threads)
    given = readable(reader, work.annotations)

    def engine(
        annotations: Sequence[Annotation], pictures: Callable[[int], Frame], shot_of: Callable[[int], int]
    ) -> Propagation:
        loaded = model.load()
        return Propagation(
            annotations,
            label_type=label_type,
            encoder=loaded.encoder,
            config=loaded.config,
            device=loaded.device,
            pictures=pictures,
            shot_of=shot_of,
        )

    there = folder.read_record()
    keys = Keys(identity(record, but=but), given, label_type=label_type, direction=config.direction, first=reader.first)
    parts = Parts(
        folder=folder,
        reader=reader,
        plan=make_plan(
            folder,
            range(reader.first, reader.last),
            keys=keys,
            ids=label_type.ids,
            absent=work.absent,
            files=work.files,
            anew=request.force or there is None or bool(differences(there, record, but=but)),
        ),
        keys=keys,
        decoder=Decoder(given, label_type=label_type, config=config, device=choose_device(config.device)),
        engine=engine,
        files=work.files,
        wholes=work.wholes,
        figures=work.figures,
        summarize=work.summarize,
        record=record,
        asked=asked.content,
        see=see,
        cuts=record["options"]["cuts"],
        stop=request.stop,
        absent=work.absent,
    )
    notes = (*work.notes, *_size_notes(request, reader.info.size), *_empty_notes(given, reader.first, config.direction))
    return Run(parts, notes=notes)


def _empty_notes(annotations: Sequence[Annotation], start: int, direction: str) -> list[str]:
    """Return what to say of frames to which no label comes, because labels go forward only."""
    first = min((one.frame for one in annotations), default=start)
    if direction != "forward" or first == start:
        return []
    count = first - start
    return [f"{count} frame{'s' if count > 1 else ''} before the first label (frame {first}) stay empty"]


def _size_notes(request: Request, size: tuple[int, int]) -> list[str]:
    """Return what to say of a `--size` that is larger than the video: pictures are never enlarged."""
    asked = request.layers.flags.get("size")
    if not isinstance(asked, int) or asked <= min(size):
        return []
    return [f"--size {asked} changes nothing: the video's short side has {min(size)} pixels, and is never enlarged"]


def _refuse_inputs(folder: RunFolder, wholes: Sequence[Path]) -> None:
    """Refuse to write a file that the run reads."""
    for path in wholes:
        if path.resolve() in folder.inputs:
            raise ConflictError(f"{path}: is what the run reads, it cannot be written too", hint="give another -o")


def _refuse_shorter(folder: RunFolder, record: Record, *, force: bool) -> None:
    """Refuse to cut a run that goes further."""
    there = folder.read_record()
    end = there["options"].get("end") if there is not None and isinstance(there.get("options"), dict) else None
    if not force and isinstance(end, int) and end > record["options"]["end"]:
        shorter = f"its end is {end} there, {record['options']['end']} now"
        raise ConflictError(f"{folder.out}: holds a longer run: {shorter}", hint="give another -o, or --force")


def begin_one(folder: RunFolder, record: Record, *, inputs: Sequence[Path], force: bool) -> bool:
    """Return whether a run that writes one file, all at once, is finished; its place is claimed either way.

    Args:
        folder: where the file goes.
        record: of the run.
        inputs: files that it reads.
        force: do it again, also where another run of ours is.

    Raises:
        ConflictError: something else is in its place, or another run is at work there.
        OutputError: the place cannot be written.
    """
    folder.inputs = frozenset(path.resolve() for path in inputs)
    _refuse_inputs(folder, [folder.out])
    folder.check(record, wholes=[folder.out], force=force)
    check_writable(folder.out)
    folder.claim()
    folder.check(record, wholes=[folder.out], force=force)
    if force:
        folder.adopt(folder.read_record() or {})
    there = folder.read_record()
    same = there is not None and not differences(there, record)
    name = folder.name_of(folder.out)
    if same and not force and name in folder.manifest.files:
        return folder.holds(name, folder.manifest.files[name].sha256)
    if not same:
        folder.clear_scratch()
    folder.write_record(record)
    return False


def finish_one(folder: RunFolder, write: Callable[[], object]) -> None:
    """Write the one file of a run; the manifest knows of it before it is there.

    Raises:
        OutputError: it cannot be written.
    """
    folder.make_file(folder.name_of(folder.out), write, of="")
    folder.digests.save()
