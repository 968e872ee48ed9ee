"""What a frame leaves behind comes back from its file to the last bit, and equal states are equal files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from textured import propagation, sliding, square

from propagate.encoders.weights import load_encoder
from propagate.engine.group import mirrored, mirrored_annotations, mirrored_frame
from propagate.errors import InputError
from propagate.formats.maps import map_bytes
from propagate.labels.masks import MaskLabels
from propagate.runs.states import read_state, state_bytes
from propagate.values import Annotation

FRAMES, MASKS = sliding(5)
FIRST = Annotation(0, MASKS[0], (1,))
LATER = Annotation(2, square(80, number=2, size=MASKS[0].shape), (2,))


@pytest.mark.parametrize("annotations", [[FIRST], [FIRST, LATER]], ids=["one group", "two groups"])
def test_states_come_back_from_their_files(tmp_path: Path, annotations: list[Annotation]) -> None:
    moving = propagation(annotations, label_type=MaskLabels((1, 2)))
    for frame in FRAMES:
        moving.step(frame)
        state = moving.state()
        (tmp_path / "state.npz").write_bytes(state_bytes(state))
        found = read_state(tmp_path / "state.npz")
        assert state_bytes(found) == state_bytes(state)
        assert (found.soft is None) == (state.soft is None)
        assert found.soft is None or torch.equal(found.soft, state.soft)
        assert (found.index, found.source, found.ids, found.grid) == (state.index, state.source, state.ids, state.grid)
        for group, other in zip(found.groups, state.groups, strict=True):
            assert (group.ids, group.start, group.end) == (other.ids, other.start, other.end)
            assert torch.equal(group.soft, other.soft)
            assert other.origin is not None
            assert torch.equal(group.origin, other.origin)


def test_a_state_before_the_first_label_comes_back(tmp_path: Path) -> None:
    moving = propagation([LATER])
    moving.step(FRAMES[0])
    assert moving.state().soft is None
    (tmp_path / "state.npz").write_bytes(state_bytes(moving.state()))
    assert read_state(tmp_path / "state.npz") == moving.state()


def test_a_state_of_nothing_comes_back(tmp_path: Path) -> None:
    moving = propagation([Annotation(0, np.zeros_like(MASKS[0]), ()), LATER])
    moving.step(FRAMES[0])
    state = moving.state()
    assert state.groups == ()
    (tmp_path / "state.npz").write_bytes(state_bytes(state))
    found = read_state(tmp_path / "state.npz")
    assert (found.source, found.groups) == ("annotated", ())
    assert state.soft is not None
    assert torch.equal(found.soft, state.soft)


def test_a_state_of_a_frame_that_cannot_be_decoded_comes_back(tmp_path: Path) -> None:
    moving = propagation([FIRST, LATER], label_type=MaskLabels((1, 2)))
    moving.step(FRAMES[0])
    moving.step(replace(FRAMES[1], undecodable=True))
    state = moving.state()
    (tmp_path / "state.npz").write_bytes(state_bytes(state))
    found = read_state(tmp_path / "state.npz")
    assert (found.source, found.entered) == ("undecodable", False)
    (group,), (other,) = found.groups, state.groups
    assert (group.ids, group.origin, group.box, group.start, group.end) == ((1,), None, None, 0, None)
    assert torch.equal(group.soft, other.soft)


def test_a_state_of_the_way_backward_comes_back(tmp_path: Path) -> None:
    moving = propagation(mirrored_annotations([LATER]), label_type=MaskLabels((1, 2)))
    for frame in (FRAMES[2], FRAMES[1]):
        moving.step(mirrored_frame(frame))
    state = moving.state()
    (tmp_path / "state.npz").write_bytes(state_bytes(state))
    (group,) = read_state(tmp_path / "state.npz").groups
    assert (group.start, group.end) == (mirrored(2), None)
    assert torch.equal(group.origin, state.groups[0].origin)
    assert set(group.origin[:, 0].tolist()) == {mirrored(2)}


def test_a_state_of_one_group_holds_its_labels_once(tmp_path: Path) -> None:
    moving = propagation([FIRST])
    moving.step(FRAMES[0])
    (tmp_path / "state.npz").write_bytes(state_bytes(moving.state()))
    with np.load(tmp_path / "state.npz") as file:
        assert set(file.files) == {"head", "group.0.soft", "group.0.origin"}
    found = read_state(tmp_path / "state.npz")
    assert found.soft is found.groups[0].soft


@pytest.mark.parametrize("harm", ["missing", "cut", "zeroed", "foreign"])
def test_a_file_that_is_no_state_is_refused(tmp_path: Path, harm: str) -> None:
    moving = propagation([FIRST])
    moving.step(FRAMES[0])
    data, path = state_bytes(moving.state()), tmp_path / "state.npz"
    harmed = {"cut": data[: len(data) // 2], "zeroed": bytes(len(data)), "foreign": map_bytes({"a": np.zeros(3)})}
    if harm != "missing":
        path.write_bytes(harmed[harm])
    with pytest.raises(InputError, match=r"state\.npz: cannot be read as the state of a frame"):
        read_state(path)


@pytest.mark.parametrize("annotations", [[FIRST], [FIRST, LATER]], ids=["one group", "two groups"])
def test_where_fine_features_are_comes_back(tmp_path: Path, annotations: list[Annotation]) -> None:
    network = load_encoder("resnet18", "random")
    moving = propagation(annotations, label_type=MaskLabels((1, 2)), encoder=network, refine=True, radius=4)
    for frame in FRAMES[:3]:
        moving.step(frame)
    state = moving.state()
    (tmp_path / "state.npz").write_bytes(state_bytes(state))
    found = read_state(tmp_path / "state.npz")
    assert [group.box for group in found.groups] == [group.box for group in state.groups]
    assert any(group.box for group in state.groups)
