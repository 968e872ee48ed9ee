"""Prints the shape of the house: how many files, the longest, cycles of imports, small files with one importer.

Run it as `python tests/structure.py`; `test_structure.py` holds what it prints to the bounds. Imports inside functions
count too; those for types alone do not. An entry of a registry ("module:object") is imported by whoever reads it.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SMALL = 80  # lines below which a file with one importer needs a reason
_ENTRY = re.compile(r'"(propagate(?:\.\w+)+):\w+"')


@dataclass(frozen=True)
class Structure:
    """The modules of the package and who imports whom.

    Attributes:
        lines: module -> how many lines it has.
        imports: module -> modules that it imports.
        entries: modules that a registry names.
    """

    lines: dict[str, int]
    imports: dict[str, frozenset[str]]
    entries: frozenset[str]

    def cycles(self) -> list[tuple[str, ...]]:
        """Return the groups of modules that import one another, each sorted."""
        reach = {module: self._reached(module) for module in self.imports}
        groups = {
            tuple(sorted(other for other in reach[module] if module in reach[other])): None
            for module in self.imports
            if module in reach[module]
        }
        return sorted(groups)

    def _reached(self, module: str) -> set[str]:
        found: set[str] = set()
        todo = list(self.imports[module])
        while todo:
            if (other := todo.pop()) not in found:
                found.add(other)
                todo += self.imports[other]
        return found

    def small_with_one_importer(self) -> dict[str, str]:
        """Return small modules that exactly one other imports, with that one; entries of registries apart."""
        importers = {module: [other for other, seen in self.imports.items() if module in seen] for module in self.lines}
        return {
            module: importers[module][0]
            for module, count in self.lines.items()
            if count < SMALL and len(importers[module]) == 1 and module not in self.entries
        }


def read_structure(root: Path = ROOT) -> Structure:
    """Return the structure of the package below `root`."""
    files = {_name(path, root): path for path in sorted((root / "propagate").rglob("*.py"))}
    texts = {module: path.read_text(encoding="utf-8") for module, path in files.items()}
    known = frozenset(files)
    return Structure(
        lines={module: len(text.splitlines()) for module, text in texts.items()},
        imports={module: frozenset(_imports(text, known)) - {module} for module, text in texts.items()},
        entries=frozenset(entry for text in texts.values() for entry in _ENTRY.findall(text)),
    )


def _name(path: Path, root: Path) -> str:
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _imports(text: str, known: frozenset[str]) -> Iterator[str]:
    """Yield the modules that a file imports when it runs: of `from package import module` the module."""
    for node in _run(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom) and node.module:
            full = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from (name if name in known else node.module for name in full if {name, node.module} & known)


def _run(node: ast.AST) -> Iterator[ast.AST]:
    """Yield all nodes but those under `if TYPE_CHECKING:`."""
    yield node
    for child in ast.iter_child_nodes(node):
        if not (isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test)):
            yield from _run(child)


def main() -> None:
    """Print it."""
    found = read_structure()
    total, count = sum(found.lines.values()), len(found.lines)
    print(f"{count} files, {total} lines: {1000 * count / total:.1f} files per 1,000 lines")
    longest = sorted(found.lines.items(), key=lambda item: -item[1])[:5]
    print("longest: " + ", ".join(f"{module} {lines}" for module, lines in longest))
    print(f"cycles of imports: {len(found.cycles())}")
    for group in found.cycles():
        print("  " + " <-> ".join(group))
    small = found.small_with_one_importer()
    print(f"files under {SMALL} lines with one importer, entries of registries apart: {len(small)}")
    for module, importer in small.items():
        print(f"  {module} ({found.lines[module]}), by {importer}")


if __name__ == "__main__":
    main()
