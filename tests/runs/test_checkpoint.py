"""A saved state is the state, exactly; what is not whole is no state."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from propagate.runs.checkpoint import NAME, load_state, save_state

from propagate.engine.propagation import Remembered, Snapshot


@pytest.fixture
def snapshot() -> Snapshot:
    soft = torch.rand(3, 4, 5)
    labels, origin = soft.flatten(1).T, torch.randint(0, 2**40, (20, 2))
    kept = tuple(Remembered(index, index == 0, labels, origin) for index in (0, 7, 8))
    return Snapshot(9, kept, {0: soft, 7: soft}, {1: True, "left/paw": False}, soft)


def test_a_state_comes_back_exactly(snapshot: Snapshot, tmp_path: Path) -> None:
    save_state(tmp_path, snapshot)
    found = load_state(tmp_path)
    assert found is not None
    assert (found.next, found.last) == (snapshot.next, snapshot.last)
    assert [(kept.index, kept.annotated) for kept in found.references] == [(0, True), (7, False), (8, False)]
    assert all(torch.equal(a.labels, b.labels) for a, b in zip(found.references, snapshot.references, strict=True))
    assert all(torch.equal(a.origin, b.origin) for a, b in zip(found.references, snapshot.references, strict=True))
    assert found.soft is not None
    assert torch.equal(found.soft, snapshot.soft)  # type: ignore[arg-type]
    assert [path.name for path in tmp_path.iterdir()] == [NAME]


def test_a_state_before_the_first_label(tmp_path: Path) -> None:
    save_state(tmp_path, Snapshot(4, (), {}, {}, None))
    assert load_state(tmp_path) == Snapshot(4, (), {}, {}, None)


@pytest.mark.parametrize("keep", [0, 10, 200])
def test_a_damaged_state_is_none(keep: int, snapshot: Snapshot, tmp_path: Path) -> None:
    save_state(tmp_path, snapshot)
    (tmp_path / NAME).write_bytes((tmp_path / NAME).read_bytes()[:keep])
    assert load_state(tmp_path) is None


def test_no_state_is_none(tmp_path: Path) -> None:
    assert load_state(tmp_path) is None
