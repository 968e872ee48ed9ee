"""What the labels of a frame depend on, and which frames each way computes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection
from pathlib import Path

import numpy as np
import pytest

from propagate.engine.ways import WAYS, Way, runs_of
from propagate.labels.colors import ColorLabels
from propagate.labels.keypoints import KeypointLabels
from propagate.labels.masks import MaskLabels
from propagate.runs.folder import RunFolder
from propagate.runs.manifest import FrameEntry, StateEntry
from propagate.runs.plan import GAP, KEEP, WRITE, Keys, Plan, ids_key, make_plan
from propagate.runs.states import state_file
from propagate.values import Annotation

KIND = MaskLabels((1, 2))
A, B = 1, 2


def mask(frame: int, *ids: int, side: int = 2, complete: bool = False) -> Annotation:
    """Return an annotation that shows some objects, each in its own row."""
    array = np.zeros((8, 8), np.int64)
    for name in ids:
        array[name, :side] = name
    return Annotation(frame, array, ids, complete=complete)


def keys_of(*annotations: Annotation, direction: str = "both", first: int = 0, identity: object = "run") -> Keys:
    return Keys(identity, annotations, label_type=KIND, direction=direction, first=first)


def changed(before: Keys, after: Keys, count: int = 12) -> list[int]:
    """Return the frames whose keys differ."""
    return [index for index in range(count) if before.of(index) != after.of(index)]


def ways_of(keys: Keys, count: int = 10) -> str:
    """Return for each frame f, b, 2 or ., for the ways on which labels come to it."""
    letters = {frozenset(): ".", frozenset({"forward"}): "f", frozenset({"backward"}): "b", frozenset(WAYS): "2"}
    return "".join(letters[keys.ways(index)] for index in range(count))


# Keys.


def test_a_changed_annotation_changes_its_objects_span_and_no_more() -> None:
    others = [mask(0, A, B), mask(6, A), mask(9, B)]
    before, after = (keys_of(*others, mask(3, B, side=side)) for side in (2, 3))
    assert changed(before, after) == list(range(9))  # from B's annotated frame before it up to the next one
    assert changed(keys_of(*others, mask(3, B)), before) == []


@pytest.mark.parametrize(
    ("frame", "span"), [(1, range(4)), (6, range(4, 8)), (11, range(8, 12))], ids=["before", "between", "after"]
)
def test_an_annotation_more_changes_the_span_in_which_it_falls(frame: int, span: range) -> None:
    given = [mask(4, A), mask(8, A)]
    assert changed(keys_of(*given), keys_of(*given, mask(frame, A))) == list(span)


def test_an_annotation_of_one_object_changes_no_key_beyond_its_own_ends() -> None:
    given = [mask(0, A, B), mask(5, A, B), mask(10, A, B)]
    assert changed(keys_of(*given), keys_of(*given, mask(7, B))) == [5, 6, 7, 8, 9]


def test_equal_annotations_are_equal_keys_in_any_order() -> None:
    given = [mask(0, A), mask(3, B), mask(6, A, B)]
    one, other = keys_of(*given), keys_of(*given[::-1])
    assert changed(one, other) == []
    assert one.all == other.all
    assert changed(one, keys_of(*given, identity="another")) == list(range(12))
    assert keys_of(*given, identity="another").all != one.all


@pytest.mark.parametrize(
    "other",
    [mask(4, A, side=3), mask(4, A, complete=True), mask(4, A, B), mask(5, A)],
    ids=["pixels", "complete", "ids", "frame"],
)
def test_all_that_an_annotation_says_counts(other: Annotation) -> None:
    one, two = keys_of(mask(0, A), mask(4, A)), keys_of(mask(0, A), other)
    assert {1, 2, 3, 4, 6} <= set(changed(one, two))
    assert one.all != two.all


def test_a_complete_annotation_ends_every_object() -> None:
    given = [mask(0, A, B), mask(10, A, B)]
    assert changed(keys_of(*given), keys_of(*given, mask(5, A, complete=True))) == list(range(10))


def test_frames_between_the_same_annotated_frames_depend_on_the_same() -> None:
    keys = keys_of(mask(2, A), mask(6, A))
    assert len({keys.of(index) for index in (3, 4, 5)}) == 1
    assert len({keys.of(index) for index in (1, 3, 7, 2, 6)}) == 5


@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_what_no_label_comes_from_does_not_count(direction: str) -> None:
    one, two = (keys_of(mask(4, A, side=side), direction=direction) for side in (2, 3))
    assert changed(one, two) == list(range(4, 12) if direction == "forward" else range(5))


def test_a_picture_speaks_for_all() -> None:
    kind = ColorLabels()
    one, two = (
        Keys(0, [Annotation(index, np.full((8, 8, 3), shade, np.uint8), kind.ids) for index in (0, 4, 8)],
             label_type=kind, direction="both", first=0)
        for shade in (1, 2)
    )  # fmt: skip
    assert changed(one, two) == list(range(12))


def test_each_point_has_its_own_ends() -> None:
    kind, nowhere = KeypointLabels(("a", "b")), (np.nan, np.nan)

    def keys(x: float) -> Keys:
        places = {0: [(1, 1), (2, 2)], 4: [nowhere, (x, 3)], 8: [nowhere, (3, 3)]}
        given = [Annotation(index, np.array(rows, float), kind.ids) for index, rows in places.items()]
        return Keys(0, given, label_type=kind, direction="both", first=0)

    assert changed(keys(1.0), keys(2.0)) == list(range(8))


# Ways.


@pytest.mark.parametrize(
    ("direction", "frames", "wanted"),
    [
        ("both", [0], "ffffffffff"),  # nothing lies before it
        ("both", [3], "bbb2ffffff"),
        ("both", [3, 6], "bbb2222fff"),
        ("both", [0, 9], "2222222222"),
        ("forward", [3, 6], "...fffffff"),
        ("backward", [3, 6], "bbbbbbb..."),
        ("backward", [0], "b........."),
    ],
)
def test_ways_on_which_labels_come(direction: str, frames: list[int], wanted: str) -> None:
    assert ways_of(keys_of(*(mask(index, A) for index in frames), direction=direction)) == wanted


def test_nothing_lies_before_the_first_frame_of_a_part() -> None:
    assert ways_of(keys_of(mask(3, A), first=3))[3:] == "fffffff"


def test_frames_are_fused_between_two_annotated_frames_of_one_object() -> None:
    def fused(*annotations: Annotation, direction: str = "both") -> list[int]:
        keys = keys_of(*annotations, direction=direction)
        return [index for index in range(10) if keys.fused(index)]

    assert fused(mask(2, A), mask(6, A)) == [3, 4, 5]
    assert fused(mask(2, A), mask(6, B)) == []  # both ways come, to different objects
    assert fused(mask(2, A), mask(4, B), mask(6, A)) == [3, 4, 5]
    assert fused(mask(2, A), mask(4, A), mask(6, A)) == [3, 5]
    assert fused(mask(2, A), mask(6, A), direction="forward") == []
    assert ways_of(keys_of(mask(2, A), mask(6, B))) == "bb22222fff"


# The plan.

Folder = Callable[..., RunFolder]


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """Return a function that makes the folder of a run of which all is done."""

    def make(keys: Keys, count: int, *, lost: Collection[tuple[Way, int]] = ()) -> RunFolder:
        made = RunFolder.folder(tmp_path / "out")
        made.state.mkdir(parents=True)
        for index in range(count):
            for way in keys.ways(index):
                path, data = state_file(made.state, way, index), f"{way}{index}".encode()
                path.parent.mkdir(exist_ok=True)
                if (way, index) not in lost:
                    path.write_bytes(data)
                made.manifest.add_state(StateEntry(index, way, keys.of(index), hashlib.sha256(data).hexdigest()))
            made.manifest.add_frame(FrameEntry(index, keys.of(index), ids_key(KIND.ids), {"stem": "", "objects": []}))
        return made

    return make


def plan_of(folder: RunFolder, keys: Keys, count: int, *, anew: bool = False) -> Plan:
    return make_plan(folder, range(count), keys=keys, ids=KIND.ids, absent={}, files=[], anew=anew)


def computed(plan: Plan) -> dict[str, list[tuple[int, int]]]:
    return {way: [(run.start, run.stop) for run in plan.computed.frames[way]] for way in WAYS}


def test_where_all_is_there_nothing_is_done(folder: Folder) -> None:
    keys = keys_of(mask(2, A), mask(8, A))
    plan = plan_of(folder(keys, 12), keys, 12)
    assert (plan.computes, plan.last, plan.kept, plan.fuses) == (False, None, 12, False)
    assert computed(plan) == {"forward": [], "backward": []}


def test_anew_each_way_computes_what_it_reaches(folder: Folder) -> None:
    keys = keys_of(mask(2, A), mask(8, A))
    plan = plan_of(folder(keys, 12), keys, 12, anew=True)
    assert computed(plan) == {"forward": [(2, 12)], "backward": [(0, 9)]}
    assert (plan.computes, plan.last, plan.kept, plan.fuses) == (True, 11, 0, True)


def test_a_label_more_computes_its_span_on_both_ways(folder: Folder) -> None:
    given = [mask(2, A), mask(8, A), mask(14, A)]
    before, after = keys_of(*given), keys_of(*given, mask(11, A))
    plan = plan_of(folder(before, 20), after, 20)
    assert computed(plan) == {"forward": [(8, 14)], "backward": [(8, 14)]}
    assert [index for index in range(20) if plan.of(index) == WRITE] == list(range(8, 14))
    assert plan.fuses


@pytest.mark.parametrize("way", WAYS)
def test_a_state_that_is_lost_is_computed_on_its_way_alone(way: Way, folder: Folder) -> None:
    keys = keys_of(mask(0, A), mask(19, A))
    plan = plan_of(folder(keys, 20, lost={(way, 7)}), keys, 20)
    assert computed(plan) == {"forward": [], "backward": [], way: [(7, 8)]}
    assert [index for index in range(20) if plan.of(index) == WRITE] == [7]


@pytest.mark.parametrize(("between", "runs"), [(GAP, 1), (GAP + 1, 2)])
def test_a_short_gap_is_computed_too(between: int, runs: int, folder: Folder) -> None:
    keys, second = keys_of(mask(0, A)), 4 + between
    plan = plan_of(folder(keys, 20, lost={("forward", 3), ("forward", second)}), keys, 20)
    closed, open_ = [(3, second + 1)], [(3, 4), (second, second + 1)]
    assert computed(plan)["forward"] == (closed if runs == 1 else open_)
    written = [index for index in range(20) if plan.of(index) == WRITE]
    assert written == ([*range(3, second + 1)] if runs == 1 else [3, second])
    assert plan.of(0) == KEEP


def test_a_gap_of_one_way_is_none_of_the_other(folder: Folder) -> None:
    keys = keys_of(mask(0, A), mask(19, A))
    plan = plan_of(folder(keys, 20, lost={("forward", 5), ("backward", 8)}), keys, 20)
    assert computed(plan) == {"forward": [(5, 6)], "backward": [(8, 9)]}
    assert [index for index in range(20) if plan.of(index) == WRITE] == [5, 8]


def test_runs_of_frames() -> None:
    assert runs_of([0, 1, 1, 0, 1], 10) == [range(11, 13), range(14, 15)]
    assert runs_of([True, True], 0) == [range(2)]
    assert runs_of([0, 0], 3) == runs_of([], 3) == []
