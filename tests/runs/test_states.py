"""What a frame leaves behind comes back from its file to the last bit, and equal states are equal files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from textured import propagation, sliding, square

from propagate.encoders.weights import load_encoder
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
        assert [group.ids for group in found.groups] == [group.ids for group in state.groups]
        assert (found.last, found.visible, found.grid) == (state.last, state.visible, state.grid)


def test_a_state_of_one_group_is_one_set_of_arrays(tmp_path: Path) -> None:
    moving = propagation([FIRST])
    moving.step(FRAMES[0])
    (tmp_path / "state.npz").write_bytes(state_bytes(moving.state()))
    with np.load(tmp_path / "state.npz") as file:
        assert set(file.files) == {"head", "soft", "origin"}


@pytest.mark.parametrize("annotations", [[FIRST], [FIRST, LATER]], ids=["one group", "two groups"])
def test_where_fine_features_are_comes_back(tmp_path: Path, annotations: list[Annotation]) -> None:
    network = load_encoder("resnet18", "random")
    moving = propagation(annotations, label_type=MaskLabels((1, 2)), encoder=network, refine=True, radius=4)
    for frame in FRAMES[:3]:
        moving.step(frame)
    state = moving.state()
    (tmp_path / "state.npz").write_bytes(state_bytes(state))
    found = read_state(tmp_path / "state.npz")
    assert found.box == state.box
    assert [group.box for group in found.groups] == [group.box for group in state.groups]
    assert state.box or any(group.box for group in state.groups)
