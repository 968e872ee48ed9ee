"""Each label type follows a rendered clip whose truth is exact, where standing still would miss."""

from __future__ import annotations

import pytest
import truth

from rendered import render


@pytest.fixture(scope="module")
def clip():
    """Return the default clip: farther than its own width, colours like the background's, hidden once."""
    return render()


def test_masks_follow(clip):
    found = truth.masks(clip)
    assert found["J"] >= 0.85
    assert found["identity J"] < 0.2


def test_keypoints_follow(clip):
    found = truth.keypoints(clip)
    assert found["error px"] <= 2
    assert found["identity error px"] > 20
    assert found["visible lost"] < 0.05


@pytest.mark.slow
def test_texture_follows(clip):
    assert truth.texture(clip)["correlation"] >= 0.9


@pytest.mark.slow
def test_colors_follow(clip):
    assert truth.colors(clip)["dE2000 inside"] <= 5
