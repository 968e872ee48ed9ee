"""A run's folder: who works in it, whose run it holds, and the one way in which files in it are replaced or removed.

Only what a run wrote itself, and nobody changed since, is ever replaced or removed, whatever the flags: the manifest in
the state folder knows the digest of every file that a run wrote.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import socket
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from datetime import datetime
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from propagate.errors import ConflictError, OutputError
from propagate.formats.atomic import partial_of, write_bytes, write_text
from propagate.runs.manifest import NAME as MANIFEST
from propagate.runs.manifest import FileEntry, Manifest
from propagate.runs.record import Digests, Record, differences, file_sha256

if TYPE_CHECKING:
    from filelock import BaseFileLock

log = logging.getLogger(__name__)

STATE = ".state"
ZEROS = 1024  # bytes of nothing at one place that make a video damaged: what never reached the disk
_BLOCK = 1 << 20  # bytes that are compared at once
_SHOWN = 3  # differences that a message names


class RunFolder:
    """The files of one run. Nothing is touched before `claim`; `close` lets other runs in.

    Attributes:
        out: the folder or file that the user asked for.
        record_path: its run.yaml.
        state: the folder of the manifest, the lock and the states of frames.
        base: the folder that names of files are said from.
        inputs: files that the run reads; they are never written, though they lie where results go.
    """

    def __init__(self, out: Path, record_path: Path, state: Path) -> None:
        self.out, self.record_path, self.state = out, record_path, state
        self.base = record_path.parent
        self.inputs: frozenset[Path] = frozenset()
        self.edited: list[str] = []  # names of files that a person changed or put in the way: they are kept
        self._lock: BaseFileLock | None = None

    @classmethod
    def folder(cls, out: Path) -> RunFolder:
        """Return the place of a run that fills a folder."""
        return cls(out, out / "run.yaml", out / STATE)

    @classmethod
    def file(cls, out: Path) -> RunFolder:
        """Return the place of a run that writes one file, with its record beside it."""
        return cls(out, out.with_name(f"{out.name}.run.yaml"), out.with_name(f".{out.name}{STATE}"))

    @property
    def fills_folder(self) -> bool:
        """Whether results lie in a folder of the run's own."""
        return self.base == self.out

    @property
    def log(self) -> Path:
        """Where results.jsonl lies in runs that fill a folder."""
        return self.out / "results.jsonl"

    @cached_property
    def manifest(self) -> Manifest:
        """What was done here."""
        return Manifest(self.state / MANIFEST)

    @cached_property
    def digests(self) -> Digests:
        """Digests of inputs, kept from run to run."""
        return Digests(self.state / "digests.json")

    # Whose run it is.

    def read_record(self) -> Record | None:
        """Return the record of the run that is here; None when there is none.

        Raises:
            ConflictError: there is a file of that name which is not a record of ours.
        """
        import yaml

        try:
            content: Any = yaml.safe_load(self.record_path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except NotADirectoryError as error:
            raise unwritable(self.out, error) from error
        except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
            raise ConflictError(f"{self.record_path}: cannot be read: {error}", hint="give another -o") from error
        if isinstance(content, dict) and "command" in content:
            if isinstance(content.get("inputs"), dict):
                return content
            if isinstance(content.get("fingerprint"), dict):  # of propagate 0.1.0, which kept no inputs
                return {**content, "inputs": {}}
        hint = "give another -o, or move it away"
        raise ConflictError(f"{self.record_path}: was not written by propagate", hint=hint)

    def check(self, record: Record, *, wholes: Sequence[Path], but: Iterable[str] = (), force: bool = False) -> None:
        """Refuse a run whose files would meet those of another run or of a person; nothing is touched.

        Args:
            record: of the run that is to begin.
            wholes: files that it writes once, not for each frame.
            but: parts of the record that may differ, see `record.identity`.
            force: another run of ours is no error.

        Raises:
            ConflictError: it names what differs, or what is in the way.
        """
        there = self.read_record()
        if there is None:
            self._refuse_foreign(force=force)
        elif not force and (found := differences(there, record, but=but)):
            more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
            hint = "give another -o, or --force to replace that run"
            raise ConflictError(f"{self.out}: holds another run: {'; '.join(found[:_SHOWN])}{more}", hint=hint)
        known = set(self.manifest.written)
        if force and there is not None and not known:
            known = set(there.get("results") or ())  # `adopt` takes them; else a stopped run may not have made them yet
        for path in wholes:
            if path.exists() and self.name_of(path) not in known:
                hint = "give another name, or move it away"
                raise ConflictError(f"{path}: is there already, and was not written by a run of this name", hint=hint)

    def _refuse_foreign(self, *, force: bool) -> None:
        """Refuse to begin among files that are not ours."""
        if self.fills_folder and self.out.is_file():
            raise ConflictError(f"{self.out}: is a file, expected a folder", hint="give another -o")
        if self.fills_folder and self.out.is_dir() and not force:
            ours = {self.state, partial_of(self.record_path)}
            if foreign := sorted(path.name for path in self.out.iterdir() if path not in ours):
                hint = "give another -o, or --force to write beside them"
                raise ConflictError(f"{self.out}: holds other files, such as {foreign[0]}", hint=hint)

    # Who works here.

    def claim(self) -> None:
        """Keep other runs out until `close`, or until this process ends however it ends.

        Raises:
            ConflictError: another run works here; it is named.
            OutputError: the folder cannot be written.
        """
        from filelock import FileLock, Timeout

        try:
            self.state.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.state / "lock")
            lock.acquire(timeout=0)
        except Timeout as error:
            hint = "wait for it, or give another -o"
            raise ConflictError(f"{self.out}: {self._owner()} is at work here", hint=hint) from error
        except OSError as error:
            raise unwritable(self.out, error) from error
        self._lock = lock
        self.__dict__.pop("manifest", None)  # whoever worked here before may have gone on since it was read
        try:
            self._sign()
        except OutputError:
            self.close()
            raise

    def _sign(self) -> None:
        now = datetime.now().astimezone().strftime("%Y-%m-%d %H:%M")
        owner = {"process": os.getpid(), "machine": socket.gethostname(), "since": now}
        write_text(self.state / "owner.json", json.dumps(owner))

    def _owner(self) -> str:
        """Return in words who holds the lock."""
        try:
            owner = json.loads((self.state / "owner.json").read_text(encoding="utf-8"))
            return f"another run (process {owner['process']} on {owner['machine']}, since {owner['since']})"
        except (OSError, ValueError, KeyError, TypeError):
            return "another run"

    def close(self) -> None:
        """Let other runs in."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    # Files.

    def name_of(self, path: Path) -> str:
        """Return what the manifest calls a file: relative to the record's folder where it lies in it."""
        base, path = self.base.resolve(), path.resolve()
        return path.relative_to(base).as_posix() if path.is_relative_to(base) else str(path)

    def path_of(self, name: str) -> Path:
        """Return where a file of the manifest lies."""
        return self.base / name

    def adopt(self, there: Record) -> None:
        """Take the files of a run without a manifest for those that a run wrote here: it may replace them.

        propagate 0.1.0 kept no digests, and a person may have deleted the state folder. What results.jsonl does not
        name is left alone.

        Args:
            there: the record of the run.

        Raises:
            OutputError: the manifest cannot be written.
        """
        if self.manifest.written:
            return
        stems = {entry["stem"] for entry in _lines(self.log)} if self.fills_folder else set()
        paths = [self.path_of(str(name)) for name in there.get("results") or ()]
        inside = [path for path in paths if not path.is_dir() or path.resolve().is_relative_to(self.base.resolve())]
        files = [
            file
            for path in inside
            for file in (path.iterdir() if path.is_dir() else [path])
            if file.is_file() and (file.stem in stems or not path.is_dir())
        ]
        self.manifest.adopt({self.name_of(file): file_sha256(file) for file in files})

    def write_record(self, record: Record) -> None:
        """Write run.yaml.

        Raises:
            OutputError: it cannot be written.
        """
        text = _as_yaml(record)
        try:
            same = self.record_path.read_text(encoding="utf-8") == text
        except (OSError, UnicodeDecodeError):
            same = False
        if not same:
            write_text(self.record_path, text)

    def may_write(self, name: str, data: bytes) -> bool:
        """Return whether a file of the run may be written: not where a person's file, or an input, has its place.

        What a person changed is kept, and noted in `edited`; what was cut short or zeroed is made again.

        Raises:
            OutputError: what is there cannot be read.
        """
        path = self.path_of(name)
        if self.is_input(name):
            return False
        there = _read(path)
        if there is None or there == data or not self._is_anothers(name, there, data):
            return True
        self.edited.append(name)
        return False

    def _is_anothers(self, name: str, there: bytes, data: bytes) -> bool:
        """Return whether a file's content is a person's: not what a run wrote, nor a damaged piece of it.

        One that is empty or all zeros is nobody's: a power cut leaves it, and may take the manifest's line with it.
        """
        if not any(there):
            return False
        written = self.manifest.written.get(name, ())
        return hashlib.sha256(there).hexdigest() not in written and not (written and is_damaged(there, data))

    def write(self, name: str, data: bytes) -> None:
        """Write a file whole, unless it holds these bytes already.

        Raises:
            OutputError: it cannot be written.
        """
        path = self.path_of(name)
        if _read(path) != data:
            write_bytes(path, data, sync=False)  # a damaged file is noticed, and made again

    def remove(self, name: str) -> None:
        """Remove a file that a run wrote, unless somebody changed it since, or the run reads it.

        Raises:
            OutputError: it cannot be removed.
        """
        path, written = self.path_of(name), self.manifest.written.get(name, ())
        if not self.is_input(name) and path.is_file() and file_sha256(path) in written:
            remove_file(path)

    def make_file(self, name: str, make: Callable[[], object], *, of: str) -> None:
        """Make a file that is written at once; the manifest knows of it before it is there.

        Content that no run is known to have written gets another name first. Whether a shorter file was cut off or is a
        person's is told afterwards: a piece of the new file is no loss.

        Args:
            name: of the file.
            make: writes it.
            of: digest of all that it is made of.

        Raises:
            OutputError: it cannot be written.
        """
        path, moved = self.path_of(name), self._set_aside(name)
        self.manifest.add_file(FileEntry(name, ""))
        try:
            make()
        finally:
            if moved is not None and path.exists() and _is_piece(moved, path):
                remove_file(moved)
            elif moved is not None:
                log.warning("%s was not as a run wrote it: it is called %s now", path, moved.name)
        self.manifest.add_file(self.entry_of(name, of=of))

    def _set_aside(self, name: str) -> Path | None:
        """Rename a file whose content no run is known to have written; return its new name."""
        path, written = self.path_of(name), self.manifest.written.get(name, ())
        if "" in written or not path.is_file() or file_sha256(path) in written:
            return None
        return rename_edited(path)

    def is_input(self, name: str) -> bool:
        """Return whether the run reads this file."""
        return self.path_of(name).resolve() in self.inputs

    def digest_of(self, name: str) -> str:
        """Return the SHA-256 of a file that is there."""
        return file_sha256(self.path_of(name))

    def entry_of(self, name: str, *, of: str) -> FileEntry:
        """Return what the manifest says of a file that is written.

        Args:
            name: of the file.
            of: digest of what it was made of.
        """
        return FileEntry(name, self.digest_of(name), of, self.path_of(name).stat().st_size)

    def is_edited(self, entry: FileEntry) -> bool:
        """Return whether a person changed a file: no run wrote it so, nor is it cut short or zeroed in part."""
        path, written = self.path_of(entry.name), self.manifest.written[entry.name]
        if "" in written or path.stat().st_size < entry.size or self.digest_of(entry.name) in written:
            return False
        return bytes(ZEROS) not in path.read_bytes()

    def clear_scratch(self) -> None:
        """Remove what unfinished files of another run left in the state folder."""
        for folder in [path for path in self.state.iterdir() if path.is_dir()]:
            for file in folder.iterdir():
                remove_file(file)
            folder.rmdir()

    def holds(self, name: str, digest: str | None) -> bool:
        """Return whether a file is there with this content."""
        path = self.path_of(name)
        return digest is not None and path.is_file() and file_sha256(path) == digest


def _as_yaml(record: Record) -> str:
    """Return a record as YAML; a value that occurs twice is written twice, for files with references are refused."""
    import yaml

    class Plain(yaml.SafeDumper):
        def ignore_aliases(self, data: Any) -> bool:
            return True

    return yaml.dump(record, Dumper=Plain, sort_keys=False, allow_unicode=True)


def _lines(log: Path) -> list[dict[str, Any]]:
    """Return the lines of a results.jsonl that are whole."""
    found = []
    for line in (_read(log) or b"").splitlines():
        with suppress(ValueError, RecursionError):
            found.append(json.loads(line))
    return [line for line in found if isinstance(line, dict) and "stem" in line]


def is_damaged(there: bytes, whole: bytes) -> bool:
    """Return whether bytes are what is left of others: cut short, or with zeros in the place of some of them."""
    if len(there) > len(whole):
        return not any(there)
    import numpy as np  # 0.1 s, which a finished run need not wait for

    left, right = (np.frombuffer(data, np.uint8, count=len(there)) for data in (there, whole))
    return not left[left != right].any()


def _is_piece(there: Path, whole: Path) -> bool:
    """Return whether a file is what is left of another, as `is_damaged`, without holding them in memory."""
    with there.open("rb") as left, whole.open("rb") as right:
        return all(is_damaged(block, right.read(_BLOCK)) for block in iter(lambda: left.read(_BLOCK), b""))


def _read(path: Path) -> bytes | None:
    """Return the content of a file, None when there is none."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise unwritable(path, error) from error


def rename_edited(path: Path) -> Path:
    """Rename a file to a free name beside it, such as "results.edited.jsonl", and return that.

    Raises:
        OutputError: it cannot be renamed.
    """
    names = (path.with_name(f"{path.stem}.edited{n or ''}{path.suffix}") for n in count())
    free = next(name for name in names if not name.exists())
    try:
        path.rename(free)
    except OSError as error:
        raise unwritable(path, error) from error
    return free


def remove_file(path: Path) -> None:
    """Remove a file if it is there.

    Raises:
        OutputError: it cannot be removed.
    """
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(f"{path}: cannot be removed: {error.strerror or error}") from error


def check_writable(path: Path) -> None:
    """Try out that a file can be written, making its folder: found out now, not when a long run ends.

    Raises:
        OutputError: it cannot be.
    """
    trial = partial_of(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        trial.touch()
        trial.unlink()
    except OSError as error:
        raise unwritable(path, error) from error


def unwritable(path: Path, error: OSError) -> OutputError:
    """Return what to say when a place cannot be written."""
    return OutputError(f"{path}: cannot be written: {error.strerror or error}", hint="check its folder and permissions")
