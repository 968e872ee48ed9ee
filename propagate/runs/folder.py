"""Where a run's files go, whether it may write there, and whether a run of the same fingerprint is continued."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal

import yaml

from propagate.errors import ConflictError, OutputError
from propagate.formats import results
from propagate.formats.atomic import partial_of, write_text
from propagate.runs.record import Record, differences

LOCK = ".lock"


def lock(folder: Path) -> IO[bytes]:
    """Return a file that keeps other runs out of a folder until it is closed, or its process ends however it ends.

    Raises:
        ConflictError: another run is at work there.
        OutputError: the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / LOCK).open("ab")
    except OSError as error:
        raise OutputError(f"{folder}: cannot be written: {error.strerror or error}") from error
    try:
        import fcntl
    except ImportError:  # Windows: two runs are not kept apart there
        return file
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.close()
        raise ConflictError(f"{folder}: another run is at work here", hint="wait for it, or give another -o") from error
    return file


Status = Literal["new", "continued", "finished"]


@dataclass(frozen=True)
class Place:
    """The files of one run.

    Attributes:
        out: the folder or file that the user asked for.
        record: its run.yaml.
        state: the folder that exists while the run is unfinished.
        written: everything else that the run writes: files, and folders that hold only what we wrote.
        key: the one of `written` without which a finished run is not whole.
    """

    out: Path
    record: Path
    state: Path
    written: tuple[Path, ...]
    key: Path

    @classmethod
    def folder(cls, out: Path, *, names: Iterable[str], beside: Iterable[Path] = ()) -> Place:
        """Return the place of a run that fills a folder.

        Args:
            out: the folder.
            names: what is written in it besides results.jsonl.
            beside: files that are written elsewhere, such as an overlay.
        """
        written = (out / "results.jsonl", *(out / name for name in names), *beside)
        return cls(out, out / "run.yaml", out / ".state", written, written[0])

    @classmethod
    def file(cls, out: Path, *, beside: Iterable[Path] = ()) -> Place:
        """Return the place of a run that writes one file, with its record beside it."""
        state = out.with_name(f".{out.name}.state")
        return cls(out, out.with_name(f"{out.name}.run.yaml"), state, (out, *beside), out)

    def claim(self, record: Record, *, force: bool = False) -> Status:
        """Return whether a run starts here, continues or is finished; for the first two the record is written.

        Args:
            record: what `run_record` returns.
            force: replace the files of another run of ours; files that we did not write are never touched.

        Raises:
            ConflictError: something else is here; it names what differs.
            OutputError: it cannot be written.
        """
        record = {**record, "results": [self._name(path) for path in self.written]}
        there = self._read_record()
        if there is not None and not (found := differences(there, record)):
            if self.state.is_dir():
                return "continued"
            if self.key.exists() and not force:
                return "finished"
        elif there is not None and not force:
            more = f" and {len(found) - 3} more" if len(found) > 3 else ""
            hint = "give another -o, or --force to replace that run"
            raise ConflictError(f"{self.out}: holds another run: {'; '.join(found[:3])}{more}", hint=hint)
        elif there is None:
            self._refuse_foreign(force=force)
        self._start(record, self._left_by(there))
        return "new"

    def finish(self) -> None:
        """Remove the state: the run is done.

        Raises:
            OutputError: it cannot be removed.
        """
        remove(self.state)

    def _start(self, record: Record, written: list[Path]) -> None:
        """Write the record, after what an earlier run of ours left is removed."""
        stems = self._stems()
        for path in self.written:
            if not path.is_relative_to(self.out):
                check_writable(path)
        try:
            self.state.mkdir(parents=True, exist_ok=True)  # first, so that a run killed here counts as unfinished
        except OSError as error:
            raise unwritable(self.out, error) from error
        for path in (*self.state.iterdir(), *written):
            remove(path, stems=stems if path in written else None)
        write_text(self.record, yaml.safe_dump(record, sort_keys=False, allow_unicode=True))

    def _left_by(self, there: Record | None) -> list[Path]:
        """Return what the run that is there wrote, as far as it lies in its folder or where this run will write.

        Raises:
            ConflictError: a file that it did not write is where this run will write.
        """
        base = self.record.parent.resolve()
        listed = [(base / name).resolve() for name in (there or {}).get("results", ())]
        targets = [path.resolve() for path in self.written]
        self._refuse_in_the_way([path for path in targets if path not in listed])
        inside = self.out.resolve()
        return [path for path in listed if path in targets or path.is_relative_to(inside)]

    def _stems(self) -> set[str]:
        """Return the stems of the frames that the run that is there has written."""
        log = self.out / "results.jsonl"
        return {str(line["stem"]) for line in results.read(log)} if log.is_file() else set()

    def _refuse_foreign(self, *, force: bool) -> None:
        """Refuse to write where there are files that we did not write."""
        ours = {self.state, self.record, partial_of(self.record)}
        if self.record.exists():
            raise ConflictError(f"{self.record}: was not written by propagate", hint="give another -o, or move it away")
        self._refuse_in_the_way(self.written)
        if self.out.is_file() and self.out not in self.written:
            raise ConflictError(f"{self.out}: is a file, expected a folder", hint="give another -o")
        if self.out.is_dir() and not force:
            foreign = sorted(path.name for path in self.out.iterdir() if path not in ours)
            if foreign:
                raise ConflictError(
                    f"{self.out}: holds other files, such as {foreign[0]}",
                    hint="give another -o, or --force to write beside them",
                )

    def _refuse_in_the_way(self, paths: Iterable[Path]) -> None:
        for path in paths:
            if path.exists():
                hint = "give another name, or move it away"
                raise ConflictError(f"{path}: is there already, and not of a run known here", hint=hint)

    def _read_record(self) -> Record | None:
        """Return the record that is there; None when there is none, or it is not of ours."""
        try:
            content: Any = yaml.safe_load(self.record.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError):  # absent or foreign: decided by its caller
            return None
        return content if isinstance(content, dict) and isinstance(content.get("fingerprint"), dict) else None

    def _name(self, path: Path) -> str:
        """Return what the record calls a file: relative to it where possible."""
        base, path = self.record.parent.resolve(), path.resolve()
        return path.relative_to(base).as_posix() if path.is_relative_to(base) else str(path)


def remove(path: Path, *, stems: set[str] | None = None) -> None:
    """Remove a file or folder if it is there; of a folder only the files with these stems, where some are given.

    Raises:
        OutputError: it cannot be removed.
    """
    try:
        if not path.is_dir() or path.is_symlink():
            path.unlink(missing_ok=True)
        elif stems is None:
            shutil.rmtree(path)
        else:
            for file in path.iterdir():
                if file.stem in stems:
                    file.unlink()
            if not any(path.iterdir()):
                path.rmdir()
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
