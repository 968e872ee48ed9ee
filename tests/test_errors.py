"""The family of errors: one line, a hint, and an exit code each."""

from __future__ import annotations

import pytest

from propagate import errors
from propagate.errors import (
    ConfigError,
    ConflictError,
    DeviceError,
    InputError,
    OutputError,
    PropagateError,
    WeightsError,
)

CODES = {
    PropagateError: 1,
    OutputError: 1,
    DeviceError: 1,
    ConfigError: 2,
    ConflictError: 2,
    InputError: 3,
    WeightsError: 3,
}


@pytest.mark.parametrize(("kind", "code"), CODES.items(), ids=lambda value: getattr(value, "__name__", None))
def test_each_kind_has_the_exit_code_of_the_table(kind, code):
    assert kind("what happened").exit_code == code
    assert issubclass(kind, PropagateError)


def test_the_table_names_every_kind():
    kinds = {value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, Exception)}
    assert kinds == set(CODES)


def test_the_hint_follows_the_message():
    error = InputError("mask.png: empty", hint="draw something")
    assert str(error) == "mask.png: empty (draw something)"
    assert error.hint == "draw something"


def test_without_a_hint_there_are_no_brackets():
    assert str(ConfigError("topk is 0")) == "topk is 0"
    assert ConfigError("topk is 0").hint is None
