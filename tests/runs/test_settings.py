"""Which layer of settings wins, and which encoder is loaded."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from propagate.config import TOOL
from propagate.encoders.build import build_encoder
from propagate.encoders.library import SHIPPED
from propagate.encoders.weights import open_encoder, save_weights
from propagate.errors import ConfigError, WeightsError
from propagate.runs.settings import QUALITIES, LoadedModel, SettingLayers, load_model, name_model, read_layers


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PROPAGATE_WEIGHTS", raising=False)
    monkeypatch.delenv("PROPAGATE_DEVICE", raising=False)


def check_torch_free(code: str) -> None:
    probe = f"import sys\n{code}\nassert not {{'torch', 'safetensors.torch'}} & sys.modules.keys()"
    result = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def settle(flags: dict[str, Any], **said: Any) -> LoadedModel:
    return load_model(read_layers(flags, **said))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("weights") / "own.safetensors"
    save_weights(path, open_encoder("resnet18", "random", seed=5), training={})
    return str(path)


def test_an_exact_encoder_is_float32() -> None:
    settled = settle({"encoder": "rawcolor", "dtype": "bfloat16"})
    assert (settled.config.dtype, settled.weights) == ("float32", None)


def test_weights_bring_their_encoder(trained: str) -> None:
    settled = settle({"weights": trained})
    assert settled.config.encoder == "resnet18"
    assert settled.weights is not None
    assert len(settled.weights) == 64


def test_weights_on_the_command_line_win_over_an_encoder_in_a_file(trained: str, tmp_path: Path) -> None:
    (tmp_path / "some.yaml").write_text("encoder: rawcolor\ncontext: 3\n")
    config = settle({"weights": trained}, file=tmp_path / "some.yaml").config
    assert (config.encoder, config.context) == ("resnet18", 3)


def test_weights_of_another_encoder_are_refused(trained: str, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="not of 'corrflow'"):
        settle({"weights": trained, "encoder": "corrflow"})


def test_weights_of_the_environment(trained: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PROPAGATE_WEIGHTS", trained)
    (tmp_path / "run.yaml").write_text("settings: {encoder: rawcolor, weights: null}\n")
    assert settle({}).config.encoder == "resnet18"
    assert settle({}, file=tmp_path / "run.yaml").config.encoder == "rawcolor"


def test_unknown_presets_and_settings() -> None:
    with pytest.raises(ConfigError, match="no preset is called 'papr'"):
        settle({}, preset="papr")
    with pytest.raises(ConfigError, match="did you mean 'radius'"):
        settle({"raduis": 3})
    with pytest.raises(ConfigError, match="no quality is called 'beste' .one of fast, balanced, best"):
        settle({}, quality="beste")


def test_the_default_is_what_ships_with_its_own_preset() -> None:
    settled = settle({})
    assert (settled.config.encoder, settled.config.weights) == ("resnet18", "dropped_channel")
    assert settled.weights is not None
    assert {name: getattr(settled.config, name) for name in TOOL} == dict(TOOL)


@pytest.mark.parametrize("quality", QUALITIES)
def test_a_quality_stands_between_the_preset_and_what_is_given(quality: str) -> None:
    config = settle({"seed": 1}, quality=quality).config
    assert {name: getattr(config, name) for name in QUALITIES[quality]} == dict(QUALITIES[quality])
    assert settle({"context": 2, "size": 64}, quality=quality).config.context == 2


def test_weights_that_are_named_are_run_at_any_quality(trained: str) -> None:
    assert settle({"weights": trained}, quality="fast").config.encoder == "resnet18"


def test_balanced_is_the_default_quality() -> None:
    assert settle({}).config == settle({}, quality="balanced").config


def test_the_tools_settings_for_a_papers_network() -> None:
    assert settle({"encoder": "corrflow", "weights": "random"}, preset="tool").config.lab_weight == TOOL["lab_weight"]
    alone = settle({"encoder": "colorization", "weights": "random"}, preset="tool").config  # embeds frames together
    assert (alone.topk, alone.size, alone.similarity, alone.temperature) == (TOOL["topk"], "256x256", "dot", 0.5)


@pytest.mark.parametrize(("encoder", "weights"), SHIPPED.items())
def test_shipped_weights_bring_their_network_and_its_settings(encoder: str, weights: str) -> None:
    by_weights, by_encoder = settle({"weights": weights}), settle({"encoder": encoder})
    assert by_weights.config.encoder == encoder
    assert by_encoder.config.weights == weights
    assert by_weights.weights == by_encoder.weights
    paper = dict(build_encoder(encoder).preset) if encoder != "resnet18" else dict(TOOL)
    assert {name: getattr(by_weights.config, name) for name in paper} == paper
    tool = settle({"weights": weights}, preset="tool").config
    size = paper["size"] if encoder == "colorization" else TOOL["size"]  # which knows its cells' places in its square
    assert (tool.size, tool.context, tool.annotated_radius) == (size, TOOL["context"], 20)


def test_layers_are_resolved_without_anything_being_read() -> None:
    layers = SettingLayers(quality="best", environment={"device": "cpu"}, file={"topk": 3}, flags={"topk": "all"})
    config = layers.resolve({"topk": 5, "context": 4, "radius": 9})
    assert (config.topk, config.context, config.radius, config.device) == (None, 15, 9, "cpu")
    assert layers == SettingLayers(**dataclasses.asdict(layers))


def test_flags_by_their_former_names_give_way_to_later_ones() -> None:
    layers = SettingLayers(flags={"color": 3.0}).with_flags({"lab_weight": 4.0})
    assert layers.resolve({}).lab_weight == 4.0


def test_which_network_is_named_is_known_without_torch() -> None:
    check_torch_free(
        "from propagate.runs.settings import SettingLayers, name_model\n"
        "name = name_model(SettingLayers(quality='balanced'))\n"
        "assert (name.encoder, name.weights, len(name.digest)) == ('resnet18', 'dropped_channel', 64), name\n"
        "assert name_model(SettingLayers(quality='fast')).digest is None\n"
        "from propagate.encoders.library import list_weights\n"
        "assert list_weights()"
    )


def test_a_network_is_loaded_once(trained: str) -> None:
    layers = SettingLayers(flags={"weights": trained})
    first, again = load_model(layers), load_model(layers.with_flags({"context": 3}))
    assert again.encoder is first.encoder
    assert again.config.context == 3


def test_a_file_of_weights_that_changes_is_loaded_again(tmp_path: Path) -> None:
    path = str(tmp_path / "own.safetensors")
    layers, digests = SettingLayers(flags={"weights": path}), set()
    for seed in (1, 2):
        save_weights(path, open_encoder("resnet18", "random", seed=seed), training={})
        loaded = load_model(layers)
        assert loaded.weights == name_model(layers).digest
        digests.add(loaded.weights)
    assert len(digests) == 2
