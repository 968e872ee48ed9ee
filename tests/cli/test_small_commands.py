"""`info`, `doctor`, `weights`, `--version`, `--help`, and errors that nobody expected."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from cli.forked import Forks

import propagate as package
from propagate.cli import console
from propagate.cli.app import run
from propagate.cli.group import COMMANDS, load_command

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
    assert (result.code, "mask.png: already exists" in result.err) == (2, True)


@dataclass(frozen=True)
class Ended:
    """What a command line did in this process."""

    code: int
    out: str
    err: str


Call = Callable[..., Ended]


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Call:
    """Return what runs a command line in this process: for those that load nothing heavy."""
    monkeypatch.setenv("TERM", "dumb")

    def run_here(*words: str, debug: bool = False) -> Ended:
        code = run(list(words), debug=debug)
        return Ended(code, *capsys.readouterr())

    return run_here


def test_the_version_is_the_packages(call: Call) -> None:
    assert call("--version").out == f"propagate {package.__version__}\n"
    assert f'version = "{package.__version__}"' in (ROOT / "pyproject.toml").read_text()


GROUPS = {"evaluate": ("davis", "keypoints"), "weights": ("list", "import", "pack", "card")}
EVERY = [*COMMANDS, *(f"{group} {command}" for group, inner in GROUPS.items() for command in inner)]


@pytest.mark.parametrize("command", EVERY)
def test_help_leads_with_an_example(command: str, call: Call) -> None:
    lines = [line.strip() for line in call(*command.split(), "--help").out.splitlines() if line.strip()]
    assert lines[1].startswith(f"Example:  propagate {command}")


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_all_says_of_a_command_what_its_own_help_says(name: str) -> None:
    command = load_command(name)
    assert command.short_help == COMMANDS[name].says
    assert COMMANDS[name].says in command.help or name in GROUPS


def test_the_help_lists_every_command_under_its_purpose(call: Call) -> None:
    lines = call("--help").out.splitlines()
    for name, entry in COMMANDS.items():
        assert lines.index(f"{entry.purpose}:") < lines.index(f"  {name:<11}{entry.says}")
    assert not any("labels " in line.split("follows")[0] for line in lines if line.startswith("  labels"))


def modules_after(*words: str) -> set[str]:
    """Return the modules that a command line has imported when it ends."""
    script = "import sys\nfrom propagate.cli.app import run\nrun(sys.argv[1:])\nprint(*sys.modules, file=sys.stderr)"
    result = subprocess.run(
        [sys.executable, "-c", script, *words], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return set(result.stderr.split())


def test_the_help_of_all_imports_no_command() -> None:
    commands = {entry.place.partition(":")[0] for entry in COMMANDS.values()}
    assert not modules_after("--help") & {"torch", "numpy", "av", "yaml", "pydantic", "rich.console", *commands}


@pytest.mark.parametrize("words", [("masks", "--help"), ("evaluate", "davis", "--help"), ("train",), ("doctor", "-h")])
def test_no_help_imports_what_the_command_needs(words: tuple[str, ...]) -> None:
    found = modules_after(*words)
    assert not found & {"torch", "numpy", "av"}
    assert sum(name in found for name in ("propagate.cli.masks", "propagate.cli.evaluate", "propagate.cli.doctor")) <= 1


def test_arguments_are_read_without_pydantic() -> None:
    """Typer would load it for a single number: 0.1 s, half of what a finished run may take."""
    assert "pydantic" not in modules_after("texture", "nowhere.mp4", "a.png", "--crf", "3", "--context", "2", "-q")


def test_no_command_shows_the_help_and_is_a_usage_error(call: Call) -> None:
    empty = call()
    assert (empty.code, empty.out) == (2, call("--help").out)
    assert call("evaluate").code == call("weights").code == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("masks", "--binary", "--ids", "a", "b"), "--binary and --ids exclude each other"),
        (("maps", "--categories", "--values", "a", "b"), "--categories and --values exclude each other"),
        (("nothing",), "no command is called 'nothing' (one of: masks, keypoints"),
        (("mask", "a", "b"), "no command is called 'mask' (did you mean 'masks'?)"),
        (("masks",), "Missing argument 'VIDEO' (see propagate masks --help)"),
        (("masks", "a"), "Missing argument 'LABEL' (see propagate masks --help)"),
        (("info", "a", "--jsn"), "No such option: --jsn"),
        (("texture", "a", "b", "--crf", "99"), "'99', expected a whole number from 0 to 51"),
        (("texture", "a", "b", "--crf", "1_6"), "'1_6', expected a whole number from 0 to 51"),
        (("masks", "a", "b", "--fail-under", "nan"), "'nan', expected a number from 0 to 1"),
        (("masks", "a", "b", "--seed", "9" * 5000), "expected a whole number"),
        (("visualize", "a", "--frame", "3"), "--frame needs --point"),
        (("-v",), "propagate"),
    ],
)
def test_wrong_arguments_are_one_line_and_two(words: tuple[str, ...], said: str, call: Call) -> None:
    ended = call(*words)
    if words == ("-v",):
        assert ended.code == 0
        return
    assert (ended.code, ended.out, ended.err.count("\n")) == (2, "", 1)
    assert ended.err.startswith("propagate: error: ")
    assert said in ended.err
    assert len(ended.err) < 300


def test_the_former_name_of_a_command_still_works(call: Call) -> None:
    ended = call("labels", "--help")
    assert (ended.code, ended.err) == (0, "propagate: note: labels is called maps now\n")
    assert "propagate maps clip.mp4" in ended.out


def test_an_unexpected_error_is_one_line_and_debug_shows_it(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("by nothing")

    monkeypatch.setattr("propagate.video.probe", fail)
    plain, debug = call("info", "a"), call("info", "a", debug=True)
    line = "propagate: error: ZeroDivisionError: by nothing (run with --debug for the traceback)\n"
    assert (plain.code, plain.err) == (1, line)
    assert debug.err.startswith(line + "Traceback")


def test_names_are_shown_in_one_line_whatever_they_hold(call: Call) -> None:
    ended = call("info", "no\x1b[31m\nsuch\udce9.mp4")
    assert (ended.code, ended.err.count("\n")) == (3, 1)
    assert "no\\x1b[31m such\\udce9.mp4" in ended.err


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


def test_frames_that_cost_nothing_do_not_count_for_the_time_left(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])

    def frames() -> Iterator[int]:
        for index in range(100):
            now[0] += 0.2 if index < 50 else 4.0
            yield index

    list(console.progress(frames(), done=0, total=100, what="frames", free=lambda index: index < 50))
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "propagate: 10 of 100 frames"  # nothing is known of the rest
    assert "propagate: 58 of 100 frames, 0.2 frames/s, 3 min left" in lines
