from __future__ import annotations

import pytest

from propagate.errors import ConfigError
from propagate.evaluation.plan import THRESHOLDS, parse_method, variants


def test_baselines_and_encoders_are_told_apart() -> None:
    assert parse_method("identity").kind == "baseline"
    method = parse_method("resnet18:random@paper")
    assert (method.kind, method.base, method.weights, method.preset) == ("encoder", "resnet18", "random", "paper")


def test_an_encoder_may_stand_alone() -> None:
    method = parse_method("rawcolor")
    assert (method.weights, method.preset) == (None, None)


def test_weights_may_be_a_path_with_an_at_sign() -> None:
    method = parse_method("resnet18:runs/me@home/best.safetensors")
    assert (method.weights, method.preset) == ("runs/me@home/best.safetensors", None)


def test_weights_and_preset_part_at_the_last_at_sign() -> None:
    method = parse_method("resnet18:runs/a@b.safetensors@tool")
    assert (method.weights, method.preset) == ("runs/a@b.safetensors", "tool")


@pytest.mark.parametrize(
    ("text", "options"), [("flow@raft", {"estimator": "raft"}), ("siftflow@first", {"first": True})]
)
def test_a_baseline_may_have_a_form(text: str, options: dict[str, object]) -> None:
    assert parse_method(text).options == options


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("flo", "no method is called 'flo'"),
        ("flow:random", "flow has no weights"),
        ("flow@best", "flow has no form 'best'"),
        ("identity@raft", "it has none"),
        ("resnet18:random@papers", "no preset is called 'papers'"),
        ("", "no method is called ''"),
    ],
)
def test_what_cannot_be_is_refused(text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        parse_method(text)


def test_flow_of_masks_is_run_at_every_threshold_and_nothing_else_is() -> None:
    found = variants(parse_method("flow-first"), labels="masks")
    assert [one.options["threshold"] for one in found] == list(THRESHOLDS)
    assert len({one.folder for one in found}) == len(THRESHOLDS)
    assert variants(parse_method("flow"), labels="keypoints") == [parse_method("flow")]
    assert variants(parse_method("identity"), labels="masks") == [parse_method("identity")]


def test_folders_have_no_signs_that_a_path_gives_meaning() -> None:
    assert parse_method("resnet18:../x/y.safetensors").folder == "resnet18-..-x-y.safetensors"
