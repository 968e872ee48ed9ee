"""A setting is one field: its option, its help, its check and its key in run.yaml come from there."""

from __future__ import annotations

import dataclasses
import inspect
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

import pytest
import typer
import yaml
from typer.testing import CliRunner

from propagate.cli.options import filled, read_words, setting_options
from propagate.config import TOOL, PropagateConfig
from propagate.errors import ConfigError
from propagate.settings import Setting, current_names, known_name, parse_word, settings_of
from propagate.training.config import OURS, TrainConfig, check_objective


@dataclass(frozen=True)
class LargerConfig(PropagateConfig):
    blur: float | None = Setting(
        2.5,
        "How far features are blurred [before] the search.",
        panel="Blurring",
        unit="cells",
        low=0,
        high=9,
        words={"none": None},
        former="smear",
    ).field()


def run(*words: str) -> tuple[int, str, dict[str, Any]]:
    seen: dict[str, Any] = {}

    def command(*, settings: dict[str, Any]) -> None:
        seen.update(settings)

    app = typer.Typer(rich_markup_mode="rich")
    options = setting_options(LargerConfig, defaults=TOOL)
    app.command()(filled(command, "settings", options, lambda given: read_words(LargerConfig, given)))
    result = CliRunner().invoke(app, words, env={"COLUMNS": "200", "TERMINAL_WIDTH": "200"})
    if isinstance(result.exception, ConfigError):
        raise result.exception
    return result.exit_code, result.output, seen


def test_a_new_field_has_an_option_with_help_unit_and_default() -> None:
    code, help_, _ = run("--help")
    assert code == 0
    words = " ".join(help_.split())
    assert "Blurring" in help_
    assert "--blur CELLS|none How far features are blurred [before] the search. Default: 2.5 cells." in words
    assert "smear" not in help_


@pytest.mark.parametrize(
    ("words", "value"), [(("--blur", "4"), 4.0), (("--blur", "none"), None), (("--smear", "1e-1"), 0.1)]
)
def test_what_is_typed_is_its_value(words: tuple[str, ...], value: object) -> None:
    assert run(*words)[2] == {"blur": value}


def test_what_is_not_typed_is_not_given() -> None:
    assert run()[2] == {}


@pytest.mark.parametrize("word", ["10", "-1", "nan", "inf", "1_0", "1e999", "far", "", "١"])
def test_what_it_cannot_be_is_refused_on_the_command_line(word: str) -> None:
    with pytest.raises(ConfigError, match=r"--blur is .* \(expected a number from 0 to 9, or none\)"):
        run(f"--blur={word}")


@pytest.mark.parametrize("value", [10, -1.0, float("nan"), "far", "2.5", True, [2.5], {}])
def test_what_it_cannot_be_is_refused_in_a_file(value: object) -> None:
    with pytest.raises(ConfigError, match=r"blur is .*, expected a number from 0 to 9, or none$"):
        LargerConfig(blur=value)  # type: ignore[arg-type]


def test_it_is_a_key_of_run_yaml() -> None:
    assert yaml.safe_load(yaml.safe_dump(dataclasses.asdict(LargerConfig())))["blur"] == 2.5


def test_a_setting_by_two_names_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"smear and blur are one setting \(leave smear out\)"):
        run("--blur", "1", "--smear", "2")


@pytest.mark.parametrize(("kind", "shown"), [(PropagateConfig, TOOL), (TrainConfig, OURS)])
def test_every_setting_can_be_what_its_help_says(kind: type, shown: dict[str, Any]) -> None:
    for name, known in settings_of(kind).items():
        for value in (known.default, shown.get(name, known.default), *known.choices, *known.words.values()):
            assert known.accepts(value), (name, value)
        word = known.spelled(known.default).partition(" ")[0]
        if known.default is not None or known.words:
            assert parse_word(kind, name, word) == known.default, name
        assert known.help.endswith("."), name


def test_former_names_of_both_configurations() -> None:
    assert current_names(PropagateConfig, {"color": 1.0, "less_mean": True, "shallow": 0.5, "other": 1}) == {
        "lab_weight": 1.0,
        "center_features": True,
        "layer_mix": 0.5,
        "other": 1,
    }
    assert current_names(TrainConfig, {"shake": 1, "paste": 2, "spread": 3.0}) == {
        "jitter_crops": 1,
        "copy_paste": 2,
        "stretch_chroma": 3.0,
    }
    assert known_name(PropagateConfig, "color") == "lab_weight"


def test_a_command_has_no_option_for_a_setting_that_it_would_ignore() -> None:
    from propagate.cli.colorize import colorize
    from propagate.cli.masks import masks

    assert "label_scale" in inspect.signature(masks).parameters
    assert "label_scale" not in inspect.signature(colorize).parameters
    assert "context" in inspect.signature(colorize).parameters


@pytest.mark.parametrize("flags", [{"copy_paste": 3}, {}])
def test_an_objective_that_there_is_not_is_said_first(flags: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"no objective is called 'colorisation' \(did you mean 'colorization'\?\)"):
        check_objective("colorisation", flags)
    with pytest.raises(ConfigError, match="copy_paste is a setting of colorization, not of corrflow"):
        check_objective("corrflow", {"copy_paste": 3})


def test_options_and_help_are_made_without_torch() -> None:
    code = (
        "import sys\nimport propagate.cli.masks, propagate.cli.train, propagate.cli.weights, propagate.cli.evaluate\n"
        "assert not {'torch', 'av'} & sys.modules.keys()"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
