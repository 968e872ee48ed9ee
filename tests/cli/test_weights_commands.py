"""`propagate weights pack`, `show`, `list` and `card` from the command line, on a tiny run and its scores."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli.forked import Forks, Result
from official_trees import squares, write_davis
from training.small_footage import numbered, panned

SMALL = ("--size", "32", "--batch", "2", "--threads", "1", "--dtype", "float32", "--rate", "24", "--steps", "2")
LICENCE = "non-commercial research only: of the footage"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, propagate: Forks) -> Path:
    """Return a folder with videos, a run, and its packed weights."""
    folder = tmp_path_factory.mktemp("weights")
    for seed in range(2):
        numbered(folder / f"videos/clip{seed}", panned(12, seed=seed))
    trained = propagate("train", "videos", *SMALL, "-o", "run", "-q", cwd=folder)
    assert trained.code == 0, trained.err
    packed = pack(propagate, folder, "own.safetensors", "videos", "-s", "size=32", "-s", "radius=full")
    assert (packed.code, packed.out, packed.err) == (0, "own.safetensors\n", "")
    return folder


def pack(propagate: Forks, folder: Path, *words: str) -> Result:
    return propagate("weights", "pack", "run", *words, "--license", LICENCE, cwd=folder)


def test_the_preset_takes_the_values_of_options(place: Path, propagate: Forks) -> None:
    shown = json.loads(propagate("weights", "show", "own.safetensors", "--json", cwd=place).out)
    assert (shown["preset"]["size"], shown["preset"]["radius"], shown["dtype"]) == (32, None, "float16")
    command = shown["training"]["command"]
    assert command.startswith("propagate train videos --")
    again = propagate(*command.split()[1:-1], "again", "--threads", "1", "-q", cwd=place)
    assert again.code == 0, again.err
    assert (place / "again/last.safetensors").read_bytes() == (place / "run/last.safetensors").read_bytes()


def test_show_says_the_licence_first(place: Path, propagate: Forks) -> None:
    lines = propagate("weights", "show", "own.safetensors", cwd=place).out.splitlines()
    assert lines[0] == f"licence        {LICENCE}"
    assert any(line.startswith("all ") and line.split()[1] == "2" for line in lines)


def test_a_file_is_replaced_by_force_only(place: Path, propagate: Forks) -> None:
    refused = pack(propagate, place, "own.safetensors")
    assert (refused.code, "own.safetensors: already exists" in refused.err) == (2, True)
    forced = pack(propagate, place, "other.safetensors", "videos", "--best", "--hardware", "abacus", "--force")
    assert forced.code == 0, forced.err
    assert "hardware       abacus" in propagate("weights", "show", "other.safetensors", cwd=place).out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("-s", "radius"), "--set 'radius': expected NAME=VALUE (such as radius=16"),
        (("-s", "radius=3,4"), "--set 'radius=3,4': expected NAME=VALUE"),
        (("-s", "radios=3"), "did you mean 'radius'"),
        (("-s", "topk=some"), "topk is 'some' (expected a whole number"),
    ],
)
def test_settings_that_cannot_be_are_one_line(words: tuple[str, ...], said: str, place: Path, propagate: Forks) -> None:
    result = pack(propagate, place, "no.safetensors", *words)
    assert (result.code, said in result.err, len(result.err.splitlines())) == (2, True, 1), result.err


def test_the_card_holds_digest_command_and_figures(place: Path, propagate: Forks) -> None:
    write_davis(place / "tiny", {"left": squares(), "right": squares(step=1)}, exact=True)
    words = ("evaluate", "davis", "tiny", "-m", "identity", "-m", "resnet18:own.safetensors", "--threads", "1")
    scored = propagate(*words, "-o", "scores", "--json", cwd=place)
    assert scored.code == 0, scored.err
    made = propagate("weights", "card", "own.safetensors", "--scores", "scores", "-o", "card.md", cwd=place)
    assert (made.code, made.out, made.err) == (0, "card.md\n", "")
    text = (place / "card.md").read_text(encoding="utf-8")
    shown = json.loads(propagate("weights", "show", "own.safetensors", "--json", cwd=place).out)
    assert shown["sha256"] in text
    assert f"**Licence: {LICENCE}**" in text
    assert f"```sh\n{shown['training']['command']}\n```" in text
    for method in json.loads(scored.out)["methods"]:
        assert f"| {method['summary']['J']:.3f} |" in text
    again = propagate("weights", "card", "own.safetensors", "--scores", "scores", cwd=place)
    assert again.out == text
    kept = propagate("weights", "card", "own.safetensors", "-o", "card.md", cwd=place)
    assert (kept.code, "card.md: already exists" in kept.err) == (2, True)
    other = propagate("weights", "card", "run/last.safetensors", "--scores", "scores", cwd=place)
    assert (other.code, "are not the scores of last.safetensors" in other.err) == (2, True)
