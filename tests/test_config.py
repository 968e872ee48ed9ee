"""Settings: later layers win, and what cannot be is refused in words."""

from __future__ import annotations

import dataclasses

import pytest
import yaml

from propagate.config import PropagateConfig, read_settings, resolve
from propagate.encoders import ENCODERS
from propagate.encoders.build import build_on_meta
from propagate.errors import ConfigError


def written(tmp_path, text):
    path = tmp_path / "settings.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_later_layers_win_in_order():
    config = resolve({"context": 3, "topk": 5, "radius": 6}, {"topk": None, "radius": 7}, {"radius": 8})
    assert (config.context, config.topk, config.radius) == (3, None, 8)
    assert config.temperature == PropagateConfig().temperature


def test_no_layers_are_the_defaults():
    assert resolve() == resolve({}, {}) == PropagateConfig()


@pytest.mark.parametrize("name", ENCODERS)
def test_every_preset_is_made_of_settings(name):
    preset = build_on_meta(name, {}).preset
    assert {key: getattr(resolve(preset), key) for key in preset} == dict(preset)


def test_an_unknown_setting_is_refused_with_the_nearest():
    with pytest.raises(ConfigError, match=r"no setting is called 'temprature' \(did you mean 'temperature'\?\)"):
        resolve({"temprature": 1})
    with pytest.raises(ConfigError, match=r"no setting is called 'zzz'$"):
        resolve({"zzz": 1})


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("context", -1, "context is -1, expected a whole number from 0 to 10000"),
        ("context", 2.0, "context is 2.0, expected a whole number"),
        ("context", True, "context is True, expected a whole number"),
        ("direction", "sideways", "direction is 'sideways', expected one of both, forward, backward"),
        ("label_scale", 0, "label_scale is 0, expected a whole number from 1 to 16"),
        ("checkpoint", 0, "checkpoint is 0, expected a whole number from 1"),
        ("radius", -1, "radius is -1, expected a whole number from 0 to 1000000, or full"),
        (
            "annotated_radius",
            "wide",
            "annotated_radius is 'wide', expected a whole number from 0 to 1000000, or full or same",
        ),
        ("topk", 0, "topk is 0, expected a whole number from 1 to 100000, or all"),
        ("threads", 0, "threads is 0, expected a whole number from 1 to 1024"),
        ("patch", 2, "patch is 2, expected an odd number from 1 to 31"),
        ("size", 8, "size is 8, expected a whole number from 16 to 8192, or WxH"),
        ("size", "480p", "size is '480p', expected"),
        ("size", "0x16", "size is '0x16', expected"),
        ("temperature", 0, "temperature is 0, expected a number from 1e-06 to 1000000"),
        ("temperature", "warm", "temperature is 'warm', expected a number from"),
        ("temperature", float("nan"), "temperature is nan, expected a number from"),
        ("temperature", float("inf"), "temperature is inf, expected a number from"),
        ("window", "round", "window is 'round', expected one of circle, square"),
        ("similarity", "l2", "similarity is 'l2', expected one of cosine, dot, distance"),
        ("feedback", "firm", "feedback is 'firm', expected one of soft, hard"),
        ("dtype", "float16", "dtype is 'float16', expected one of auto, float32, bfloat16"),
        ("keep_annotated", "no", "keep_annotated is 'no', expected one of"),
        ("seed", "luck", "seed is 'luck', expected a whole number"),
        ("seed", 2**70, "seed is 1180591620717411303424, expected a whole number from 0 to 4294967295"),
        ("threads", 100_000, "threads is 100000, expected a whole number from 1 to 1024"),
        ("edges", 1e300, r"edges is 1e\+300, expected a number from 0 to 1000"),
        ("context", 1e23, r"context is 1e\+23, expected a whole number from 0 to 10000"),
        ("encoder", ["resnet18"], r"encoder is \['resnet18'\], expected text"),
    ],
)
def test_a_bad_value_is_refused(name, value, message):
    with pytest.raises(ConfigError, match=message):
        resolve({name: value})


def test_a_value_without_end_is_cut_in_the_message() -> None:
    deep: list[object] = ["x" * 10_000]
    for _ in range(60):
        deep = [deep] * 9  # what nine YAML anchors make: 9**60 elements
    for value in (deep, "x" * 10_000, 10**5000):
        with pytest.raises(ConfigError, match="radius is .*, expected a whole number") as caught:
            resolve({"radius": value})
        assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    "good",
    [
        {"radius": 100_000},
        {"radius": None},
        {"annotated_radius": None},
        {"size": "256x256"},
        {"topk": None},
        {"context": 0},
    ],
)
def test_the_ends_of_the_ranges_are_allowed(good):
    assert resolve(good) == dataclasses.replace(PropagateConfig(), **good)


def test_a_window_of_nothing_is_refused():
    with pytest.raises(ConfigError, match="there is nothing to look at"):
        PropagateConfig(context=0, keep_annotated=False)


def test_settings_of_a_run_are_read_back(tmp_path):
    config = resolve(build_on_meta("colorization", {}).preset, {"encoder": "colorization", "weights": "random"})
    path = written(tmp_path, yaml.safe_dump({"propagate": "0.1", "settings": dataclasses.asdict(config)}))
    assert resolve(read_settings(path)) == config


def test_a_file_of_settings_alone_is_read(tmp_path):
    assert read_settings(written(tmp_path, "radius: null\ntopk: 4\n")) == {"radius": None, "topk": 4}
    assert read_settings(written(tmp_path, "# nothing\n")) == {}


@pytest.mark.parametrize("text", ["- 1\n", "just words\n", "1: 2\n"])
def test_a_file_that_is_no_mapping_is_refused(tmp_path, text):
    with pytest.raises(ConfigError, match=r"settings\.yaml: expected a mapping of settings to values"):
        read_settings(written(tmp_path, text))


def test_a_file_that_is_not_yaml_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"settings\.yaml: cannot be read as YAML"):
        read_settings(written(tmp_path, "a: [1"))
    with pytest.raises(ConfigError, match=r"absent\.yaml: cannot be read"):
        read_settings(tmp_path / "absent.yaml")
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(ConfigError, match=r"binary\.yaml: cannot be read as YAML"):
        read_settings(tmp_path / "binary.yaml")


def test_words_stand_for_numbers_where_they_may() -> None:
    assert resolve({"radius": "full", "topk": "all", "stride": "own"}) == resolve(
        {"radius": None, "topk": None, "stride": None}
    )
    assert resolve({"lab_weight": "auto", "center_features": "auto"}).lab_weight == "auto"
    with pytest.raises(ConfigError, match="lab_weight is 'much', expected a number from 0"):
        resolve({"lab_weight": "much"})
    with pytest.raises(ConfigError, match="edges is 'auto', expected a number from 0"):
        resolve({"edges": "auto"})
    for name in ("lab_weight", "edges", "layer_mix"):
        with pytest.raises(ConfigError, match=f"{name} is None, expected a number from 0"):
            resolve({name: None})


def test_former_names_are_read_as_those_of_today() -> None:
    config = resolve({"color": 5.0, "shallow": 0.5}, {"less_mean": True})
    assert (config.lab_weight, config.layer_mix, config.center_features) == (5.0, 0.5, True)
    with pytest.raises(ConfigError, match=r"color and lab_weight are one setting \(leave color out\)"):
        resolve({"color": 5.0, "lab_weight": 6.0})
