"""Which frames of a run are computed, which are only written again, and which stay as they are."""

from __future__ import annotations

import hashlib
import json
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from propagate.runs.folder import RunFolder
from propagate.runs.manifest import FrameEntry
from propagate.runs.record import file_sha256
from propagate.runs.states import state_file
from propagate.values import Annotation, ObjectId

if TYPE_CHECKING:
    from propagate.runs.outputs import FrameFiles

KEEP, WRITE, COMPUTE = 0, 1, 2  # what is done with a frame


class Keys:
    """Digests of all that the labels of a frame depend on: the run, and what a person gave up to that frame.

    Args:
        identity: of the run, without its labels.
        annotations: what a person gave.
    """

    def __init__(self, identity: Any, annotations: Sequence[Annotation]) -> None:
        digest = hashlib.sha256(json.dumps(identity, sort_keys=True, default=str).encode())
        self._from: list[tuple[int, str]] = [(-1, digest.hexdigest())]  # frame -> key from there on
        for annotation in sorted(annotations, key=lambda one: one.frame):
            digest.update(_annotation_digest(annotation))
            self._from.append((annotation.frame, digest.hexdigest()))

    def of(self, frame: int) -> str:
        """Return the key of a frame."""
        return self._from[bisect_right(self._from, frame, key=lambda entry: entry[0]) - 1][1]

    @property
    def last(self) -> str:
        """The key of the last frame."""
        return self._from[-1][1]


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
        actions: KEEP, WRITE or COMPUTE for each frame.
    """

    first: int
    actions: bytearray

    @property
    def kept(self) -> int:
        """How many frames stay as they are."""
        return self.actions.count(KEEP)

    @property
    def computed(self) -> range:
        """The frames that the network sees: from the first to the last that must be computed."""
        at = self.actions.find(COMPUTE)
        return range(0) if at < 0 else range(self.first + at, self.first + self.actions.rfind(COMPUTE) + 1)

    @property
    def last(self) -> int | None:
        """The last frame that must be looked at; None when all stay as they are."""
        at = max(self.actions.rfind(WRITE), self.actions.rfind(COMPUTE))
        return None if at < 0 else self.first + at

    def of(self, index: int) -> int:
        """Return what is done with a frame."""
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

    What lies between two frames that must be computed is computed too.

    Args:
        folder: of the run.
        frames: all its frames.
        keys: of the frames.
        ids: of the label type.
        absent: frame -> the objects that a person said are absent from it.
        files: what is written for each frame.
        anew: compute all frames, whatever is there.
    """
    actions = bytearray(
        COMPUTE
        if anew
        else _action(folder, folder.manifest.frame(index), keys.of(index), ids, absent.get(index, ()), files)
        for index in frames
    )
    plan = Plan(frames.start, actions)
    for index in plan.computed:
        actions[index - frames.start] = COMPUTE
    return plan


def _action(
    folder: RunFolder,
    entry: FrameEntry | None,
    key: str,
    ids: Sequence[ObjectId],
    absent: Sequence[ObjectId],
    files: Sequence[FrameFiles],
) -> int:
    if entry is None or entry.key != key or _lists_others(entry, ids):
        return COMPUTE
    path = state_file(folder.state, entry.frame)
    if not path.is_file() or file_sha256(path) != entry.state:
        return COMPUTE
    if set(entry.absent) != {str(name) for name in absent}:
        return WRITE
    names = [kind.name(str(entry.line["stem"])) for kind in files]
    return KEEP if entry.ids == ids_key(ids) and all(is_whole(folder, entry, name) for name in names) else WRITE


def _lists_others(entry: FrameEntry, ids: Sequence[ObjectId]) -> bool:
    """Return whether a frame has objects that no label names any more: a state takes ids in, but lets none go."""
    return entry.ids != ids_key(ids) and not {thing["id"] for thing in entry.line["objects"]} <= set(ids)


def is_whole(folder: RunFolder, entry: FrameEntry, name: str) -> bool:
    """Return whether a file of a frame is as the run, or a person in its place, wrote it."""
    if folder.path_of(name).resolve() in folder.inputs:
        return True
    return folder.holds(name, entry.files.get(name)) or folder.holds(name, entry.kept.get(name))
