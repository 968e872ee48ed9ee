"""What a file of weights says of itself, as lines: the licence first, tables of data and of the curve."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from propagate.cards.facts import (
    brief_licence,
    curve_rows,
    data_rows,
    swatches,
    tier_rows,
    weights_facts,
    weights_lines,
)
from propagate.encoders.library import WeightsInfo
from propagate.encoders.weights_file import Header
from propagate.training.config import TrainConfig

TRAINING: dict[str, Any] = {
    "objective": "propagate",
    "recipe": "lab:1",
    "settings": {**asdict(TrainConfig()), "size": 160},
    "command": "propagate train motion --size 160 --out run",
    "step": 40,
    "steps": 50,
    "minutes": 1.5,
    "hardware": "abacus, 2 threads",
    "date": "2026-01-02",
    "license": "non-commercial research only: the footage is",
    "data": [
        {"folder": "motion", "license_tier": "none", "clips": 2, "minutes": 1.25, "sources": ["a", "b"]},
        {"folder": "motion", "license_tier": "permissive", "clips": 1, "minutes": 0.5, "sources": ["c"]},
        {"folder": "natural", "license_tier": "none", "clips": 4, "minutes": 2.0, "sources": ["a"]},
    ],
    "curve": [{"step": 25, "loss": 0.5}, {"step": 50, "loss": 0.25, "validation": {"J": 0.75}}],
}
INFO = WeightsInfo(
    Path("own.safetensors"),
    Header("resnet18", settings={"layers": 3}, preset={"size": 480, "radius": None}, training=TRAINING),
    "f00d" * 16,
    2_782_784,
    5_600_000,
    "float16",
)


def test_the_licence_is_the_first_line() -> None:
    assert weights_lines(INFO)[0] == "licence        non-commercial research only: the footage is"
    assert brief_licence(INFO) == "non-commercial research only"


def test_what_a_file_does_not_say_is_left_out() -> None:
    bare = replace(INFO, header=Header("rawcolor"))
    assert list(weights_facts(bare)) == ["encoder", "parameters", "size", "SHA-256"]
    assert (brief_licence(bare), weights_lines(bare)[0]) == ("", "encoder        rawcolor")


def test_facts_are_words() -> None:
    facts = weights_facts(INFO)
    assert facts["encoder"] == "resnet18: layers 3"
    assert facts["preset"] == "size 480, radius none"
    assert facts["objective"] == "pretext"  # its present name
    assert facts["settings"] == "size 160"  # what differs from the defaults
    assert facts["steps"] == "50, of which these are the weights after 40"
    assert (facts["size"], facts["parameters"], facts["recipe"]) == ("5.6 MB, float16", "2,782,784", "lab:1")
    assert (facts["hardware"], facts["date"], facts["minutes"]) == ("abacus, 2 threads", "2026-01-02", "1.5")


def test_weights_of_others_show_their_own_record() -> None:
    imported = replace(INFO, header=Header("resnet18", training={"imported_from": "crw", "file": "crw.pth"}))
    facts = weights_facts(imported)
    assert (facts["imported_from"], facts["file"]) == ("crw", "crw.pth")


def test_data_are_summed_by_folder_and_by_tier() -> None:
    assert data_rows(TRAINING)[1:] == [
        ["motion", "none", "2", "1.2", "2"],
        ["motion", "permissive", "1", "0.5", "1"],
        ["natural", "none", "4", "2.0", "1"],
        ["all", "", "7", "3.8", "3"],
    ]
    assert [[row[0], *row[2:]] for row in tier_rows(TRAINING)[1:]] == [
        ["none", "6", "3.2", "2"],
        ["permissive", "1", "0.5", "1"],
    ]


def test_the_curve_is_a_table() -> None:
    rows = [["step", "loss", "validation J"], ["25", "0.5000", ""], ["50", "0.2500", "0.7500"]]
    assert curve_rows(TRAINING) == rows
    timed = {"curve": [{**point, "minutes": 0.5} for point in TRAINING["curve"]]}
    assert [row[1] for row in curve_rows(timed)] == ["minutes", "0.5", "0.5"]
    assert curve_rows({}) == data_rows({}) == tier_rows({}) == []


def test_numbers_of_a_table_stand_to_the_right() -> None:
    assert weights_lines(INFO)[-3:] == ["step    loss  validation J", "  25  0.5000", "  50  0.2500        0.7500"]


def test_clusters_are_shown_in_their_colours() -> None:
    grey, red, far = swatches({"clusters": [[0, 0], [60, 40], [200, -200]]})
    assert grey == "#9e9e9e"  # L 65: the same in all channels
    assert int(red[1:3], 16) > 1.5 * int(red[3:5], 16)
    assert len(far) == 7
    assert swatches({}) == []
