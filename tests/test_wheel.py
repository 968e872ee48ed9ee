"""The wheel holds what a user needs: built without a network, installed elsewhere, it runs and finds its weights."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = "import propagate.encoders.library as library; print(*library.weights_folders(), sep='\\n')"
SIZES = {"corrflow": 11e6}  # bytes at most, where they are more than 8e6; its network is that large

pytestmark = pytest.mark.slow  # pip and two starts of Python with torch take about 10 s


def call(*words: object, **environment: str) -> str:
    command = [sys.executable, *map(str, words)]
    done = subprocess.run(
        command, capture_output=True, text=True, cwd="/", env={**os.environ, **environment}, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def shipped() -> list[str]:
    """Return the names of the weights that ship; there may be none."""
    return sorted(path.stem for path in (ROOT / "weights").glob("*.safetensors"))


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder into which a wheel of this checkout is installed."""
    wheels, target = tmp_path_factory.mktemp("wheels"), tmp_path_factory.mktemp("target")
    pip = ("-m", "pip", "--quiet", "--disable-pip-version-check")
    call(*pip, "wheel", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", wheels, ROOT)
    (wheel,) = wheels.glob("propagate-*.whl")
    call(*pip, "install", "--no-deps", "--no-index", "--no-compile", "--target", target, wheel)
    return target


def test_it_holds_the_weights_and_nothing_of_the_tests(installed: Path) -> None:
    inside = {path.name for path in (installed / "propagate/_weights").iterdir()}
    assert inside == {path.name for path in (ROOT / "weights").iterdir()}
    assert {path.name for path in installed.iterdir()} >= {"propagate", "bin"}
    assert (installed / "propagate/py.typed").is_file()
    assert (installed / "propagate/cards/card.md.j2").is_file()
    assert not (installed / "tests").exists()


def test_its_names_of_weights_are_its_own(installed: Path) -> None:
    said = call("-c", FOLDERS, PYTHONPATH=str(installed))
    assert said.split() == [str(installed / "propagate/_weights")]


def test_it_lists_its_weights(installed: Path) -> None:
    said = call(installed / "bin/propagate", "weights", "list", PYTHONPATH=str(installed))
    assert all(name in said for name in shipped())
    assert shipped() or "no weights are installed" in said


def test_its_weights_are_found_by_name_and_whole(installed: Path) -> None:
    for name in shipped():
        said = call(installed / "bin/propagate", "weights", "verify", name, "--json", PYTHONPATH=str(installed))
        found = json.loads(said)
        assert Path(found["path"]) == installed / f"propagate/_weights/{name}.safetensors"
        assert found["bytes"] <= SIZES.get(name, 8e6)
