"""Batches: the same clips whoever assembles them, in the background, with errors that name the clip."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from training.small_footage import Counting, counted, numbered, panned, sources_of

from propagate.errors import InputError
from propagate.training.data.batches import Batch, Batches
from propagate.training.data.footage import Footage, decoded_footage
from propagate.training.data.shots import Shot
from propagate.training.protocol import ClipForm

FORM = ClipForm(frames=3, rate=6, size=16, backward=True)


def first(footage: Footage, count: int, **settings: int) -> list[Batch]:
    with Batches(footage, FORM, **{"batch": 4, "seed": 1, **settings}) as batches:
        return [next(batches) for _ in range(count)]


def joined(batches: Sequence[Batch]) -> Tensor:
    return torch.stack([batch.clips for batch in batches])


@pytest.fixture
def footage() -> Footage:
    return counted(*((f"g{index % 3}", 20 + 7 * index) for index in range(6)))


def test_a_batch_holds_the_clips_that_its_names_say(footage: Footage) -> None:
    for step, (number, clips, names) in enumerate(first(footage, 3)):
        assert number == step
        assert clips.dtype == torch.uint8
        assert tuple(clips.shape) == (4, 3, 3, 16, 16)
        assert clips.is_contiguous()
        for clip, name in zip(clips, names, strict=True):
            source, positions = name.split(".mp4, frames ")
            assert clip[:, 0].unique().tolist() == [int(source)]
            assert clip[:, 1, 0, 0].tolist() == [int(position) for position in positions.split(",")]


@pytest.mark.parametrize("workers", [1, 3])
def test_the_number_of_workers_changes_nothing(footage: Footage, workers: int) -> None:
    plain, threaded = first(footage, 6, workers=0), first(footage, 6, workers=workers)
    assert torch.equal(joined(plain), joined(threaded))
    assert [batch.names for batch in plain] == [batch.names for batch in threaded]


def test_two_processes_with_half_the_batch_draw_the_clips_of_one(footage: Footage) -> None:
    whole = first(footage, 3, batch=4)
    halves = [first(footage, 3, batch=2, rank=rank, world=2) for rank in range(2)]
    for one, left, right in zip(whole, *halves, strict=True):
        assert torch.equal(one.clips, torch.cat([left.clips, right.clips]))
        assert one.names == left.names + right.names


def test_a_resumed_run_goes_on_with_the_same_clips(footage: Footage) -> None:
    whole, rest = first(footage, 5), first(footage, 2, first_step=3)
    assert [batch.step for batch in rest] == [3, 4]
    assert torch.equal(joined(whole[3:]), joined(rest))


def test_batches_are_made_while_the_last_one_is_used(footage: Footage) -> None:
    slow = Slow(0.2)
    with Batches(replace(footage, store=slow), FORM, batch=2, seed=0, workers=2) as batches:
        next(batches)
        assert batches.waited >= 0.2
        until = time.monotonic() + 10
        while slow.done < 6 and time.monotonic() < until:  # a step of the training
            time.sleep(0.01)
        assert slow.done == 6  # two batches ahead, no more
        before = batches.waited
        next(batches)
        assert batches.waited - before < 0.2


def test_closing_stops_the_workers(footage: Footage) -> None:
    batches = Batches(footage, FORM, batch=4, seed=0, workers=2)
    next(batches)
    assert [thread for thread in threading.enumerate() if thread.name.startswith("clips")]
    batches.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("clips")]
    assert list(batches) == []


@pytest.mark.parametrize("workers", [0, 2])
def test_an_error_in_a_worker_names_the_clip(footage: Footage, workers: int) -> None:
    broken = replace(footage, store=Broken(InputError("the disk is gone")))
    expected = r"step 0: the clip \d\.mp4, frames [\d,]+ cannot be read: the disk is gone"
    with Batches(broken, FORM, batch=2, seed=0, workers=workers) as batches, pytest.raises(InputError, match=expected):
        next(batches)


def test_a_bug_in_a_worker_keeps_its_kind_and_names_the_clip(footage: Footage) -> None:
    broken = replace(footage, store=Broken(KeyError("x")))
    with Batches(broken, FORM, batch=2, seed=0) as batches, pytest.raises(KeyError) as caught:
        next(batches)
    assert "in the clip" in caught.value.__notes__[0]


def test_short_shots_are_counted(footage: Footage) -> None:
    with Batches(counted(("a", 30), ("a", 5)), FORM, batch=2, seed=0) as batches:
        assert batches.left_out == 1


@pytest.mark.parametrize("wrong", [{"batch": 0}, {"rank": 1}, {"workers": -1}])
def test_wrong_arguments_are_refused(footage: Footage, wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="rank"):
        Batches(footage, FORM, **{"batch": 2, "seed": 0, **wrong})


def test_decoded_footage_can_be_read_by_several_threads(tmp_path: Path) -> None:
    paths = [numbered(tmp_path / f"{seed}" / "v", panned(70, seed=seed)) for seed in range(2)]
    kept, again = (decoded_footage(sources_of(*paths), memory=memory) for memory in (1 << 30, 0))
    assert torch.equal(joined(first(kept, 3, workers=0)), joined(first(again, 3, workers=3)))


@pytest.mark.gpu
def test_pinned_clips_are_the_same(footage: Footage) -> None:
    with Batches(footage, FORM, batch=4, seed=1, pinned=True) as batches:
        batch = next(batches)
    assert batch.clips.is_pinned()
    assert torch.equal(batch.clips, first(footage, 1)[0].clips)


class Slow(Counting):
    """A store that takes its time."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self.done = 0

    def read(self, shot: Shot, positions: Sequence[int]) -> np.ndarray:
        time.sleep(self._seconds)
        self.done += 1
        return super().read(shot, positions)


class Broken(Counting):
    """A store that fails."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def read(self, shot: Shot, positions: Sequence[int]) -> np.ndarray:
        raise self._error
