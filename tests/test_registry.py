"""Registries: names to objects, imported on first use, never written."""

from __future__ import annotations

import sys

import pytest

from propagate.encoders import ENCODERS
from propagate.errors import ConfigError
from propagate.labels import LABEL_TYPES
from propagate.registry import Registry

COLORS = Registry("color", {"red": "colorsys:rgb_to_hsv", "green": "absent_module_of_colors:Green"})


def test_an_entry_is_the_object_it_names():
    import colorsys

    assert COLORS["red"] is colorsys.rgb_to_hsv


def test_nothing_is_imported_before_it_is_asked_for():
    assert "green" in COLORS
    assert "absent_module_of_colors" not in sys.modules
    assert list(COLORS) == ["red", "green"]
    assert len(COLORS) == 2


def test_a_near_name_is_suggested():
    with pytest.raises(ConfigError, match=r"no color is called 'gren' \(did you mean 'green'\?\)"):
        COLORS["gren"]


def test_without_a_near_name_all_are_listed():
    with pytest.raises(ConfigError, match=r"no color is called 'zzz' \(one of: red, green\)"):
        COLORS["zzz"]


def test_it_cannot_be_written_and_keeps_its_own_table():
    table = {"red": "colorsys:rgb_to_hsv"}
    registry = Registry("color", table)
    table["blue"] = "colorsys:rgb_to_yiq"
    assert "blue" not in registry
    assert not hasattr(registry, "__setitem__")


@pytest.mark.parametrize("registry", [LABEL_TYPES, ENCODERS], ids=lambda registry: registry.noun)
def test_every_entry_exists_and_is_documented(registry):
    assert all(registry[name].__doc__ for name in registry)
