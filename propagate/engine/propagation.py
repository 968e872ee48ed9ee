"""The recursion: each frame is labelled from the frames before it, and becomes one of them (Vondrick 3.3)."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import closing
from dataclasses import replace
from functools import cache

import torch
from torch import Tensor

from propagate.config import PropagateConfig
from propagate.encoders.features import FINER, FeatureExtractor, View, check_features
from propagate.encoders.protocol import Encoder
from propagate.engine.ahead import ahead
from propagate.engine.group import ObjectGroup, Seen, regrouped
from propagate.engine.pointer import Pointer, ran_out_of_memory
from propagate.engine.recursion import advance, by_frame, check_size
from propagate.engine.snapshot import Decoder, FrameState, Lookup
from propagate.errors import DeviceError
from propagate.labels.protocol import LabelType
from propagate.ops.grid import Grid
from propagate.values import Annotation, Frame, Prediction, Source


class Propagation:
    """Carries labels from frame to frame; holds the windows of its groups of objects and nothing else.

    Args:
        annotations: what a person gave; the result depends on the set, not on the order.
        label_type: the label type.
        encoder: features; already on its device.
        config: see `PropagateConfig`.
        device: where the tensors live.
    """

    def __init__(
        self,
        annotations: Sequence[Annotation],
        *,
        label_type: LabelType,
        encoder: Encoder,
        config: PropagateConfig,
        device: torch.device | str = "cpu",
    ) -> None:
        self.annotations = by_frame(annotations)
        self.decoder = Decoder(annotations, label_type=label_type, config=config, device=device)
        self.label_type, self.config, self.device = label_type, self.decoder.config, self.decoder.device
        self.encoder = encoder
        self.threads = torch.get_num_threads()
        check_features(encoder, config)  # refused now, not on the first frame
        self.features: FeatureExtractor | None = None  # known from the first frame on, as its size is
        self._search: Pointer | None = None
        self._begin()

    def _begin(self) -> None:
        """Let nothing be labelled yet."""
        self.groups: list[ObjectGroup] = []  # those annotated last come last
        self._centres: dict[int, Tensor] = {}
        self.decoder.annotated.clear()
        self._state: FrameState | None = None
        self._foreseen: dict[int, View] = {}

    def step(self, frame: Frame) -> Prediction:
        """Return the labels of the next frame.

        Raises:
            InputError: the frame's size differs from the frames before it.
            DeviceError: out of memory in the smallest chunks.
        """
        annotation = self.annotations.get(frame.index)
        for passed in [index for index in self._foreseen if index < frame.index]:
            del self._foreseen[passed]
        prediction, self._state = advance(self, frame, annotation=annotation, before=self._state)
        return prediction

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
        if annotation is not None:
            self._group(annotation)
        source: Source = "propagated" if annotation is None else "annotated"
        ids, grid = self.label_type.ids, seen.grid
        if self.groups:
            left = [group.labelled(seen, self.pointer, self._centres) for group in self.groups]
            state = FrameState.of_groups(frame.index, left, source=source, ids=ids, grid=grid)
        else:  # the annotation is empty, and so were those before it
            state = FrameState(frame.index, source, ids, grid, self.label_type.nothing(self.label_grid).to(self.device))
        if annotation is not None:
            self.decoder.annotated[frame.index] = state.labels_only()
        return state

    def _group(self, annotation: Annotation) -> None:
        self.groups = regrouped(self.groups, annotation, label_type=self.label_type, config=self.config)

    def _seen(self, frame: Frame) -> Seen:
        grid = self.measure(frame)
        return Seen(frame.index, self._view(frame), grid, {})

    def state(self) -> FrameState:
        """Return what the frame last stepped left behind, on the CPU.

        Raises:
            ValueError: no frame was stepped yet.
        """
        if self._state is None:
            raise ValueError("no frame was stepped yet, so that none left anything behind")
        return self._state.on("cpu")

    def restore(self, before: int, lookup: Lookup) -> frozenset[int]:
        """Take up the recursion before any frame; return the frames to show to `recall`, in order, before `step`.

        What follows is bit for bit what it would be had all frames before been stepped here.

        Args:
            before: index of the frame that is stepped next.
            lookup: finds the states of frames before it; it is asked for those that matter, once each.

        Raises:
            ValueError: a state's ids are not among the label type's.
        """
        self._begin()
        given = [index for index in sorted(self.annotations) if index < before]
        if not given:
            return frozenset()
        find = cache(lambda index: lookup(index).for_ids(self.label_type.ids).on(self.device))
        self._settle(find(given[0]).grid.video)
        for index in given:
            if find(index).entered:
                self._group(self.annotations[index])
                self.decoder.annotated[index] = find(index).labels_only()
        self._state = find(before - 1)
        for group in self.groups:
            group.restore(before, find, None if self.encoder.temporal else self._centres)
        return frozenset(index for group in self.groups for index in group.pending)

    @torch.inference_mode()
    def recall(self, frame: Frame) -> None:
        """Compute again the features of a frame that a restored state remembers."""
        seen = self._seen(frame)
        for group in self.groups:
            group.recall(seen, self.pointer)

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
