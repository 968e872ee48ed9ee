"""A training run that is killed, stopped or out of disk: what is kept, and that it ends with the same weights."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch
from cli.forked import Forks
from safetensors.torch import load_file
from training.small_footage import numbered, panned

WORDS = ("train", "videos", "--config", "train.yaml", "--steps", "6")
SETTINGS = """
{rate: 24, size: 32, batch: 2, threads: 1, dtype: float32, log_every: 1, save_every: 1.0e-4, validations: 3}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    where = tmp_path_factory.mktemp("train")
    for seed in range(2):
        numbered(where / f"videos/clip{seed}", panned(12, seed=seed, size=(48, 64)))
    (where / "train.yaml").write_text(SETTINGS, encoding="utf-8")
    return where


@pytest.fixture(scope="module")
def unbroken(folder: Path, propagate: Forks) -> dict[str, torch.Tensor]:
    result = propagate(*WORDS, "-o", "unbroken", cwd=folder)
    assert result.code == 0, result.err
    return weights(folder / "unbroken")


def weights(out: Path) -> dict[str, torch.Tensor]:
    files = {name: load_file(out / f"{name}.safetensors") for name in ("last", "best")}
    return {f"{name}.{key}": tensor for name, tensors in files.items() for key, tensor in tensors.items()}


def assert_same(out: Path, unbroken: dict[str, torch.Tensor]) -> None:
    found = weights(out)
    assert found.keys() == unbroken.keys()
    assert all(torch.equal(found[name], unbroken[name]) for name in unbroken)
    steps = [line.split('"step":')[1].split(",")[0] for line in (out / "log.jsonl").read_text().splitlines()]
    assert [int(step) for step in steps] == sorted({int(step) for step in steps})  # no line is there twice


@pytest.mark.parametrize("seed", range(2))
def test_training_killed_at_random_moments(
    seed: int, folder: Path, propagate: Forks, unbroken: dict[str, torch.Tensor]
) -> None:
    rng, words = random.Random(seed), (*WORDS, "-o", f"killed{seed}")
    log = folder / f"killed{seed}/log.jsonl"
    for at_least in (1, 3, 5):  # steps of which a line is there; then at any moment of the next one
        killed = propagate(*words, cwd=folder, signal="SIGKILL", lines=log, at_least=at_least)
        assert killed.code == -9
    propagate(*words, cwd=folder, signal="SIGKILL", delay=rng.uniform(0.1, 1.5))
    result = propagate(*words, cwd=folder)
    assert result.code == 0, result.err
    assert_same(folder / f"killed{seed}", unbroken)


@pytest.mark.parametrize(("name", "code"), [("SIGTERM", 143), ("SIGINT", 130)])
def test_a_signal_saves_the_last_step(
    name: str, code: int, folder: Path, propagate: Forks, unbroken: dict[str, torch.Tensor]
) -> None:
    words = (*WORDS, "--save-every", "60", "-o", name)  # no checkpoint but that of the signal
    log = folder / name / "log.jsonl"
    stopped = propagate(*words, cwd=folder, signal=name, lines=log, at_least=1)
    assert stopped.code == code, stopped.err
    assert "stopped after" in stopped.err
    assert list((folder / name / "checkpoints").iterdir())
    result = propagate(*words, cwd=folder)
    assert result.code == 0, result.err
    assert_same(folder / name, unbroken)


def test_a_full_disk_is_one_line_and_the_run_goes_on_later(
    folder: Path, propagate: Forks, unbroken: dict[str, torch.Tensor]
) -> None:
    words, out = (*WORDS, "-o", "full"), folder / "full"
    assert propagate(*words, cwd=folder, signal="SIGTERM", lines=out / "log.jsonl", at_least=1).code == 143
    kept = {path.name: path.read_bytes() for path in (out / "checkpoints").iterdir()}
    full = propagate(*words, cwd=folder, file_limit=100_000)
    assert full.code == 1, full.err
    assert "cannot be written" in full.err
    assert len([line for line in full.err.splitlines() if "error:" in line]) == 1
    assert {path.name: path.read_bytes() for path in (out / "checkpoints").iterdir()} == kept
    result = propagate(*words, cwd=folder)
    assert result.code == 0, result.err
    assert_same(out, unbroken)
