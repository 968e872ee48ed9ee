"""A run that is done, recognised from its files alone: no video is opened, and nothing heavy is imported."""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from propagate.errors import PropagateError
from propagate.formats.atomic import write_text
from propagate.runs.folder import RunFolder

ASKED = "asked.json"


@dataclass(frozen=True)
class Lost:
    """What a damaged video could not give.

    Attributes:
        missing: frames that repeat the one before.
        patched: frames that are shown as far as they decode.
        ends_early: what to say of a file that was cut off; empty for one that was not.
    """

    missing: tuple[int, ...] = ()
    patched: tuple[int, ...] = ()
    ends_early: str = ""

    def __bool__(self) -> bool:
        return bool(self.missing or self.patched or self.ends_early)


@dataclass(frozen=True)
class FinishedRun:
    """A run that has nothing left to do; it has what a `Run` shows.

    Attributes:
        folder: of its files.
        total: how many frames there are.
        lost: what a damaged video could not give.
        notes: lines for the user.
    """

    folder: RunFolder
    total: int
    lost: Lost
    notes: tuple[str, ...] = ()
    finished = True
    steps = 0
    cuts: tuple[int, ...] = ()
    bare_shots: frozenset[int] = frozenset()

    @property
    def done(self) -> int:
        """How many frames are done: all."""
        return self.total

    def prepare(self) -> Generator[int, None, None]:
        """Yield nothing: all that had to be computed is."""
        yield from ()

    def lines(self) -> Iterator[Mapping[str, Any]]:
        """Yield what results.jsonl says of each frame."""
        return (entry.line for entry in self.folder.manifest.frames())

    def __iter__(self) -> Generator[Any, None, None]:
        """Yield nothing: no frame is left."""
        yield from ()

    def close(self) -> None:
        """Nothing is open."""


def keep_asked(folder: RunFolder, asked: Mapping[str, Any]) -> None:
    """Remember what a finished run was asked for.

    Raises:
        OutputError: it cannot be written.
    """
    write_text(folder.state / ASKED, json.dumps(asked))


def read_asked(folder: RunFolder) -> dict[str, Any] | None:
    """Return what the run that was finished last in a folder was asked for; None when none was."""
    try:
        content = json.loads((folder.state / ASKED).read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    wanted = ("settings", "options", "wholes")
    return content if isinstance(content, dict) and all(name in content for name in wanted) else None


def find_finished(folder: RunFolder, asked: Mapping[str, Any]) -> FinishedRun | None:
    """Return the run that lies in a folder when just this was asked for, it is done, and its files are whole.

    Args:
        folder: where results go.
        asked: what is asked for now: the command, digests of all inputs, settings as given, options.
    """
    if read_asked(folder) != json.loads(json.dumps(asked)) or not folder.record_path.is_file():
        return None
    try:
        manifest = folder.manifest
        if not manifest.end or not _files_whole(folder, asked["wholes"]):
            return None
    except (OSError, ValueError, PropagateError):  # whatever is wrong there: the run itself will say it
        return None
    end = manifest.end
    lost = Lost(tuple(end["missing"]), tuple(end["patched"]), end["ends_early"])
    return FinishedRun(folder, end["frames"], lost, notes=tuple(_kept_notes(folder)))


def _files_whole(folder: RunFolder, wholes: Sequence[str]) -> bool:
    manifest = folder.manifest
    log = folder.log.read_bytes() if folder.fills_folder else b""
    lines, count = log.splitlines(), 0
    for entry in manifest.frames():
        for name, digest in entry.files.items():
            if not folder.holds(name, digest):
                return False
        if not all(folder.holds(name, digest) for name, digest in entry.kept.items()):
            return False
        if folder.fills_folder and (count >= len(lines) or json.loads(lines[count]) != entry.line):
            return False
        count += 1
    made = all(name in manifest.files and folder.holds(name, manifest.files[name].sha256) for name in wholes)
    return made and count == manifest.end["frames"] and (not log or len(lines) == count)


def _kept_notes(folder: RunFolder) -> Iterator[str]:
    names = [name for entry in folder.manifest.frames() for name in entry.kept]
    if names:
        yield kept_note([folder.path_of(name) for name in names])


def kept_note(paths: list[Path]) -> str:
    """Return what is said of files that a person changed, or put where results go."""
    listed = ", ".join(map(str, paths[:3])) + (f" and {len(paths) - 3} more" if len(paths) > 3 else "")
    what, it = ("is", "it") if len(paths) == 1 else ("are", "them")
    return f"{listed} {what} not as a run wrote {it}: kept as yours (delete {it} to have {it} made again)"
