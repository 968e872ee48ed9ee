"""`info`, `doctor`, `weights`, `--version`, `--help`, and errors that nobody expected."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli.forked import Forks
from typer.testing import CliRunner

import propagate as package
from propagate.cli import console
from propagate.cli.app import app

RUNNER = CliRunner()
ROOT = Path(__file__).resolve().parents[2]


def test_info_says_what_a_video_is(project: Path, propagate: Forks) -> None:
    plain, lines = propagate("info", "clip.mp4", cwd=project), propagate("info", "clip.mp4", "--json", cwd=project)
    found = json.loads(lines.out)
    assert "frames     12" in plain.out
    assert (found["width"], found["frames"], found["times"][1]) == (128, 12, pytest.approx(1 / 24, abs=1e-6))


def test_doctor_passes_its_own_test(project: Path, propagate: Forks) -> None:
    result = propagate("doctor", "--json", cwd=project)
    found = json.loads(result.out)
    assert (result.code, found["self-test"][:6], found["codecs"]) == (0, "passed", ["h264", "prores", "ffv1"])


def test_weights_that_do_not_exist(project: Path, propagate: Forks) -> None:
    result = propagate("weights", "show", "nothing", cwd=project)
    assert (result.code, "no weights are called 'nothing'" in result.err) == (3, True)


def test_importing_never_replaces_a_file(project: Path, propagate: Forks) -> None:
    result = propagate("weights", "import", "a.pth", "mask.png", cwd=project)
    assert (result.code, "mask.png: is there already" in result.err) == (2, True)


def test_the_version_is_the_packages() -> None:
    assert RUNNER.invoke(app, ["--version"]).stdout == f"propagate {package.__version__}\n"
    assert f'version = "{package.__version__}"' in (ROOT / "pyproject.toml").read_text()


@pytest.mark.parametrize(
    "command",
    ["masks", "keypoints", "info", "doctor", "weights", "weights import", "weights pack", "weights card"],
)
def test_help_leads_with_an_example(command: str) -> None:
    text = RUNNER.invoke(app, [*command.split(), "--help"], env={"TERM": "dumb"}).stdout
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    assert lines[1].startswith(f"Example:  propagate {command}")


def test_no_command_shows_the_help_and_is_a_usage_error() -> None:
    result = RUNNER.invoke(app, [])
    assert (result.exit_code, result.stdout) == (2, RUNNER.invoke(app, ["--help"]).stdout)


def test_a_usage_error_is_two() -> None:
    assert RUNNER.invoke(app, ["masks", "--binary", "--ids", "a", "b"]).exit_code == 2
    assert RUNNER.invoke(app, ["nothing"]).exit_code == 2


def test_an_unexpected_error_is_one_line_and_debug_shows_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("by nothing")

    monkeypatch.setattr("propagate.video.probe", fail)
    plain, debug = RUNNER.invoke(app, ["info", "a"]), RUNNER.invoke(app, ["info", "a", "--debug"])
    line = "propagate: error: ZeroDivisionError: by nothing (run with --debug for the traceback)\n"
    assert (plain.exit_code, plain.stderr) == (1, line)
    assert debug.stderr.startswith(line + "Traceback")


def test_quiet_lines_come_with_a_tenth_of_the_frames(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    times = iter(range(1000))
    monkeypatch.setattr("time.monotonic", lambda: 2.0 * next(times))
    assert list(console.progress(range(100), done=0, total=100, what="frames")) == list(range(100))
    lines = capsys.readouterr().err.splitlines()
    assert (len(lines), lines[0]) == (
        9,
        "propagate: 10 of 100 frames, 0.5 frames/s, 3 min left",
    )


@pytest.mark.parametrize(("value", "text"), [(4.2, "4 s"), (180, "3 min"), (9000, "2.5 h")])
def test_durations_in_words(value: float, text: str) -> None:
    assert console.seconds(value) == text
