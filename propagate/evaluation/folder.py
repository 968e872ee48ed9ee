"""The folder of an evaluation: whose it is, what was asked, and a digest of every file that was written into it.

Only a file whose bytes are those that an evaluation wrote is ever replaced or removed, with --force too. OUT/run.yaml
holds what was asked, so that it repeats the evaluation, and the digests of tables and report. A file of scores holds
its own digest and those of the results of its sequence.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

from propagate.errors import ConflictError, OutputError
from propagate.formats.atomic import make_folder, write_text
from propagate.runs.folder import STATE, remove_file, unwritable
from propagate.runs.record import Digests, Record, differences, identify_files, identify_video

RECORD = "run.yaml"
TABLES = ("results.json", "report.html", "summary.csv", "per-sequence.csv")  # beside those of an official evaluator
CACHED_FLOW = re.compile(r"[0-9a-f]{40}\.npz")  # as baselines.flow_cache names them
_APART = "give another -o, or move it away"


def file_digest(path: Path) -> str | None:
    """Return the SHA-256 of a file, None where there is none that can be read."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return None


def text_digest(text: str) -> str:
    """Return the SHA-256 that a file with this text has."""
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def read_record(path: Path) -> Record | None:
    """Return a run.yaml that an evaluation wrote, None where there is none.

    Raises:
        ConflictError: something else lies there under this name.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        content = None
    if not isinstance(content, dict) or not str(content.get("command")).startswith("evaluate "):
        raise ConflictError(f"{path}: was not written by an evaluation", hint=_APART)
    return content


def write_record(path: Path, record: Mapping[str, Any]) -> None:
    """Write a run.yaml, whole or not at all, and its folder.

    Raises:
        OutputError: it cannot be written.
    """
    make_folder(path.parent)
    write_text(path, yaml.safe_dump(dict(record), sort_keys=False, allow_unicode=True))


def check_same(path: Path, there: Record | None, record: Record, *, force: bool) -> None:
    """Refuse a folder that holds another evaluation, unless it may be done again.

    Args:
        path: the folder's run.yaml.
        there: what it says; None where there is none.
        record: what it would say; compared are command, version and fingerprint.
        force: replace another evaluation.

    Raises:
        ConflictError: it does; what differs is named.
    """
    found = differences(_compared(there or record), _compared(record))
    if found and not force:
        more = f" and {len(found) - 3} more" if len(found) > 3 else ""
        hint = "give another -o, or --force to do it again"
        raise ConflictError(f"{path.parent}: holds another run: {'; '.join(found[:3])}{more}", hint=hint)


def _compared(record: Mapping[str, Any]) -> Record:
    """Return what makes an evaluation's record another one."""
    return {
        "command": record.get("command"),
        "version": record.get("version"),
        "options": record.get("fingerprint", {}),
    }


class EvaluationFolder:
    """OUT: its record, and the tables and pages that are replaced each time.

    Args:
        out: the folder.
        record: of the evaluation that is to be done.
        force: write beside other files, and replace another evaluation.

    Raises:
        ConflictError: the folder holds other files, another benchmark's scores, or a file that would be replaced and
            is not as an evaluation wrote it.
    """

    def __init__(self, out: Path, record: Record, *, force: bool) -> None:
        self.out, self._record = out, record
        there = read_record(out / RECORD)
        check_same(out / RECORD, there, record, force=force)
        self._written: dict[str, list[str]] = {}
        for name, digests in dict((there or {}).get("results") or {}).items():
            self._written[str(name)] = [digests] if isinstance(digests, str) else list(digests)
        others = out.is_dir() and any(path.name != STATE for path in out.iterdir())
        if there is None and others and not force:
            raise ConflictError(f"{out}: holds other files", hint="give another -o, or --force to write beside them")
        self.check([*TABLES, *self._written])

    def check(self, names: Iterable[str]) -> None:
        """Refuse to replace a file that is not as an evaluation wrote it.

        Raises:
            ConflictError: one is not; it is named.
        """
        for name in names:
            found = file_digest(self.out / name)
            if found is not None and found not in self._written.get(name, ()):
                what = "was changed since it was written" if name in self._written else "is not of this evaluation"
                raise ConflictError(f"{self.out / name}: {what}, and would be replaced", hint=_APART)

    def begin(self) -> None:
        """Write the record: the folder is an evaluation's from now on.

        Raises:
            OutputError: it cannot be written.
        """
        write_record(self.out / RECORD, {**self._record, "results": self._plain()})

    def write(self, path: Path, text: str) -> None:
        """Write a table or page of the folder, whole or not at all; until it is there, old and new bytes are known.

        Raises:
            ConflictError: something else lies there.
            OutputError: it cannot be written.
        """
        name, digest = path.relative_to(self.out).as_posix(), text_digest(text)
        self.check([name])
        if self._written.get(name) != [digest]:
            self._written[name] = [*self._written.get(name, ()), digest]
            self.begin()
        make_folder(path.parent)
        write_text(path, text)
        if self._written[name] != [digest]:
            self._written[name] = [digest]
            self.begin()

    def forget_flows(self) -> None:
        """Remove the flows that baselines keep, so that their time is measured again."""
        cache = self.out / "cache"
        for path in cache.iterdir() if cache.is_dir() else ():
            if CACHED_FLOW.fullmatch(path.name):
                remove_file(path)

    def _plain(self) -> dict[str, str | list[str]]:
        return {name: digests[0] if len(digests) == 1 else digests for name, digests in self._written.items()}


def sealed(content: Mapping[str, Any]) -> str:
    """Return plain data as JSON that holds its own digest."""
    return json.dumps({"digest": _digest(content), **content}, allow_nan=False)


def read_sealed(path: Path) -> dict[str, Any] | None:
    """Return what `sealed` made a file of; None where there is none, or it was cut or edited."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        digest = content.pop("digest")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return content if isinstance(content, dict) and digest == _digest(content) else None


def _digest(content: Mapping[str, Any]) -> str:
    return text_digest(json.dumps(content, sort_keys=True))


def move_results(made: Path, results: Path, *, known: Mapping[str, str]) -> tuple[dict[str, str], tuple[str, ...]]:
    """Move what was found on a sequence to its place; a file there that is not ours is left as it is.

    Args:
        made: a folder of its own; removed.
        results: where the files go, under the same relative names.
        known: name -> digest of what was written there for the sequence before.

    Returns:
        Name -> digest of what was found, and a line on each file that was left.

    Raises:
        OutputError: a file cannot be written.
    """
    files: dict[str, str] = {}
    notes = []
    try:
        for path in sorted(path for path in made.rglob("*") if path.is_file()):
            name = path.relative_to(made).as_posix()
            files[name] = file_digest(path) or ""
            target = results / name
            if (there := file_digest(target)) not in (None, known.get(name), files[name]):
                notes.append(f"{target} is not as it was written ({str(there)[:8]}): it is left as it is")
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            path.replace(target)
    except OSError as error:
        raise unwritable(results, error) from error
    shutil.rmtree(made, ignore_errors=True)
    with suppress(OSError):  # another sequence is being tracked
        made.parent.rmdir()
    return files, tuple(notes)


def clear_scratch(made: Path) -> None:
    """Remove the folder in which a sequence's results were being made when its process was killed.

    Raises:
        OutputError: it cannot be removed.
    """
    try:
        if made.exists():
            shutil.rmtree(made)
    except OSError as error:
        raise OutputError(f"{made}: cannot be removed: {error.strerror or error}") from error


def identify_sequence(name: str, video: Path, truth: Iterable[Path]) -> Record:
    """Return what tells a sequence's pictures and truth from others, wherever they lie; a folder is its files.

    Raises:
        InputError: a file cannot be read.
    """
    digests = Digests()
    files = [f for path in truth for f in (_files_in(path) if path.is_dir() else [path])]
    pictures = identify_video(video, name=name, base=video.parent, digests=digests)
    return {
        "video": _unplaced(pictures),
        "truth": [_unplaced(one) for one in identify_files(files, base=Path(), digests=digests)],
    }


def _files_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_file())


def _unplaced(identity: Record) -> Record:
    return {key: value for key, value in identity.items() if key != "path"}


def forget(scores: Path, results: Path) -> None:
    """Remove the scores that lie in a folder, and the results that are as they were written with them.

    Raises:
        OutputError: one cannot be removed.
    """
    for path in sorted(scores.rglob("*.json")):
        content = read_sealed(path)
        if content is None:
            continue  # no scores of ours, or edited ones
        for name, digest in dict(content.get("files") or {}).items():
            if file_digest(results / name) == digest:
                remove_file(results / name)
        remove_file(path)
