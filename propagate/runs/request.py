"""What every command is told about its video, its place and its settings, and how a run begins from that."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from propagate.runs.folder import Place
from propagate.runs.inputs import default_out, parse_place
from propagate.runs.outputs import Sink
from propagate.runs.record import identify_video, run_record
from propagate.runs.run import Run, never, same
from propagate.runs.settings import LoadedModel, SettingLayers, load_model
from propagate.values import Annotation, Frame
from propagate.video import VideoReader, read_video

if TYPE_CHECKING:
    from propagate.labels.protocol import LabelType


@dataclass(frozen=True)
class Request:
    """What is common to all commands that carry labels through one video.

    Attributes:
        video: a file, a folder of images, or "-".
        out: where results go; called after the video when None.
        start: the first frame, or seconds such as "12.5s".
        end: where to stop, exclusive.
        force: replace the files of another run of ours.
        layers: what was said of the settings.
        stop: asked after every frame; a signal's number stops the run.
    """

    video: str
    out: Path | None = None
    start: str | None = None
    end: str | None = None
    force: bool = False
    layers: SettingLayers = field(default_factory=SettingLayers)
    stop: Callable[[], int | None] = never

    def open_video(self, *, luma: bool = False) -> VideoReader:
        """Return a reader of the asked range.

        Raises:
            InputError: nothing there can be read as video.
            ConfigError: the range is malformed or holds no frame.
        """
        return read_video(self.video, start=parse_place(self.start), end=parse_place(self.end), luma=luma)

    def load_model(self, *, luma: bool = False) -> LoadedModel:
        """Return the settings and the network, as `settings.load_model`."""
        return load_model(self.layers, luma=luma)

    def out_or(self, ending: str) -> Path:
        """Return `out`, or the video's stem with an ending such as "masks" or "colorized.mp4"."""
        return self.out or default_out(self.video, ending)


@dataclass(frozen=True)
class Work:
    """What one command makes of a request.

    Attributes:
        command: its name.
        annotations: what is carried, within the range.
        label_type: the label type.
        labels: `fingerprint.identify_files` of the label files.
        options: the command's own options that change what is written.
        described: what was recognised, for run.yaml: `ids`, `colors`, `forms`.
        notes: lines for the user.
        sinks: makes what writes the results, called once the place is ours.
        see: what the engine is shown of a frame.
    """

    command: str
    annotations: Sequence[Annotation]
    label_type: LabelType
    labels: Sequence[Mapping[str, Any]]
    options: Mapping[str, Any]
    described: Mapping[str, Any]
    notes: tuple[str, ...]
    sinks: Callable[[], Sequence[Sink]]
    see: Callable[[Frame], Frame] = same


def begin(request: Request, work: Work, *, reader: VideoReader, place: Place, settled: LoadedModel) -> Run:
    """Return the run, its place claimed and its state taken up.

    Raises:
        ConflictError: something else is in its place.
        OutputError: the place cannot be written.
    """
    record = run_record(
        work.command,
        settled.config,
        inputs={
            "video": identify_video(reader.path, name=request.video),
            "labels": [dict(label) for label in work.labels],
            "weights": settled.weights,
        },
        options={"start": reader.first, "end": reader.last, **work.options},
        described=work.described,
    )
    if place.claim(record, force=request.force) == "finished":
        return Run(reader, None, place, notes=work.notes, done=len(reader))
    from propagate.engine.propagation import Propagation

    propagation = Propagation(
        work.annotations,
        label_type=work.label_type,
        encoder=settled.encoder,
        config=settled.config,
        device=settled.device,
    )
    run = Run(reader, propagation, place, work.sinks(), notes=work.notes, stop=request.stop, see=work.see)
    run.take_up()
    return run
