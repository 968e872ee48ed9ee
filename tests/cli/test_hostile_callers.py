"""Streams that are closed, full, broken or ASCII, and signals at any moment: work is done, one line, the right code.

What ends the interpreter itself is tried in whole processes, with commands that load nothing heavy; runs in forks.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from cli.forked import Forks

ROOT = Path(__file__).resolve().parents[2]
TOOL = (sys.executable, "-m", "propagate")
pytestmark = pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")


def shell(redirected: str, *words: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `propagate WORDS REDIRECTED` in a process of its own, as a shell does."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("LC_", "LANG", "PYTHON"))}
    command = ["bash", "-c", f'"$@" {redirected}', "bash", *TOOL, *words]
    return subprocess.run(
        command,
        cwd=cwd,
        env={**clean, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        errors="surrogateescape",
        check=False,
    )


SPACE = "propagate: error: standard output cannot be written: No space left on device\n"
MISSING = "propagate: error: nowhere.mp4: no such file"


@pytest.mark.parametrize(
    ("redirected", "words", "code", "out", "err"),
    [
        ("2>&-", ("--version",), 0, "propagate 0.", ""),
        (">&-", ("--version",), 0, "", ""),
        ("<&-", ("--version",), 0, "propagate 0.", ""),
        ("<&- >&- 2>&-", ("--version",), 0, "", ""),
        ("2>&-", ("info", "nowhere.mp4"), 3, "", ""),
        (">&-", ("info", "nowhere.mp4"), 3, "", MISSING),
        ("<&-", ("info", "-"), 3, "", "propagate: error: -: "),
        (">/dev/full", ("--version",), 1, "", SPACE),
        (">/dev/full", ("--help",), 1, "", SPACE),
        (">/dev/full", ("info", "--help"), 1, "", SPACE),
        (">/dev/full", ("info", "clip.mp4", "--json"), 1, "", SPACE),
        ("2>/dev/full", ("info", "clip.mp4"), 0, "video ", ""),
        ("2>/dev/full", ("info", "nowhere.mp4"), 3, "", ""),
        ("2>/dev/full", ("info", "--jsn"), 2, "", ""),
        (">/dev/full 2>&1", ("info", "clip.mp4"), 1, "", ""),
        ("1</dev/null", ("--version",), 1, "", "propagate: error: standard output cannot be written: Bad file"),
        ("| head -c0; exit ${PIPESTATUS[0]}", ("info", "clip.mp4", "--json"), 141, "", ""),
    ],
)
def test_streams_in_any_state(
    redirected: str, words: tuple[str, ...], code: int, out: str, err: str, project: Path
) -> None:
    ended = shell(redirected, *words, cwd=project)
    assert ended.returncode == code, ended.stderr
    assert ended.stdout.startswith(out)
    assert bool(ended.stdout) == bool(out)
    assert ended.stderr.startswith(err)
    assert ended.stderr.count("\n") == bool(err)


ASCII = (
    {"PYTHONIOENCODING": "ascii"},
    {"PYTHONIOENCODING": "utf-8:strict"},
    {"PYTHONUTF8": "0", "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0"},
    {"LC_ALL": "C"},
    {"PYTHONIOENCODING": "latin-1"},
)
NAMES = ("テスト.mp4", os.fsdecode(b"caf\xe9.mp4"), "two\nlines \x1b[31m.mp4")


@pytest.mark.parametrize("environment", ASCII, ids=str)
def test_names_come_out_whatever_the_streams_can_hold(environment: dict[str, str], project: Path) -> None:
    for name in NAMES if environment is ASCII[1] else NAMES[:1]:
        (project / name).write_bytes((project / "clip.mp4").read_bytes())
        plain = shell("", "info", name, cwd=project, **environment)
        lines = shell("", "info", name, "--json", cwd=project, **environment)
        assert (plain.returncode, lines.returncode, plain.stderr, lines.stderr) == (0, 0, "", "")
        assert os.fsencode(json.loads(lines.stdout)["path"]) == os.fsencode(name)
        missing = shell("", "info", f"no {name}", cwd=project, **environment)
        assert (missing.returncode, missing.stderr.count("\n")) == (3, 1), missing.stderr
        (project / name).unlink()


WORDS = ("masks", "clip.mp4", "mask.png", "--encoder", "rawcolor", "--end", "3")


@pytest.mark.parametrize(
    ("state", "code"),
    [
        ({"closed": [2]}, 0),
        ({"closed": [1]}, 0),
        ({"closed": [0, 1, 2]}, 0),
        ({"full": [2]}, 0),
        ({"full": [1]}, 1),
        ({"encoding": "ascii"}, 0),
        ({"encoding": "utf-8:strict"}, 0),
    ],
    ids=str,
)
@pytest.mark.parametrize("name", ["テスト", os.fsdecode(b"caf\xe9")])
def test_a_run_is_done_whatever_the_streams_are(
    name: str, state: dict[str, object], code: int, project: Path, propagate: Forks, tmp_path: Path
) -> None:
    ended = propagate(*WORDS, "-o", tmp_path / name, cwd=project, **state)
    assert ended.code == code, ended.err
    assert len(list((tmp_path / name / "masks").iterdir())) == 3
    assert "Traceback" not in ended.err
    assert (ended.out + ended.err).isascii() or state.get("encoding") != "ascii"


def test_a_full_disk_behind_json_stops_with_one_line(project: Path, propagate: Forks) -> None:
    ended = propagate(*WORDS, "-o", "full-json", "--json", "-q", cwd=project, full=[1])
    assert (ended.code, ended.err) == (1, SPACE)
    again = propagate(*WORDS, "-o", "full-json", "--json", "-q", cwd=project)
    assert (again.code, len(again.out.splitlines())) == (0, 4)


def test_json_stays_json_on_an_ascii_stream(project: Path, propagate: Forks, tmp_path: Path) -> None:
    rows = [line.replace("p0", "Füße") for line in (project / "points.csv").read_text().splitlines()]
    (project / "names.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    words = (
        "keypoints",
        "clip.mp4",
        "names.csv",
        "--end",
        "2",
        "--encoder",
        "rawcolor",
        "--json",
        "-o",
        tmp_path / "o",
    )
    ended = propagate(*words, cwd=project, encoding="ascii")
    assert ended.code == 0, ended.err
    found = [json.loads(line) for line in ended.out.splitlines()]
    assert "Füße" in [thing["id"] for thing in found[0]["objects"]]


# A finder that sends a signal when a module is about to be imported: Ctrl-C at a moment that is known.
INTERRUPTED = """
import os, sys
class Sender:
    def find_spec(self, name, path=None, target=None):
        if name == sys.argv[1]:
            sys.argv[1] = ""
            os.kill(os.getpid(), int(sys.argv[2]))
from propagate.cli import app
sys.meta_path.insert(0, Sender())
run = app.run
app.run = lambda words, **how: run(words[2:], **how)
app.main()
"""
MOMENTS = ("propagate.cli.streams", "typer", "propagate.cli.group", "propagate.cli.info", "numpy", "av.error")


@pytest.mark.parametrize("module", MOMENTS)
@pytest.mark.parametrize(
    ("number", "code", "said"),
    [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "stopped by SIGTERM")],
    ids=["SIGINT", "SIGTERM"],
)
def test_a_signal_while_modules_are_imported(
    number: signal.Signals, code: int, said: str, module: str, project: Path
) -> None:
    command = [sys.executable, "-c", INTERRUPTED, module, str(int(number)), "info", "clip.mp4"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    ended = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (code, "", f"propagate: error: {said}\n")


def test_a_signal_that_the_caller_ignores_stays_ignored(project: Path) -> None:
    script = f"trap '' INT; exec \"$@\" -c '{INTERRUPTED}' av.error 2 info clip.mp4"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = ["bash", "-c", script, "bash", sys.executable]
    ended = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_a_broken_installation_is_one_line(project: Path) -> None:
    for missing in ("propagate.cli.streams", "propagate.cli.group", "typer"):
        script = f"import sys\nsys.modules[{missing!r}] = None\nfrom propagate.cli.app import main\nmain()"
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-c", script, "--version"]
        ended = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, check=False)
        assert (ended.returncode, ended.stdout, ended.stderr.count("\n")) == (1, "", 1), ended.stderr
        assert missing in ended.stderr
