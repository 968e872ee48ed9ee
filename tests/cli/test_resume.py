"""Stopped at any moment and started again, a run writes the same bytes."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from cli.forked import Forks

WORDS = ("masks", "clip.mp4", "mask.png", "--config", "often.yaml", "--soft")


@pytest.fixture(scope="module")
def often(project: Path) -> Path:
    (project / "often.yaml").write_text("checkpoint: 3\n")
    return project


@pytest.fixture(scope="module")
def unbroken(often: Path, propagate: Forks) -> dict[str, bytes]:
    result = propagate(*WORDS, "-o", "unbroken", "--overlay", "unbroken/o.mp4", cwd=often)
    assert result.code == 0, result.err
    return tree(often / "unbroken")


def tree(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and ".state" not in path.parts
    }


def test_an_unbroken_run_leaves_its_results_and_nothing_else(unbroken: dict[str, bytes]) -> None:
    masks = {f"masks/{n:05d}.png" for n in range(12)} | {f"soft/{n:05d}.npz" for n in range(12)}
    assert unbroken.keys() == masks | {"o.mp4", "results.jsonl", "run.yaml"}


@pytest.mark.parametrize("seed", range(2))
def test_killed_at_random_moments(seed: int, often: Path, propagate: Forks, unbroken: dict[str, bytes]) -> None:
    rng, words = random.Random(seed), (*WORDS, "-o", f"killed{seed}", "--overlay", f"killed{seed}/o.mp4")
    codes = [propagate(*words, cwd=often, signal="SIGKILL", delay=rng.uniform(0, 0.15)).code for _ in range(5)]
    assert -9 in codes
    assert propagate(*words, cwd=often).code == 0
    assert tree(often / f"killed{seed}") == unbroken


@pytest.mark.parametrize("at_least", [2, 5, 10])
def test_killed_after_some_frames(at_least: int, often: Path, propagate: Forks, unbroken: dict[str, bytes]) -> None:
    name = f"after{at_least}"
    words = (*WORDS, "-o", name, "--overlay", f"{name}/o.mp4")
    propagate(*words, cwd=often, signal="SIGKILL", lines=often / name / "results.jsonl", at_least=at_least)
    assert propagate(*words, cwd=often).code == 0
    assert tree(often / name) == unbroken


@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143)])
def test_a_signal_saves_the_state_of_the_last_frame(
    name: str, code: int, often: Path, propagate: Forks, unbroken: dict[str, bytes]
) -> None:
    words = (*WORDS, "-o", name)
    log = often / name / "results.jsonl"
    stopped = propagate(*words, cwd=often, signal=name, lines=log, at_least=4)
    done = log.read_bytes().count(b"\n")
    assert (stopped.code, f"stopped after {done} of 12 frames" in stopped.err) == (code, True)
    again = propagate(*words, cwd=often)
    assert f"continues after {done} of 12 frames" in again.err
    same = {file: data for file, data in unbroken.items() if file not in ("o.mp4", "run.yaml")}
    assert {file: data for file, data in tree(often / name).items() if file != "run.yaml"} == same


def test_a_broken_pipe_is_quiet_and_the_run_continues(
    often: Path, propagate: Forks, unbroken: dict[str, bytes]
) -> None:
    words = (*WORDS, "-o", "pipe", "--json", "-q")
    broken = propagate(*words, cwd=often, head=2)
    assert (broken.code, broken.err) == (141, "")
    whole = propagate(*words, cwd=often)
    assert whole.out.startswith(broken.out)
    assert (often / "pipe/masks/00011.png").read_bytes() == unbroken["masks/00011.png"]


def test_no_space_is_said_and_the_run_continues_once_there_is(
    often: Path, propagate: Forks, unbroken: dict[str, bytes]
) -> None:
    words = (*WORDS, "-o", "full", "--overlay", "full/o.mp4")
    full = propagate(*words, cwd=often, file_limit=1500)
    assert (full.code, len(full.err.strip().splitlines())) == (1, 2)
    assert "cannot be written: File too large" in full.err
    assert all((often / "unbroken" / name).read_bytes().startswith(data) for name, data in whole(often / "full"))
    assert propagate(*words, cwd=often).code == 0
    assert tree(often / "full") == unbroken


def whole(folder: Path) -> list[tuple[str, bytes]]:
    return [(name, data) for name, data in tree(folder).items() if ".state" not in name and name != "run.yaml"]
