"""Which layer of settings wins, and which encoder is loaded."""

from __future__ import annotations

from pathlib import Path

import pytest

from propagate.encoders.weights import open_encoder, save_weights
from propagate.errors import ConfigError, WeightsError
from propagate.jobs.settings import settle


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PROPAGATE_WEIGHTS", raising=False)
    monkeypatch.delenv("PROPAGATE_DEVICE", raising=False)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("weights") / "own.safetensors"
    save_weights(path, open_encoder("resnet18", "random", seed=5), training={})
    return str(path)


def test_an_exact_encoder_is_float32() -> None:
    settled = settle({"dtype": "bfloat16"})
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
