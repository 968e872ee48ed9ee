"""The card of a file of weights: its own facts, and the scores that were made with it and no other."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from official_trees import squares, write_davis

from propagate.cards.card import card, markdown_table, read_scores, unlike_preset
from propagate.encoders.library import WeightsInfo, describe
from propagate.encoders.weights import build_encoder, save_weights
from propagate.errors import ConfigError, InputError
from propagate.evaluation.benchmarks.davis import Davis
from propagate.evaluation.plan import EvaluationRequest
from propagate.evaluation.runner import open_evaluation
from propagate.evaluation.summary import summarize
from propagate.runs.settings import SettingLayers

TRAINING = {
    "objective": "propagate",
    "license": "non-commercial research only: why",
    "command": "propagate train motion --size 160 --out run",
    "data": [{"folder": "motion", "license_tier": "none", "clips": 2, "minutes": 1.5, "sources": ["a/b"]}],
    "curve": [{"step": 25, "loss": 0.5}],
}


def weights_at(path: Path, *, seed: int) -> WeightsInfo:
    """Return a file of small weights with a training record."""
    encoder = build_encoder("resnet18", settings={"stride": 4 if seed == 0 else 8}, seed=seed)
    encoder.preset = {**encoder.preset, "size": 48, "radius": 3}
    save_weights(path, encoder, training=TRAINING)
    return describe(path)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with weights `own`, and their scores beside those of `identity` and of `other` weights."""
    folder = tmp_path_factory.mktemp("card")
    write_davis(folder / "tiny", {"left": squares(still=True), "right": squares(step=1)}, exact=True)
    for seed, name in enumerate(("own", "other")):
        weights_at(folder / f"{name}.safetensors", seed=seed)
    methods = ("identity", *(f"resnet18:{folder}/{name}.safetensors" for name in ("own", "other")))
    request = EvaluationRequest(
        Davis(folder / "tiny"), folder / "scores", methods=methods, layers=SettingLayers(flags={"threads": 1})
    )
    with closing(open_evaluation(request)) as evaluation:
        list(evaluation)
        summarize(evaluation, resamples=50)
    return folder


def text_of(place: Path, name: str = "own") -> str:
    return card([describe(place / f"{name}.safetensors")], [read_scores(place / "scores")], resamples=50)


def test_it_says_what_the_file_is(place: Path) -> None:
    info, text = describe(place / "own.safetensors"), text_of(place)
    assert text.index("**Licence: non-commercial research only: why**") < text.index("Network. `resnet18`")
    for words in (info.digest, TRAINING["command"], "2,782,784", "15 layers of weights", "size 48", "a/b"):
        assert str(words) in text
    assert "| motion | none | 2 | 1.5 | 1 |" in text
    assert "| none | without a licence that is stated | 2 | 1.5 | 1 |" in text
    assert str(place) not in text


def test_its_figures_are_those_of_the_evaluation(place: Path) -> None:
    methods = json.loads((place / "scores/results.json").read_text())["methods"]
    text = text_of(place)
    for method in methods:
        assert f"| {method['summary']['F']:.3f} |" in text
    headline, found = methods[1]["summary"]["J&F"], methods[1]["intervals"]["J&F"]
    assert f"| {headline:.3f} [{found[0]:.3f}, {found[1]:.3f}] |" in text
    digest = describe(place / "own.safetensors").digest[:8]
    assert f"This file is `resnet18:own.safetensors ({digest})`, with its own preset." in text
    ahead = headline - methods[0]["summary"]["J&F"]
    assert f"| identity | {ahead:+.3f} |" in text
    assert [line for line in text.splitlines() if line.startswith("| left |")]


def test_each_file_is_compared_as_itself(place: Path) -> None:
    text = text_of(place, "other")
    methods = json.loads((place / "scores/results.json").read_text())["methods"]
    own, other = (method["summary"]["J&F"] for method in methods[1:])
    assert own != other
    digests = {name: describe(place / f"{name}.safetensors").digest[:8] for name in ("own", "other")}
    assert f"This file is `resnet18:other.safetensors ({digests['other']})`, with its own preset." in text
    assert f"| resnet18:own.safetensors ({digests['own']}) | {other - own:+.3f} |" in text


def test_scores_of_other_weights_are_refused(place: Path, tmp_path: Path) -> None:
    info = weights_at(tmp_path / "own.safetensors", seed=7)  # of the same name
    with pytest.raises(ConfigError, match=rf"are not the scores of own.safetensors \({info.digest[:8]}\), but of"):
        card([info], [read_scores(place / "scores")])


def test_settings_other_than_the_preset_are_said(place: Path) -> None:
    info, scored = describe(place / "own.safetensors"), read_scores(place / "scores")
    ours = scored.of(info)
    assert ours is not None
    assert unlike_preset(ours, info) == {}
    settings: dict[str, Any] = {**ours.settings["settings"], "radius": 5, "device": "abacus"}
    assert unlike_preset(type(ours)(ours.name, {}, {}, settings={"settings": settings}), info) == {"radius": 5}


def test_a_folder_without_scores_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"results.json: cannot be read: No such file.*propagate evaluate -o"):
        read_scores(tmp_path)
    (tmp_path / "results.json").write_text('{"benchmark": "davis"}', encoding="utf-8")
    with pytest.raises(InputError, match=r"results.json: cannot be understood"):
        read_scores(tmp_path)


def test_a_file_that_says_nothing_is_for_research(tmp_path: Path) -> None:
    save_weights(tmp_path / "bare.safetensors", build_encoder("rawcolor"), training={})
    text = card([describe(tmp_path / "bare.safetensors")], [])
    assert "**Licence: The file does not say what it may be used for: take it for research only.**" in text
    assert "The file does not say what it was learnt from." in text


def test_a_table_in_markdown() -> None:
    rows = [["name", "n"], ["a|b", "1.5 [1.0, 2.0]"]]
    assert markdown_table(rows) == "| name | n |\n| --- | ---: |\n| a\\|b | 1.5 [1.0, 2.0] |"
