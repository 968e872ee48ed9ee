"""What README and the guides say can be typed: every command in them is parsed, every option and link looked up."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from propagate.cli.group import COMMANDS, app, load_command

ROOT = Path(__file__).resolve().parents[2]
GUIDES = sorted((ROOT / "examples/guides").glob("*.md"))
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "weights/SEARCH.md", *GUIDES]
# Options of other programs: pip, python -m build and torchrun.
FOREIGN = {"--index-url", "--nproc-per-node", "--help"}
UNFINISHED = {"…", "...", "VIDEO"}  # in a text that speaks of a command, not in one to be typed


def code_of(text: str) -> Iterator[str]:
    """Yield the lines of code: those of blocks, and what stands between backticks."""
    inside = False
    for line in text.splitlines():
        if line.startswith("```"):
            inside = not inside
        elif inside or line.startswith("    "):
            yield line.strip()
        else:
            yield from re.findall("`([^`]+)`", line)


def commands_of(path: Path) -> list[list[str]]:
    """Return the words after `propagate` of every command in a document."""
    found = []
    for line in code_of(path.read_text(encoding="utf-8")):
        match = re.match(r"(?:cat \S+ \| |torchrun .* -m )?propagate (.*)", line)
        if match is not None and not UNFINISHED & set(match[1].split()):
            found.append(shlex.split(match[1], comments=True))
    return found


def parse(words: list[str]) -> None:
    """Parse a command line as `propagate` would, without running it; a command that is only named must exist."""
    if len(words) == 1 and words[0] in COMMANDS:
        return
    command: Any = get_command(app)
    context = command.make_context("propagate", list(words))
    while hasattr(command, "resolve_command") and context._protected_args:
        name, command, rest = command.resolve_command(context, [*context._protected_args, *context.args])
        context = command.make_context(name, rest, parent=context)


@cache
def options() -> frozenset[str]:
    """Return every option of every command that its help shows."""
    todo = [get_command(app), *(load_command(name) for name in COMMANDS)]
    found: set[str] = set()
    while todo:
        command: Any = todo.pop()
        todo += getattr(command, "commands", {}).values()
        for param in command.params:
            if not getattr(param, "hidden", False):
                found |= {*param.opts, *param.secondary_opts}
    return frozenset(found)


CASES = [(path.name, " ".join(words), words) for path in DOCUMENTS for words in commands_of(path)]


@pytest.mark.parametrize(("document", "line", "words"), CASES, ids=[f"{case[0]}: {case[1]}" for case in CASES])
def test_a_command_can_be_typed(document: str, line: str, words: list[str]) -> None:
    assert words, f"{document} has a command without words"
    parse(words)


def test_a_command_with_an_option_that_is_none_is_noticed() -> None:
    with pytest.raises(Exception, match="--nowhere"):
        parse(["masks", "clip.mp4", "mask.png", "--nowhere", "1"])


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_options_exist(path: Path) -> None:
    named = {
        word for line in code_of(path.read_text(encoding="utf-8")) for word in re.findall(r"(?<!\S)--[a-z][\w-]*", line)
    }
    assert named - FOREIGN <= options()


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_to_files(path: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)\)", path.read_text(encoding="utf-8"))
    assert [link for link in links if "://" not in link and not (path.parent / link).exists()] == []


def test_readme_has_every_guide_and_every_room() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert [path.name for path in GUIDES if f"examples/guides/{path.name}" not in readme] == []
    rooms = {path.name for path in (ROOT / "propagate").iterdir() if not path.name.startswith(("_", ".", "py.typed"))}
    assert {room for room in rooms if f"`{room}/`" not in readme and f"`{room}`" not in readme} == set()


def test_readme_fits_a_screen_or_three() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 120
    assert len((ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").splitlines()) <= 70


def test_readmes_python_uses_public_names_alone() -> None:
    import propagate

    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    compile(code, "README.md", "exec")
    assert set(re.findall(r"propagate\.(\w+)", code)) <= set(propagate.__all__)
