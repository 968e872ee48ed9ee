"""The recursion: each frame is labelled from the frames before it, and becomes one of them (Vondrick 3.3)."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import closing
from dataclasses import replace

import torch

from propagate.config import PropagateConfig
from propagate.encoders.features import FINER, FeatureExtractor, View, check_features
from propagate.encoders.protocol import Encoder
from propagate.engine.ahead import ahead
from propagate.engine.group import ObjectGroup, Seen, by_ends, ends_of
from propagate.engine.pointer import Pointer, ran_out_of_memory
from propagate.engine.recursion import Visibility, advance, by_frame, check_size
from propagate.engine.snapshot import Decoder, FrameState, Lookup
from propagate.errors import DeviceError
from propagate.labels.protocol import LabelType, speaks_for
from propagate.ops.grid import Grid
from propagate.values import Annotation, Frame, ObjectId, Prediction, Source

Pictures = Callable[[int], Frame]  # from the index of a frame to the frame


class Propagation:
    """Carries labels from frame to frame; holds the windows of its groups of objects and nothing else.

    Args:
        annotations: what a person gave; the result depends on the set, not on the order.
        label_type: the label type.
        encoder: features; already on its device.
        config: see `PropagateConfig`.
        device: where the tensors live.
        pictures: finds any frame of the video, so that an annotated frame is looked at before it comes; None where
            frames are seen once, in order.
        shot_of: returns the number of a frame's shot; nothing recent is carried from one shot to another.
    """

    def __init__(
        self,
        annotations: Sequence[Annotation],
        *,
        label_type: LabelType,
        encoder: Encoder,
        config: PropagateConfig,
        device: torch.device | str = "cpu",
        pictures: Pictures | None = None,
        shot_of: Callable[[int], int] = lambda _: 0,
    ) -> None:
        self.annotations = by_frame(annotations)
        self.decoder = Decoder(annotations, label_type=label_type, config=config, device=device)
        self.label_type, self.config, self.device = label_type, self.decoder.config, self.decoder.device
        self.encoder, self.pictures, self.shot_of = encoder, pictures, shot_of
        self.threads = torch.get_num_threads()
        check_features(encoder, config)  # refused now, not on the first frame
        self.features: FeatureExtractor | None = None  # known from the first frame on, as its size is
        self._search: Pointer | None = None
        self._begin()

    def _begin(self) -> None:
        """Let nothing be labelled yet."""
        self.groups: list[ObjectGroup] = []  # those annotated last come last
        self._state: FrameState | None = None
        self._visible = Visibility(self.annotations, self.label_type)
        self._foreseen: dict[int, View] = {}

    def step(self, frame: Frame) -> Prediction:
        """Return the labels of the next frame.

        Raises:
            InputError: the frame's size differs from the frames before it.
            DeviceError: out of memory in the smallest chunks.
        """
        state = self.advance(frame)
        prediction = self.decoder.decode(frame, replace(state, last=self._visible.before(frame.index)))
        self._visible.add(prediction.frame.index, {one.id: one.visible for one in prediction.objects})
        return prediction

    def advance(self, frame: Frame) -> FrameState:
        """Return what the next frame leaves behind, which nobody needs to see; raises as `step`."""
        for passed in [index for index in list(self._foreseen) if index < frame.index]:  # another thread adds to it
            del self._foreseen[passed]
        self._state = advance(self, frame, annotation=self.annotations.get(frame.index), before=self._state)
        return self._state

    def foreseen(self, frames: Iterable[Frame], *, wanted: Callable[[int], bool]) -> Generator[Frame, None, None]:
        """Yield frames, each encoded while the caller is busy with the frame before it: both have half of the threads.

        Args:
            frames: in order.
            wanted: whether a frame of this index will be stepped or recalled.
        """
        share = self.threads // 2
        if not share or self.device.type != "cpu":
            yield from frames
            return
        torch.set_num_threads(self.threads - share)
        try:
            with closing(ahead(self._encoded(frames, wanted, threads=share), depth=1)) as coming:
                yield from coming
        finally:
            torch.set_num_threads(self.threads)

    @torch.inference_mode()
    def _encoded(
        self, frames: Iterable[Frame], wanted: Callable[[int], bool], *, threads: int
    ) -> Generator[Frame, None, None]:
        """Yield frames once they are encoded, where labels can come to them."""
        torch.set_num_threads(threads)
        first = min(self.annotations, default=math.inf)
        for frame in frames:
            if first <= frame.index and wanted(frame.index) and not frame.undecodable:
                self.measure(frame)
                self._foreseen[frame.index] = self._view(frame)
            yield frame

    @property
    def ready(self) -> bool:
        """Whether an object was annotated."""
        return bool(self.groups)

    def decode(self, frame: Frame, state: FrameState) -> Prediction:
        """Return the prediction of what a frame left behind, the annotated frames before it being known."""
        return self.decoder.decode(frame, state)

    def labelled(self, frame: Frame, annotation: Annotation | None) -> FrameState:
        """Return what a frame leaves behind, each group labelled for itself."""
        seen = self._seen(frame)
        begun: list[ObjectGroup] = []
        if annotation is not None:
            begun = self._started(annotation)
            if not any(group.lacks for group in begun):
                self._leave({name for group in begun for name in group.ids})
        left = [(group, group.labelled(seen, self.pointer)) for group in self.groups]
        for group in begun:
            predicted = next((state.soft for _, state in left), None) if group.lacks else None
            left.append((group, group.begin(seen, self._beyond(group), self.pointer, predicted=predicted)))
        if any(group.lacks for group in begun):
            left = left[-len(begun) :]  # the others were wanted for what it lacks
        left.sort(key=lambda pair: pair[0].order)
        self.groups = [group for group, _ in left]
        source: Source = "propagated" if annotation is None else "annotated"
        ids, grid = self.label_type.ids, seen.grid
        if left:
            return FrameState.of_groups(frame.index, [state for _, state in left], source=source, ids=ids, grid=grid)
        nothing = self.label_type.nothing(self.label_grid).to(self.device)  # the annotation is empty, as those before
        return FrameState(frame.index, source, ids, grid, nothing)

    def _started(self, annotation: Annotation) -> list[ObjectGroup]:
        """Return the groups of the objects that an annotation speaks for, which start from it."""
        ends = ends_of(self.annotations, annotation.frame, label_type=self.label_type)
        named = speaks_for(self.label_type, annotation)
        found = by_ends({name: ends[name] for name in named})
        return [self._group(ids, annotation.frame, end) for (_, end), ids in found.items()]

    def _leave(self, ids: set[ObjectId]) -> None:
        """Let groups go on without some objects."""
        for group in self.groups:
            group.ids = tuple(name for name in group.ids if name not in ids)
        self.groups = [group for group in self.groups if group.ids]

    def _beyond(self, group: ObjectGroup) -> Seen | None:
        return None if group.end is None else self._seen_again(group.end.frame)

    def _seen_again(self, index: int) -> Seen | None:
        """Return a frame of the video, wherever it is; None where that cannot be had."""
        if self.pictures is None:
            return None
        frame = self.pictures(index)
        return None if frame.undecodable else self._seen(frame)

    def _seen(self, frame: Frame) -> Seen:
        grid = self.measure(frame)
        return Seen(frame.index, self._view(frame), grid, self.shot_of(frame.index))

    def state(self) -> FrameState:
        """Return what the frame last stepped left behind, on the CPU.

        Raises:
            ValueError: no frame was stepped yet.
        """
        if self._state is None:
            raise ValueError("no frame was stepped yet, so that none left anything behind")
        return self._state.on("cpu")

    def restore(self, before: int, lookup: Lookup) -> None:
        """Take up the recursion before any frame, of which the features in the window are computed again.

        The states that follow are bit for bit what they would be had all frames before been stepped here; what `step`
        says of objects that are gone or back is not, for who was visible is in no state.

        Args:
            before: index of the frame that is stepped next.
            lookup: finds the states of frames before it; those that are annotated could be decoded.

        Raises:
            ValueError: a state's ids are not among the label type's, or there are no pictures to look at again.
        """
        self._begin()
        ends = ends_of(self.annotations, before - 1, label_type=self.label_type)
        if all(start is None for start, _ in ends.values()):
            return
        if self.pictures is None:
            raise ValueError("frames must be looked at again, but there are no pictures")
        views: dict[int, Seen | None] = {}

        def find(index: int) -> FrameState:
            return lookup(index).for_ids(self.label_type.ids).on(self.device)

        def see(index: int) -> Seen | None:
            if index not in views:
                views[index] = self._seen_again(index)
            return views[index]

        self._state = find(before - 1)
        self._settle(self._state.grid.video)
        for (start, end), ids in by_ends(ends).items():
            if start is not None:
                group = self._group(ids, start, end)
                group.restore(before, find, see, self.pointer)
                self.groups.append(group)
        self.groups.sort(key=lambda group: group.order)

    def _group(self, ids: tuple[ObjectId, ...], start: int, end: int | None) -> ObjectGroup:
        given, beyond = self.annotations[start], None if end is None else self.annotations[end]
        return ObjectGroup(ids, given, beyond, label_type=self.label_type, config=self.config)

    def measure(self, frame: Frame) -> Grid:
        """Return the features' grid, settled on the first frame; hold every later one to its size."""
        grid = self._settle(frame.size)
        check_size(frame, grid.video)
        return grid

    def _settle(self, size: tuple[int, int]) -> Grid:
        """Return the features' grid for frames of a size, made for the first that is asked for."""
        if self.features is None:
            label_type = self.label_type
            self.features = FeatureExtractor(
                self.encoder, self.config, size, device=self.device, luma_only=label_type.sees_luma
            )
            skips = label_type.kind == "probability"
            scaled = self.config.label_scale in (1, FINER) and self.config.topk is not None
            refines = skips and scaled and self.features.refines and self._wants_finer()
            if refines:
                self.config = self.decoder.config = replace(self.config, label_scale=FINER)
            self._search = Pointer(
                self.features, self.config, reach=label_type.reach, skips=skips, refines=refines, threads=self.threads
            )
        return self.features.grid

    def _wants_finer(self) -> bool:
        """Return whether finer cells pay for what is annotated first: one grid serves all objects of a run."""
        first = self.annotations[min(self.annotations)] if self.annotations else None
        return first is not None and self.label_type.wants_finer(first, self.grid)

    @property
    def grid(self) -> Grid:
        """The grid of the features."""
        assert self.features is not None, "known from the first frame on"
        return self.features.grid

    @property
    def label_grid(self) -> Grid:
        """The grid of the labels: the features' grid, or sub-cells of it."""
        return self.grid.finer(self.config.label_scale)

    @property
    def pointer(self) -> Pointer:
        """What points into the windows."""
        assert self._search is not None, "known from the first frame on"
        return self._search

    def _view(self, frame: Frame) -> View:
        assert self.features is not None
        if (known := self._foreseen.pop(frame.index, None)) is not None:
            return known
        try:
            return self.features.view(frame.rgb)
        except RuntimeError as error:
            if not ran_out_of_memory(error):
                raise
            raise DeviceError("out of memory while encoding a frame", hint="use a smaller --size") from error
