"""The engine in one call: frames and annotations in, a prediction per frame out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from propagate.config import PropagateConfig, resolve
from propagate.encoders.features import device_of
from propagate.encoders.protocol import Encoder
from propagate.engine.ahead import ahead
from propagate.engine.group import Around, ends_of
from propagate.engine.propagation import Propagation
from propagate.engine.recursion import Visibility, by_frame
from propagate.engine.snapshot import FrameState
from propagate.engine.ways import WAYS, Computed, Left, Source, Way, Ways, are_fused, runs_of, ways_at
from propagate.errors import OutputError
from propagate.labels import LABEL_TYPES
from propagate.labels.protocol import LabelType
from propagate.values import Annotation, Frame, ObjectId, Prediction


def run(
    frames: Iterable[Frame],
    annotations: Sequence[Annotation],
    *,
    label_type: LabelType,
    encoder: Encoder,
    config: PropagateConfig | None = None,
) -> Iterator[Prediction]:
    """Yield a prediction per frame; frames are decoded ahead, and only the reference window is held.

    Args:
        frames: in order, such as `read_video(...)`. Of other iterables, which are seen once, labels only go forward.
        annotations: what is known of some of the frames; one of frame 0 is the common case.
        label_type: the label type, from `load_label_type`.
        encoder: from `load_encoder`; labels live on its device, or on that of `config` where it has no tensors.
        config: the settings; the encoder's preset when None.

    Raises:
        InputError: the frames change their size.
        DeviceError: the device is missing, or out of memory.
        OutputError: there is no room for what waits on the way backward, in the folder of temporary files.
    """
    from propagate.device import choose_device, use_threads

    config = config or resolve(encoder.preset)
    device = device_of(encoder) or choose_device(config.device)
    use_threads(config.threads)
    make = partial(Propagation, label_type=label_type, encoder=encoder, config=config, device=device)
    if isinstance(frames, Source):
        yield from _both_ways(frames, annotations, make, direction=config.direction)
        return
    propagation = make(annotations)
    with closing(ahead(frames)) as decoded, closing(propagation.foreseen(decoded, wanted=lambda _: True)) as coming:
        for frame in coming:
            yield propagation.step(frame)


def _both_ways(
    source: Source, annotations: Sequence[Annotation], make: Callable[..., Propagation], *, direction: str
) -> Iterator[Prediction]:
    """Yield a prediction per frame of a video that can be read at any place."""
    engine = make(annotations)
    kind, decoder = engine.label_type, engine.decoder
    given = by_frame(annotations)

    @cache
    def ends(index: int) -> Mapping[ObjectId, Around]:
        return ends_of(given, index, label_type=kind)

    def ways(index: int) -> frozenset[Way]:
        return ways_at(ends(index), index, given=index in given, direction=direction, first=source.first)

    every = range(source.first, source.last)
    computed = Computed(
        {way: runs_of([way in ways(index) for index in every], every.start) for way in WAYS},
        any(are_fused(ends(index), index, ways(index)) for index in every),
    )
    visible = Visibility(given, kind)
    with TemporaryDirectory(prefix="propagate-") as folder:
        both = Ways(
            source,
            Spool(Path(folder)),
            computed,
            ways=ways,
            decoder=decoder,
            engine=lambda given, pictures, _: make(given, pictures=pictures),
            see=lambda frame: frame,
        )
        for _ in both.prepare():
            pass
        with closing(both.frames()) as frames:
            for frame in frames:
                labels, _ = both.labels(frame, flush=lambda: None)
                prediction = decoder.decode(frame, replace(labels, last=visible.before(frame.index)))
                visible.add(frame.index, {one.id: one.visible for one in prediction.objects})
                yield prediction


class Spool:
    """What frames left behind, in a folder of temporary files.

    Args:
        folder: that is empty.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def keep(self, left: Left) -> None:
        """Take in what a frame left behind.

        Raises:
            OutputError: there is no room.
        """
        path = self._file(left.way, left.index)
        try:
            torch.save(left.state, path)
        except (OSError, RuntimeError) as error:
            raise OutputError(f"{path}: cannot be written: {error}") from error

    def left(self, way: Way, index: int) -> FrameState:
        """Return what a frame left behind on one way, in the way's own indices."""
        state: FrameState = torch.load(self._file(way, index), weights_only=False)  # of our own
        return state

    def any(self) -> FrameState:
        """Return what some frame left behind."""
        state: FrameState = torch.load(next(iter(self._folder.iterdir())), weights_only=False)
        return state

    def _file(self, way: Way, index: int) -> Path:
        return self._folder / f"{way}-{index}.pt"


def load_label_type(name: str, about: object = None) -> LabelType:
    """Return a label type by name.

    Args:
        name: an entry of `LABEL_TYPES`: masks, keypoints, colors, texture or maps.
        about: what the labels are: the ids of all objects (masks), the names of all points (keypoints), the RGBA paint
            (texture), the planes (maps); nothing for colors.

    Raises:
        ConfigError: there is no such label type.
        ValueError: `about` does not fit it.
    """
    given = () if about is None else (tuple(about) if isinstance(about, list | tuple) else about,)
    label_type: LabelType = LABEL_TYPES[name](*given)
    return label_type
