"""What a run has done and written: a line for each frame and file, with digests, in the order in which they came.

The file is only ever appended to, a whole line at a time; the last line on a frame or file holds. A line that a kill or
a full disk cut short, or that was damaged, counts as not written, so that what it spoke of is made again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from propagate.errors import OutputError
from propagate.formats.atomic import write_bytes

if TYPE_CHECKING:
    from propagate.engine.ways import Way

NAME = "done.jsonl"


@dataclass(frozen=True)
class FrameEntry:
    """A frame that is done.

    Attributes:
        frame: its index.
        key: digest of all that its labels depend on.
        ids: digest of the ids that its line lists.
        line: what results.jsonl says of it.
        files: the files that the run wrote for it, by name, with their SHA-256.
        kept: files of a person that stand in the place of those of the run, with their SHA-256.
        extra: figures of the frame, such as its saturation.
        absent: the objects that a person said are absent -> whether the labels show them.
    """

    frame: int
    key: str
    ids: str
    line: Mapping[str, Any]
    files: Mapping[str, str] = field(default_factory=dict)
    kept: Mapping[str, str] = field(default_factory=dict)
    extra: Mapping[str, float | None] = field(default_factory=dict)
    absent: Mapping[str, bool] = field(default_factory=dict)


@dataclass(frozen=True)
class StateEntry:
    """What a frame left behind on one way, which is on disk.

    Attributes:
        state: its index.
        way: "forward" or "backward".
        key: digest of all that its labels depend on.
        sha256: of the file.
    """

    state: int
    way: Way
    key: str
    sha256: str


@dataclass(frozen=True)
class FileEntry:
    """A file that is made of all frames, or of none.

    Attributes:
        name: of the file.
        sha256: of its content; empty while it is being written.
        of: digest of all that it was made of.
        size: in bytes.
    """

    name: str
    sha256: str
    of: str = ""
    size: int = 0


class Manifest:
    """The record of what is done, in memory only by place: what is said of a frame is read when it is asked for.

    Args:
        path: of the file; it need not exist.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.end: dict[str, Any] = {}  # what was said when the run finished; empty while it is not
        self.written: dict[str, tuple[str, ...]] = {}  # name of a file that runs wrote -> SHA-256 of what they wrote
        self.files: dict[str, FileEntry] = {}
        self._places: dict[int, tuple[int, int]] = {}
        self._states: dict[tuple[Way, int], tuple[int, int]] = {}
        self._size = 0
        self._load()

    def frame(self, index: int) -> FrameEntry | None:
        """Return what is known of a frame, None when it is not done."""
        if index not in self._places:
            return None
        return FrameEntry(**self._read(self._places[index]))

    def state(self, way: Way, index: int) -> StateEntry | None:
        """Return what is known of what a frame left behind on one way, None when it is not on disk."""
        place = self._states.get((way, index))
        return None if place is None else StateEntry(**self._read(place))

    def states(self) -> Sequence[tuple[Way, int]]:
        """Return way and index of all that frames left behind."""
        return sorted(self._states)

    def _read(self, place: tuple[int, int]) -> dict[str, Any]:
        offset, length = place
        with self.path.open("rb") as file:
            file.seek(offset)
            content: dict[str, Any] = json.loads(file.read(length))
            return content

    def frames(self) -> Iterable[FrameEntry]:
        """Yield what is known of all frames that are done, by index."""
        for index in sorted(self._places):
            entry = self.frame(index)
            assert entry is not None
            yield entry

    def add_frame(self, entry: FrameEntry) -> None:
        """Say that a frame is done; said before its files are written, so that they are known whenever a run is killed.

        Raises:
            OutputError: it cannot be written.
        """
        self._append(asdict(entry))

    def add_state(self, entry: StateEntry) -> None:
        """Say that what a frame left behind on one way is on disk.

        Raises:
            OutputError: it cannot be written.
        """
        self._append(asdict(entry))

    def add_file(self, entry: FileEntry) -> None:
        """Say that a file is written.

        Raises:
            OutputError: it cannot be written.
        """
        self._append(asdict(entry))

    def adopt(self, written: Mapping[str, str]) -> None:
        """Say that files were written by a run that kept no manifest.

        Args:
            written: name -> SHA-256.

        Raises:
            OutputError: it cannot be written.
        """
        self._append({"written": {name: [digest] for name, digest in written.items()}})

    def finish(self, said: Mapping[str, Any]) -> None:
        """Say that all is done, and what is to be known of it.

        Raises:
            OutputError: it cannot be written.
        """
        self._append({"end": dict(said)})

    def reopen(self) -> None:
        """Say that a finished run goes on."""
        if self.end:
            self._append({"end": {}})

    def forget(
        self,
        *,
        frames: Iterable[int] = (),
        names: Iterable[str] = (),
        states: Iterable[tuple[Way, int]] = (),
    ) -> None:
        """Drop frames, files and states from the record, which is written anew, without what later lines overrule.

        Raises:
            OutputError: it cannot be written.
        """
        gone, lost, left = set(frames), set(names), set(states)
        entries = [asdict(entry) for entry in self.frames() if entry.frame not in gone]
        wholes = [asdict(entry) for name, entry in self.files.items() if name not in lost]
        rest = {name: digests for name, digests in self.written.items() if name not in lost}
        behind = [self._read(place) for key, place in sorted(self._states.items()) if key not in left]
        lines = [{"written": rest}, *wholes, *behind, *entries, *([{"end": self.end}] if self.end else [])]
        write_bytes(self.path, b"".join(map(_line, lines)))
        self.__init__(self.path)  # type: ignore[misc]

    def _append(self, content: Mapping[str, Any]) -> None:
        line = _line(content)
        try:
            with self.path.open("r+b" if self.path.exists() else "wb") as file:
                file.seek(self._size)
                file.write(line)
                file.truncate()  # after what a killed run left half written
        except OSError as error:
            raise OutputError(f"{self.path}: cannot be written: {error.strerror or error}") from error
        self._take(content, self._size, len(line))
        self._size += len(line)

    def _load(self) -> None:
        if not self.path.is_file():
            return
        try:
            with self.path.open("rb") as file:
                for line in file:
                    if line.endswith(b"\n") and (content := _parsed(line)) is not None:
                        self._take(content, self._size, len(line))
                        self._size += len(line)
                    elif line.endswith(b"\n"):
                        self._size += len(line)
        except OSError as error:
            raise OutputError(f"{self.path}: cannot be read: {error.strerror or error}") from error

    def _take(self, content: Mapping[str, Any], offset: int, length: int) -> None:
        """Take in what a line says."""
        if "frame" in content:
            self._places[content["frame"]] = (offset, length)
            for name, digest in content["files"].items():
                self._wrote(name, digest)
        elif "state" in content:
            self._states[content["way"], content["state"]] = (offset, length)
        elif "name" in content:
            self.files[content["name"]] = FileEntry(**content)
            self._wrote(content["name"], content["sha256"])
        elif "written" in content:
            self.written.update({name: tuple(digests) for name, digests in content["written"].items()})
        elif "end" in content:
            self.end = dict(content["end"])

    def _wrote(self, name: str, digest: str) -> None:
        """Remember that a run wrote this, and the last but one: a killed run may have left either."""
        before = [other for other in self.written.get(name, ()) if other not in ("", digest)]
        self.written[name] = (*before[-1:], digest)


def content_key(entries: Iterable[FrameEntry], *more: str) -> str:
    """Return a digest of the content of frames, and of what else a file is made of."""
    digest = hashlib.sha256()
    for entry in entries:
        digest.update(json.dumps([entry.key, entry.ids, dict(entry.line)], sort_keys=True).encode())
    digest.update("\n".join(more).encode(errors="surrogateescape"))
    return digest.hexdigest()


def _line(content: Mapping[str, Any]) -> bytes:
    return (json.dumps(content, allow_nan=False) + "\n").encode()


_FRAME = {"frame", "key", "ids", "line", "files", "kept", "extra"}
_STATE = {"state", "way", "key", "sha256"}
_FILE = {"name", "sha256", "of", "size"}


def _parsed(line: bytes) -> dict[str, Any] | None:
    """Return what a line says, None for one that is damaged."""
    try:
        content = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(content, dict):
        return None
    keys = content.keys() - {"absent"}  # older runs don't say it
    ours = any(keys == known for known in (_FRAME, _STATE, _FILE, {"end"}, {"written"}))
    return content if ours else None
