from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = ["examples/env.sh", "examples/demo.sh", "tests/run.sh"]
SHELLS = [shell for shell in ("sh", "dash", "bash") if shutil.which(shell)]


@pytest.mark.parametrize("script", SCRIPTS)
@pytest.mark.parametrize("shell", SHELLS)
def test_scripts_parse_in_every_shell(shell: str, script: str) -> None:
    assert subprocess.run([shell, "-n", ROOT / script], check=False).returncode == 0


def test_no_new_enough_python_is_said(tmp_path: Path) -> None:
    result = run_env(tmp_path, python="#!/bin/sh\nexit 1\n")
    assert result.returncode == 1
    assert result.stderr.startswith("no Python 3.11 or newer on PATH")


def test_a_missing_venv_module_is_named(tmp_path: Path) -> None:
    # A Python that is new enough and says its version, but cannot import venv.
    python = '#!/bin/sh\ncase "$2" in *ensurepip*) exit 1;; *print*) echo 3.12;; esac\n'
    result = run_env(tmp_path, python=python)
    assert result.returncode == 1
    assert "apt install python3.12-venv" in result.stderr
    assert not (tmp_path / "checkout" / ".venv").exists()


def test_install_runs_once_and_again_after_a_change(tmp_path: Path) -> None:
    python = tmp_path / "checkout" / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text('#!/bin/sh\ncase "$2" in pip) echo installed >&2;; esac\n')
    python.chmod(0o755)
    assert "installed" in run_env(tmp_path).stderr
    assert run_env(tmp_path).stderr == ""
    (tmp_path / "checkout" / "pyproject.toml").write_text("# changed\n")
    assert "installed" in run_env(tmp_path).stderr


def run_env(folder: Path, *, python: str = "#!/bin/sh\nexit 1\n") -> subprocess.CompletedProcess[str]:
    """Source env.sh for a checkout in `folder`, with `python` as every Python on PATH."""
    (folder / "checkout").mkdir(exist_ok=True)
    (folder / "checkout" / "pyproject.toml").touch()
    tools = folder / "tools"
    tools.mkdir(exist_ok=True)
    for name in ("python3", "python", "python3.11", "python3.12", "python3.13", "python3.14"):
        (tools / name).write_text(python)
        (tools / name).chmod(0o755)
    command = f'set -eu; ROOT="{folder}/checkout"; . "{ROOT}/examples/env.sh"'
    environment = {"PATH": f"{tools}:/usr/bin:/bin"}
    return subprocess.run(
        ["sh", "-c", command], env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
