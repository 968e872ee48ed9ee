"""Checkpoints of training: what comes back, what a full disk or a damaged file leaves, which of two is taken."""

from __future__ import annotations

import dataclasses
import errno
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from propagate.errors import OutputError, WeightsError
from propagate.training import checkpoint
from propagate.training.checkpoint import (
    NAMES,
    Checkpoint,
    latest_checkpoint,
    load_checkpoint,
    random_states,
    restore_random,
    save_checkpoint,
)

SETTINGS = {"objective": "timecycle", "steps": 8, "radius": None, "learning_rate": 1e-3}
RECORD = {"clusters": [[1.0, -2.0], [3.0, 4.5]], "skipped": 2}


def a_network() -> tuple[nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.LazyLinear(2))
    network(torch.zeros(2, 3, 5, 5))
    return network, torch.optim.Adam(network.parameters(), lr=1e-3, betas=(0.5, 0.999))


def steps(network: nn.Module, optimizer: torch.optim.Optimizer, numbers: range) -> None:
    for number in numbers:
        clips = torch.rand(2, 3, 5, 5, generator=torch.Generator().manual_seed(number))
        optimizer.zero_grad()
        network(clips).square().mean().backward()
        optimizer.step()


def state_of(network: nn.Module, optimizer: torch.optim.Optimizer, step: int) -> Checkpoint:
    return Checkpoint(step, 12.5, 0.25, network.state_dict(), optimizer.state_dict(), SETTINGS, RECORD)


def a_state(step: int) -> Checkpoint:
    return Checkpoint(step, float(step), None, {"weight": torch.full((4000,), float(step))}, {}, {}, {})


def damage(path: Path) -> None:
    """Flip one bit in the middle of the file, where the tensor lies."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def step_in(folder: Path) -> int:
    found = latest_checkpoint(folder)
    assert found is not None
    return found.step


@contextmanager
def no_file_above(size: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_checkpoint_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    network, optimizer = a_network()
    steps(network, optimizer, range(3))
    saved = state_of(network, optimizer, 3)
    loaded = load_checkpoint(save_checkpoint(tmp_path, saved))
    assert (loaded.step, loaded.seconds, loaded.best) == (3, 12.5, 0.25)
    assert (loaded.config, loaded.record) == (SETTINGS, RECORD)
    torch.testing.assert_close(dict(loaded.objective), dict(saved.objective), rtol=0, atol=0)
    torch.testing.assert_close(dict(loaded.optimizer), dict(saved.optimizer), rtol=0, atol=0)


def test_a_run_continued_from_a_checkpoint_ends_with_the_same_weights(tmp_path: Path) -> None:
    network, optimizer = a_network()
    steps(network, optimizer, range(4))
    save_checkpoint(tmp_path, state_of(network, optimizer, 4))
    steps(network, optimizer, range(4, 8))
    found = latest_checkpoint(tmp_path)
    assert found is not None
    resumed, its_optimizer = a_network()
    resumed.load_state_dict(found.objective)
    its_optimizer.load_state_dict(dict(found.optimizer))
    steps(resumed, its_optimizer, range(found.step, 8))
    torch.testing.assert_close(resumed.state_dict(), network.state_dict(), rtol=0, atol=0)


def test_random_numbers_go_on_where_they_were(tmp_path: Path) -> None:
    torch.manual_seed(3)
    np.random.seed(3)  # noqa: NPY002, the global state is what is tested
    np.random.randn()  # noqa: NPY002, leaves a second Gaussian waiting
    saved = save_checkpoint(tmp_path, a_state(1))
    expected = torch.rand(5), np.random.randn(5)  # noqa: NPY002
    restore_random(load_checkpoint(saved).random)
    assert torch.equal(torch.rand(5), expected[0])
    assert np.array_equal(np.random.randn(5), expected[1])  # noqa: NPY002


def test_random_states_are_taken_without_drawing() -> None:
    torch.manual_seed(1)
    random_states()
    drawn = torch.rand(3)
    torch.manual_seed(1)
    assert torch.equal(torch.rand(3), drawn)


def test_two_files_take_turns_and_the_newest_is_taken(tmp_path: Path) -> None:
    paths = []
    for step in (1, 2, 3, 4):
        paths.append(save_checkpoint(tmp_path, a_state(step)).name)
        assert step_in(tmp_path) == step
    assert paths == [*NAMES, *NAMES]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(NAMES)


def test_the_later_of_two_at_the_same_step_is_taken(tmp_path: Path) -> None:
    for number, best in enumerate((None, 0.5)):
        path = save_checkpoint(tmp_path, dataclasses.replace(a_state(7), best=best))
        os.utime(path, ns=(number, number))
    found = latest_checkpoint(tmp_path)
    assert found is not None
    assert found.best == 0.5


def test_no_checkpoint_at_all_is_none(tmp_path: Path) -> None:
    assert latest_checkpoint(tmp_path) is None


def test_a_full_disk_keeps_the_last_good_one(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, a_state(1))
    save_checkpoint(tmp_path, a_state(2))
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with no_file_above(5000), pytest.raises(OutputError, match=r"File too large; checkpoint\.1\.pt is kept"):
        save_checkpoint(tmp_path, a_state(3))
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert step_in(tmp_path) == 2


@pytest.mark.parametrize("when", ["torch.save", "fsync", "replace"])
def test_no_space_is_said_whenever_it_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str) -> None:
    save_checkpoint(tmp_path, a_state(1))

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    target = (checkpoint.torch, "save") if when == "torch.save" else (checkpoint.os, when)
    with monkeypatch.context() as patched:
        patched.setattr(*target, full)
        with pytest.raises(OutputError, match="cannot be written: No space left on device; checkpoint.0.pt is kept"):
            save_checkpoint(tmp_path, a_state(2))
    assert [path.name for path in tmp_path.iterdir()] == [NAMES[0]]
    assert step_in(tmp_path) == 1


def test_a_missing_folder_is_said(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot be written: No such file or directory$"):
        save_checkpoint(tmp_path / "gone", a_state(1))


def test_a_damaged_newest_gives_way_to_the_one_before(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    save_checkpoint(tmp_path, a_state(1))
    newest = save_checkpoint(tmp_path, a_state(2))
    damage(newest)
    assert step_in(tmp_path) == 1
    assert str(newest) in caplog.text


def test_a_cut_off_file_is_the_one_that_is_written_over(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, a_state(1))
    cut = save_checkpoint(tmp_path, a_state(2))
    cut.write_bytes(cut.read_bytes()[:3000])
    assert save_checkpoint(tmp_path, a_state(3)) == cut
    assert load_checkpoint(tmp_path / NAMES[0]).step == 1


def test_when_all_are_damaged_the_run_does_not_silently_start_over(tmp_path: Path) -> None:
    for step in (1, 2):
        damage(save_checkpoint(tmp_path, a_state(step)))
    with pytest.raises(WeightsError, match=r"checkpoint\.\d\.pt: is not a whole checkpoint"):
        latest_checkpoint(tmp_path)


@pytest.mark.parametrize("content", [b"", b"no checkpoint", b"PK\x03\x04 nor this"])
def test_what_is_no_checkpoint_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / NAMES[0]
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=r"checkpoint\.0\.pt: is not a whole checkpoint: "):
        load_checkpoint(path)


def test_a_flipped_bit_is_seen(tmp_path: Path) -> None:
    path = save_checkpoint(tmp_path, a_state(1))
    damage(path)
    with pytest.raises(WeightsError, match=r"checkpoint\.0\.pt: is not a whole checkpoint: .* differs from its sum"):
        load_checkpoint(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"none\.pt: there is no such checkpoint"):
        load_checkpoint(tmp_path / "none.pt")


def test_another_torch_file_is_refused(tmp_path: Path) -> None:
    torch.save({"state_dict": {}}, tmp_path / "other.pt")
    with pytest.raises(WeightsError, match=r"other\.pt: is not a checkpoint of this version of propagate"):
        load_checkpoint(tmp_path / "other.pt")


def test_what_could_not_be_read_again_is_not_written(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, a_state(1))
    foreign = dataclasses.replace(a_state(2), record={"where": Path("clips")})
    with pytest.raises(ValueError, match="tensors and plain data only"):
        save_checkpoint(tmp_path, foreign)
    assert [path.name for path in tmp_path.iterdir()] == [NAMES[0]]


def test_nothing_in_a_file_is_executed(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, tuple[str, ...]]:
            return os.mkdir, (str(tmp_path / "sprung"),)

    torch.save({"version": 1, "step": Trap()}, tmp_path / NAMES[0])
    with pytest.raises(WeightsError, match="is not a whole checkpoint"):
        load_checkpoint(tmp_path / NAMES[0])
    assert not (tmp_path / "sprung").exists()
