"""Each label type follows a rendered clip whose truth is exact, where standing still would miss.

The clips are hard on learned features: the background has the colours of the object, cells are a tenth of it, and
what counts is the very pixel. `rawcolor`, whose cells are patterns of colour, is the exacter one there, by the bar of
texture; on real video it is the other way round (`tests/benchmarks/davis.py`).
"""

from __future__ import annotations

import pytest
import truth

from rendered import render, two_objects


@pytest.fixture(scope="module")
def clip():
    """Return the default clip: farther than its own width, colours like the background's, hidden once."""
    return render()


@pytest.mark.parametrize("encoder", [None, "rawcolor"])
def test_masks_follow(clip, encoder):
    found = truth.masks(clip, encoder)
    assert found["J"] >= 0.85
    assert found["identity J"] < 0.2


def test_objects_of_one_colour_that_pass_close_by_keep_their_ids():
    """Only texture tells them apart: the second has the first one's mean and covariance of colour."""
    found = truth.kept_apart(two_objects(alike=True))
    assert found["1 kept"] == found["2 kept"] == 1
    assert min(found["J of 1"], found["J of 2"]) >= 0.7


@pytest.mark.parametrize("encoder", [None, "rawcolor"])
def test_keypoints_follow(clip, encoder):
    found = truth.keypoints(clip, encoder)
    assert found["error px"] <= 2
    assert found["identity error px"] > 20
    assert found["visible lost"] < 0.05


@pytest.mark.slow
@pytest.mark.parametrize(("encoder", "bar"), [(None, 0.8), ("rawcolor", 0.9)])
def test_texture_follows(clip, encoder, bar):
    assert truth.texture(clip, encoder)["correlation"] >= bar


@pytest.mark.slow
@pytest.mark.parametrize("encoder", [None, "rawcolor"])
def test_colors_follow(clip, encoder):
    assert truth.colors(clip, encoder)["dE2000 inside"] <= 5
