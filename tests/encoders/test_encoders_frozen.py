"""`rawcolor` is frozen: bars elsewhere are stated against the settings and the score that are written down."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from propagate.encoders.rawcolor import RawColor

FROZEN = json.loads((Path(__file__).resolve().parents[1] / "benchmarks/rawcolor.json").read_text(encoding="utf-8"))


def test_rawcolor_has_the_settings_that_its_score_was_measured_with() -> None:
    encoder = RawColor()
    assert dict(encoder.preset) == FROZEN["settings"]
    assert encoder.stride == FROZEN["stride"]


def test_the_frozen_score_is_the_mean_of_its_sequences() -> None:
    for name in ("J", "F"):
        each = [scores[name] for scores in FROZEN["sequences"].values()]
        assert sum(each) / len(each) == pytest.approx(FROZEN["score"][name], abs=1e-4)
