"""The two ways through a video: what frames leave behind forward and backward, and the labels that both give.

The way backward is the way forward through a video of which the frames are numbered backward, see `group.mirrored`.
What it leaves behind waits in a store until the way forward comes by, so that memory does not grow with the video.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Literal, Protocol, runtime_checkable

import numpy as np

from propagate.engine.ahead import Behind, ahead
from propagate.engine.fusion import Ends, Pair, fused, pairs, switches, turned
from propagate.engine.group import Around, mirrored, mirrored_annotations, mirrored_frame
from propagate.engine.propagation import Propagation
from propagate.engine.snapshot import Decoder, FrameState
from propagate.values import Annotation, Frame, ObjectId

Way = Literal["forward", "backward"]
WAYS: tuple[Way, Way] = ("forward", "backward")


@runtime_checkable
class Source(Protocol):
    """A video that can be read at any place, such as a `VideoReader`.

    Attributes:
        first, last: index of its first frame, and the index after its last.
    """

    first: int
    last: int

    def __iter__(self) -> Iterator[Frame]:
        """Yield all frames in order."""

    def part(self, first: int, last: int) -> Iterator[Frame]:
        """Yield the frames from one to before another."""

    def backward(self, first: int, last: int) -> Iterator[Frame]:
        """Yield the same frames, the last first."""

    def frame(self, index: int) -> Frame:
        """Return one frame."""


@dataclass(frozen=True)
class Left:
    """What a frame left behind on one way.

    Attributes:
        way: forward or backward.
        index: of the frame.
        state: in the way's own indices.
    """

    way: Way
    index: int
    state: FrameState


class Store(Protocol):
    """Keeps what frames left behind."""

    def keep(self, left: Left) -> None:
        """Take in what a frame left behind."""

    def left(self, way: Way, index: int) -> FrameState:
        """Return what a frame left behind on one way, in the way's own indices."""

    def any(self) -> FrameState:
        """Return what some frame left behind."""


@dataclass(frozen=True)
class Computed:
    """What is to be computed.

    Attributes:
        frames: of each way.
        fuses: whether labels are wanted of frames to which an object's come on both ways.
    """

    frames: Mapping[Way, Sequence[range]]
    fuses: bool


def ways_at(ends: Mapping[ObjectId, Around], frame: int, *, given: bool, direction: str, first: int) -> frozenset[Way]:
    """Return the ways on which labels come to a frame.

    Args:
        ends: the annotated frames of each object around the frame, as of `ends_of`.
        frame: its index.
        given: whether it is annotated.
        direction: which ways labels go.
        first: index of the video's first frame.
    """
    forward = direction != "backward" and any(start is not None for start, _ in ends.values())
    begins = given and (frame > first or not forward)  # frames before it are labelled from it
    backward = direction != "forward" and (begins or any(end is not None for _, end in ends.values()))
    return frozenset(way for way, there in (("forward", forward), ("backward", backward)) if there)  # type: ignore[misc]


def are_fused(ends: Mapping[ObjectId, Around], frame: int, ways: frozenset[Way]) -> bool:
    """Return whether an object's labels come to a frame on both ways; arguments as of `ways_at`."""
    return len(ways) == 2 and any(None not in pair and pair[0] != frame for pair in ends.values())


def runs_of(wanted: Sequence[int | bool], first: int) -> list[range]:
    """Return the runs of frames that are wanted, of a video that begins with frame `first`."""
    at = [index for index, want in enumerate(wanted, start=first) if want]
    starts = [index for place, index in enumerate(at) if place == 0 or at[place - 1] < index - 1]
    stops = [index + 1 for place, index in enumerate(at) if place == len(at) - 1 or at[place + 1] > index + 1]
    return [range(*pair) for pair in zip(starts, stops, strict=True)]


class Ways:
    """The two ways through one video.

    Args:
        source: the video.
        store: of what frames leave behind.
        computed: what is to be computed, the rest being in the store.
        ways: returns the ways on which labels come to a frame.
        decoder: of the labels.
        engine: returns the engine of a way, for annotations, pictures and shots in the way's own indices.
        see: what the engine is shown of a frame.

    Attributes:
        cuts: frames with which new shots begin, ascending; set before anything is computed.
    """

    def __init__(
        self,
        source: Source,
        store: Store,
        computed: Computed,
        *,
        ways: Callable[[int], frozenset[Way]],
        decoder: Decoder,
        engine: Callable[[Sequence[Annotation], Callable[[int], Frame], Callable[[int], int]], Propagation],
        see: Callable[[Frame], Frame],
    ) -> None:
        self.source, self.store, self.computed = source, store, computed
        self.ways, self.decoder, self.see = ways, decoder, see
        self.cuts: tuple[int, ...] = ()
        self._make = engine
        self._engines: dict[Way, Propagation] = {}
        self._switch: dict[Ends, Mapping[ObjectId, int]] = {}

    # Before the first frame is labelled.

    @property
    def _first(self) -> tuple[Way, ...]:
        """The ways that are gone before: where they are fused, both."""
        return WAYS[::-1] if self.computed.fuses else ("backward",)

    @property
    def steps(self) -> int:
        """How many frames `prepare` computes."""
        return sum(len(frames) for way in self._first for frames in self.computed.frames[way])

    def prepare(self) -> Generator[int, None, None]:
        """Compute what must be known before the first frame is labelled, yielding each frame's index as it is done."""
        for way in self._first:
            for frames in self.computed.frames[way]:
                with Behind(self.store.keep) as keeper:
                    yield from self._compute(way, frames, keeper)

    def _compute(self, way: Way, frames: range, keeper: Behind[Left]) -> Generator[int, None, None]:
        """Compute what some frames leave behind on one way."""
        engine, forward = self._engine(way), way == "forward"
        if frames.start > self.source.first if forward else frames.stop < self.source.last:
            self._restore(way, frames.start if forward else frames.stop - 1)
        read = self.source.part if forward else self.source.backward
        with closing(ahead(read(frames.start, frames.stop))) as decoded:
            seen = map(self.see, decoded)
            turned_ = seen if forward else map(mirrored_frame, seen)
            with closing(engine.foreseen(turned_, wanted=lambda _: True)) as coming:
                for frame in coming:
                    engine.advance(frame)
                    index = frame.index if forward else mirrored(frame.index)
                    keeper.put(Left(way, index, engine.state()))
                    yield index

    def _engine(self, way: Way) -> Propagation:
        """Return the engine of a way; that of the other is let go, for each has its window."""
        if way not in self._engines:
            given = list(self.decoder.annotations.values())
            if way == "forward":
                engine = self._make(given, lambda index: self.see(self.source.frame(index)), self.shot_of)
            else:
                engine = self._make(
                    mirrored_annotations(given),
                    lambda index: mirrored_frame(self.see(self.source.frame(mirrored(index)))),
                    lambda index: self.shot_of(mirrored(index)),
                )
            self._engines = {way: engine}
        return self._engines[way]

    def shot_of(self, index: int) -> int:
        """Return the number of a frame's shot."""
        return bisect_right(self.cuts, index)

    def _restore(self, way: Way, index: int) -> None:
        """Let the engine of a way go on at a frame."""
        engine = self._engine(way)
        if way == "forward":
            engine.restore(index, lambda before: self.store.left(way, before))
        else:
            engine.restore(mirrored(index), lambda before: self.store.left(way, mirrored(before)))

    # Frame by frame.

    @property
    def computes_forward(self) -> bool:
        """Whether the way forward is gone as frames are labelled: it was not gone before."""
        return not self.computed.fuses and bool(self.computed.frames["forward"])

    def frames(self) -> Generator[Frame, None, None]:
        """Yield the frames as the engine is shown them; they are decoded ahead, and encoded where it computes them."""
        with closing(ahead(self.source)) as decoded:
            seen = map(self.see, decoded)
            if not self.computes_forward:
                yield from seen
                return
            with closing(self._engine("forward").foreseen(seen, wanted=self._is_computed)) as frames:
                yield from frames

    def labels(self, frame: Frame, *, flush: Callable[[], None]) -> tuple[FrameState, Left | None]:
        """Return the labels of a frame, both ways fused, and what it left behind where that was computed only now.

        Args:
            frame: one of `frames`, of which not all need be asked for.
            flush: called before the store is read for frames that were computed only now.
        """
        index, left = frame.index, None
        if self.computes_forward and self._is_computed(index):
            if index > self.source.first and not self._is_computed(index - 1):
                flush()
                self._restore("forward", index)
            self._engine("forward").advance(frame)
            left = Left("forward", index, self._engine("forward").state())
        return self._labels(frame, left), left

    def _is_computed(self, index: int) -> bool:
        return any(index in frames for frames in self.computed.frames["forward"])

    def _labels(self, frame: Frame, left: Left | None) -> FrameState:
        index, kind = frame.index, self.decoder.label_type
        ways = self.ways(index)
        if not ways:
            grid = self._engine("forward").measure(frame) if self.computes_forward else self.store.any().grid
            return FrameState(index, "none", kind.ids, grid)
        forward = None
        if left is not None:
            forward = left.state.on(self.decoder.device)
        elif "forward" in ways:
            forward = self.state("forward", index)
        backward = self.state("backward", index) if "backward" in ways else None
        if forward is not None and backward is not None:
            self._decide(forward)
        return self._flagged(
            fused(forward, backward, switch=self._switch, pairs=self._pairs(forward, backward), label_type=kind)
        )

    def _pairs(self, forward: FrameState | None, backward: FrameState | None) -> list[Pair]:
        """Return the labels of a frame that come on both ways; over a cut none comes where the other end is nearer."""
        if forward is None or backward is None:
            return []
        found = pairs(forward, backward, label_type=self.decoder.label_type, trace=self.decoder.trace)
        return [self._within_shot(pair) for pair in found]

    def _within_shot(self, pair: Pair) -> Pair:
        own, start, end = (self.shot_of(index) for index in (pair.index, *pair.ends))
        if start == end or own not in (start, end):
            return pair
        share = np.full_like(pair.share, float(own == start))
        return replace(pair, share=share, overlap=np.ones_like(pair.overlap))

    def _flagged(self, state: FrameState) -> FrameState:
        """Return labels with the flag "cut" where nothing was given of an object in the frame's shot."""
        if not self.cuts:
            return state
        own = self.shot_of(state.index)
        groups = []
        for group in state.groups:
            known = own in {self.shot_of(index) for index in (group.start, group.end) if index is not None}
            flags = {} if known else {name: (*group.flags.get(name, ()), "cut") for name in group.ids}
            groups.append(replace(group, flags={**group.flags, **flags}))
        return replace(state, groups=tuple(groups))

    def state(self, way: Way, index: int) -> FrameState:
        """Return what a frame left behind on one way, in the video's indices, with all ids there are now."""
        state = self.store.left(way, index).for_ids(self.decoder.label_type.ids).on(self.decoder.device)
        return state if way == "forward" else turned(state)

    def _decide(self, forward: FrameState) -> None:
        """Find where the ways are exchanged between the annotated frames around a frame, where they disagree."""
        for group in forward.groups:
            if group.start is None or group.end is None or group.start == forward.index:
                continue
            ends = group.start, group.end
            if ends not in self._switch:
                self._switch[ends] = switches(pair for pair in self._between(ends) if pair.ends == ends)

    def _between(self, ends: Ends) -> Iterator[Pair]:
        """Yield the labels by both ways of all frames between two annotated ones."""
        for index in range(ends[0] + 1, ends[1]):
            forward, backward = (self.state(way, index) for way in WAYS)
            if forward.entered and backward.entered:
                yield from self._pairs(forward, backward)
