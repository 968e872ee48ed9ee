"""Which frames of a run are computed, which are only written again, and which stay as they are."""

from __future__ import annotations

import hashlib
import json
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from propagate.engine.group import ends_of, lacks
from propagate.engine.ways import WAYS, Computed, Way, are_fused, runs_of, ways_at
from propagate.runs.folder import RunFolder
from propagate.runs.manifest import FrameEntry
from propagate.runs.record import file_sha256
from propagate.runs.states import state_file
from propagate.values import Annotation, ObjectId

if TYPE_CHECKING:
    from propagate.labels.protocol import LabelType
    from propagate.runs.outputs import FrameFiles

KEEP, WRITE = 0, 1  # what is done with a frame's files
GAP = 8  # frames that stay between two that a way computes, up to which it computes them too: it looks back so far


class Keys:
    """Digests of all that the labels of a frame depend on: the run, and each object's annotated frames around it.

    Args:
        identity: of the run, without its labels.
        annotations: what a person gave.
        label_type: of the objects.
        direction: which ways labels go.
        first: index of the video's first frame that counts.
    """

    def __init__(
        self, identity: Any, annotations: Sequence[Annotation], *, label_type: LabelType, direction: str, first: int
    ) -> None:
        self._run = json.dumps(identity, sort_keys=True, default=str)
        self._annotations = {annotation.frame: annotation for annotation in annotations}
        self._digests = {index: _annotation_digest(one) for index, one in self._annotations.items()}
        self._frames = sorted(self._annotations)
        self._label_type, self._direction, self._first = label_type, direction, first
        self._known: dict[tuple[int, bool], Dependence] = {}

    def of(self, frame: int) -> str:
        """Return the key of a frame."""
        return self._about(frame).key

    def ways(self, frame: int) -> frozenset[Way]:
        """Return the ways on which labels come to a frame."""
        return self._about(frame).ways

    def fused(self, frame: int) -> bool:
        """Return whether an object's labels come to a frame on both ways."""
        return self._about(frame).fused

    @property
    def all(self) -> str:
        """A digest of the run and of all that was given."""
        whole = "".join(f"{index}{self._digests[index].hex()}" for index in self._frames)
        return hashlib.sha256((self._run + whole).encode()).hexdigest()

    def _about(self, frame: int) -> Dependence:
        given = frame in self._annotations
        place = bisect_right(self._frames, frame), given  # frames of one place depend on the same
        if place not in self._known:
            ends = ends_of(self._annotations, frame, label_type=self._label_type)
            ways = ways_at(ends, frame, given=given, direction=self._direction, first=self._first)
            told = [
                [name, *(None if one is None else [one, self._digests[one].hex()] for one in pair)]
                for name, pair in ends.items()
                if ("forward" in ways and pair[0] is not None) or ("backward" in ways and pair[1] is not None)
            ]
            own = self._digests[frame].hex() if given else ""
            if any(lacks(self._label_type, one) for one in self._annotations.values()):
                own += self.all  # what one lacks comes from others
            digest = hashlib.sha256((self._run + json.dumps(told) + own).encode()).hexdigest()
            self._known[place] = Dependence(digest, ways, are_fused(ends, frame, ways))
        return self._known[place]


@dataclass(frozen=True)
class Dependence:
    """What the labels of a frame depend on.

    Attributes:
        key: digest of it.
        ways: on which labels come to the frame.
        fused: whether an object's labels come on both.
    """

    key: str
    ways: frozenset[Way]
    fused: bool


def _annotation_digest(annotation: Annotation) -> bytes:
    array = np.ascontiguousarray(annotation.array)
    head = json.dumps([annotation.frame, list(annotation.ids), annotation.complete, str(array.dtype), array.shape])
    return hashlib.sha256(head.encode() + array.tobytes()).digest()


def ids_key(ids: Sequence[ObjectId]) -> str:
    """Return a digest of the ids that lines of results list."""
    return hashlib.sha256(json.dumps(list(ids)).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Plan:
    """What is done with each frame of a run.

    Attributes:
        first: index of the run's first frame.
        actions: KEEP or WRITE for each frame.
        missing: for each way, 1 for each frame of which it must be computed what it leaves behind.
        fuses: whether frames are written on which an object's labels come on both ways.
    """

    first: int
    actions: bytearray
    missing: Mapping[Way, bytearray]
    fuses: bool

    @property
    def kept(self) -> int:
        """How many frames stay as they are."""
        return self.actions.count(KEEP)

    @property
    def computed(self) -> Computed:
        """What the ways must compute."""
        return Computed({way: runs_of(wanted, self.first) for way, wanted in self.missing.items()}, self.fuses)

    @property
    def computes(self) -> bool:
        """Whether the network is needed."""
        return any(1 in frames for frames in self.missing.values())

    @property
    def last(self) -> int | None:
        """The last frame that must be looked at; None when all stay as they are."""
        at = self.actions.rfind(WRITE)
        return None if at < 0 else self.first + at

    def of(self, index: int) -> int:
        """Return what is done with a frame's files."""
        return self.actions[index - self.first]

    def write_from(self, index: int) -> None:
        """Let all frames from one on be looked at."""
        for at in range(max(0, index - self.first), len(self.actions)):
            self.actions[at] = max(self.actions[at], WRITE)


def make_plan(
    folder: RunFolder,
    frames: range,
    *,
    keys: Keys,
    ids: Sequence[ObjectId],
    absent: Mapping[int, Sequence[ObjectId]],
    files: Sequence[FrameFiles],
    anew: bool,
) -> Plan:
    """Return the plan of a run, from what lies in its folder: every file's content is compared with its digest.

    Args:
        folder: of the run.
        frames: all its frames.
        keys: of the frames.
        ids: of the label type.
        absent: frame -> the objects that a person said are absent from it.
        files: what is written for each frame.
        anew: compute all frames, whatever is there.
    """
    missing: dict[Way, bytearray] = {way: bytearray(len(frames)) for way in WAYS}
    actions = bytearray(len(frames))
    others = any(_lists_others(entry, ids) for entry in folder.manifest.frames())
    for at, index in enumerate(frames):
        for way in keys.ways(index):
            missing[way][at] = anew or others or not _is_there(folder, way, index, keys.of(index))
        entry = folder.manifest.frame(index)
        there = not anew and _is_written(folder, entry, keys.of(index), ids, absent.get(index, ()), files)
        actions[at] = KEEP if there else WRITE
    for way, wanted in missing.items():
        _close_gaps(wanted, [way in keys.ways(index) for index in frames])
        for at in range(len(frames)):
            if wanted[at]:
                actions[at] = WRITE
    fuses = any(action == WRITE and keys.fused(index) for index, action in zip(frames, actions, strict=True))
    return Plan(frames.start, actions, missing, fuses)


def _close_gaps(wanted: bytearray, possible: Sequence[bool]) -> None:
    """Want what lies between two frames that are wanted, where that is little."""
    last = None
    for at in range(len(wanted)):
        if wanted[at]:
            if last is not None and at - last - 1 <= GAP and all(possible[last:at]):
                wanted[last:at] = b"\1" * (at - last)
            last = at


def _is_there(folder: RunFolder, way: Way, index: int, key: str) -> bool:
    """Return whether what a frame leaves behind on one way is on disk, whole."""
    entry = folder.manifest.state(way, index)
    if entry is None or entry.key != key:
        return False
    path = state_file(folder.state, way, index)
    return path.is_file() and file_sha256(path) == entry.sha256


def _is_written(
    folder: RunFolder,
    entry: FrameEntry | None,
    key: str,
    ids: Sequence[ObjectId],
    absent: Sequence[ObjectId],
    files: Sequence[FrameFiles],
) -> bool:
    """Return whether the files of a frame are as they would be written."""
    if entry is None or (entry.key, entry.ids) != (key, ids_key(ids)):
        return False
    if set(entry.absent) != {str(name) for name in absent}:
        return False
    return all(is_whole(folder, entry, kind.name(str(entry.line["stem"]))) for kind in files)


def _lists_others(entry: FrameEntry, ids: Sequence[ObjectId]) -> bool:
    """Return whether a frame has objects that no label names any more: a state takes ids in, but lets none go."""
    return entry.ids != ids_key(ids) and not {thing["id"] for thing in entry.line["objects"]} <= set(ids)


def is_whole(folder: RunFolder, entry: FrameEntry, name: str) -> bool:
    """Return whether a file of a frame is as the run, or a person in its place, wrote it."""
    if folder.path_of(name).resolve() in folder.inputs:
        return True
    return folder.holds(name, entry.files.get(name)) or folder.holds(name, entry.kept.get(name))
