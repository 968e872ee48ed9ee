"""The shape of the house, as style.md draws it: who may import whom, how long a file is, what it may be called."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "propagate"
ORDER = [  # a room may import only from rows above its own; beside each other only in the first two rows
    {"errors", "values"},
    {"settings", "config", "registry", "device", "files"},
    {"ops"},
    {"video", "encoders", "labels", "formats"},
    {"engine"},
    {"baselines"},
    {"metrics"},
    {"render"},
    {"runs"},
    {"training"},
    {"evaluation"},
    {"cards"},
    {"commands"},
    {"cli"},
]
RANK = {room: rank for rank, row in enumerate(ORDER) for room in row}
FORBIDDEN = {("evaluation", "training")}  # training and evaluation know nothing of each other
VAGUE = {"util", "utils", "helper", "helpers", "common", "misc"}
MACHINE_PATH = re.compile(r"/(?:work|root|home|Users)/\w|[A-Z]:\\\\?Users")
TEXT = {".py", ".sh", ".md", ".toml", ".yaml", ".yml", ".html", ""}

MODULES = sorted(PACKAGE.rglob("*.py"))
SOURCES = sorted(path for folder in ("propagate", "tests", "examples") for path in (ROOT / folder).rglob("*.py"))


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_modules(path: Path) -> Iterator[str]:
    package = ("propagate", *path.relative_to(PACKAGE).parent.parts)
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parts = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*parts, *filter(None, [node.module])])
            yield module
            if module == "propagate":
                yield from (f"propagate.{alias.name}" for alias in node.names)


def may_import(room: str, other: str) -> bool:
    if room == other:
        return True
    if (room, other) in FORBIDDEN:
        return False
    return RANK[other] < RANK[room] or RANK[other] == RANK[room] <= 1


def check_absent(*names: str, code: str) -> None:
    probe = f"import sys\n{code}\nfound = {set(names)} & sys.modules.keys()\nassert not found, found"
    result = subprocess.run([sys.executable, "-c", probe], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def check_torch_free(code: str) -> None:
    check_absent("torch", "torchvision", "av", code=code)


def test_every_room_is_in_the_order() -> None:
    assert {room_of(path) for path in MODULES} - {"__init__", "__main__"} <= RANK.keys()


def test_rooms_import_only_from_rooms_above() -> None:
    wrong = [
        f"{path.relative_to(ROOT)} imports {module}"
        for path in MODULES
        if (room := room_of(path)) in RANK
        for module in imported_modules(path)
        if module.startswith("propagate.") and not may_import(room, module.split(".")[1])
    ]
    assert not wrong, "\n".join(wrong)


def test_only_video_imports_av() -> None:
    users = {room_of(path) for path in MODULES if any(m.split(".")[0] == "av" for m in imported_modules(path))}
    assert users <= {"video"}


@pytest.mark.parametrize("room", ["errors", "values", "settings", "config", "registry", "video", "formats", "metrics"])
def test_rooms_of_numpy_never_name_torch(room: str) -> None:
    files = [path for path in MODULES if room_of(path) == room]
    assert not [path.name for path in files if _imports_torch_at_run_time(path)]


def _imports_torch_at_run_time(path: Path) -> bool:
    body = ast.parse(path.read_text(encoding="utf-8")).body
    imports = [node for node in body if isinstance(node, ast.Import | ast.ImportFrom)]
    names = [node.module or "" if isinstance(node, ast.ImportFrom) else node.names[0].name for node in imports]
    return any(name.split(".")[0] in {"torch", "torchvision"} for name in names)


def test_the_default_network_is_loaded_without_torchvision_or_a_compiler() -> None:
    check_absent("torchvision", "torch._dynamo", code="import propagate\npropagate.load_encoder('resnet18')")


def test_importing_propagate_does_not_import_torch() -> None:
    check_torch_free("import propagate")


def test_help_does_not_import_torch() -> None:
    check_torch_free(
        "from propagate.cli.app import main\nsys.argv = ['propagate', '--help']\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code, end.code"
    )


def test_files_are_named_after_what_they_hold() -> None:
    names = {part.removesuffix(".py") for path in SOURCES for part in path.relative_to(ROOT).parts}
    assert not names & VAGUE


def test_test_files_have_names_of_their_own() -> None:
    names = [path.name for path in (ROOT / "tests").rglob("test_*.py")]
    assert len(names) == len(set(names))


def test_no_path_of_one_machine_is_written_down() -> None:
    folders = [ROOT / name for name in ("propagate", "tests", "examples", "weights", ".ci")]
    files = [path for folder in folders for path in folder.rglob("*") if path.suffix in TEXT and path.is_file()]
    files += [path for path in ROOT.glob("*") if path.is_file() and path.suffix in TEXT and path.name != ".git"]
    found = [
        str(path.relative_to(ROOT))
        for path in files
        if "__pycache__" not in path.parts
        and "demo" not in path.parts
        and MACHINE_PATH.search(path.read_text(encoding="utf-8", errors="replace"))
    ]
    assert not found
