"""Where training videos come from: folders, globs, lists and manifests."""

from __future__ import annotations

import csv
import glob
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from propagate.errors import InputError, PropagateError
from propagate.files import IMAGE_SUFFIXES, VIDEO_SUFFIXES, natural_key
from propagate.video import probe
from propagate.video.folder import list_images

MANIFEST = "manifest.csv"  # looked for beside a video and one folder above
_PATHS = ("file", "path", "video")  # columns that name the video, the first that is there
_GROUPS = ("source_repo", "group")
_FOLDER = "pack"  # a column: the folder, beside the manifest, that holds the video


def absolute(path: Path) -> Path:
    """Return a path without `..`, from the root on; links stay what they are."""
    return Path(os.path.normpath(path.absolute()))


def read_list(path: Path) -> list[Path]:
    """Return the paths that a list names, one a line, relative to it; empty lines and those with # are passed over.

    Raises:
        InputError: it cannot be read, or names nothing.
    """
    lines = [line.strip() for line in _text(path).splitlines()]
    named = [absolute(path.parent / Path(line).expanduser()) for line in lines if line and not line.startswith("#")]
    if not named:
        raise InputError(f"{path}: an empty list", hint="expected a path a line")
    return named


def read_manifest(path: Path) -> list[tuple[Path, str | None]]:
    """Return the videos that a manifest names and the group of each, None where it gives none.

    Raises:
        InputError: it cannot be read, or no column names videos.
    """
    return [(entry, group_of(row)) for entry, row in manifest_rows(path)]


def manifest_rows(path: Path) -> list[tuple[Path, dict[str, str]]]:
    """Return the videos that a manifest names and the whole row of each, by the names of the columns.

    Raises:
        InputError: it cannot be read, or no column names videos.
    """
    rows = csv.DictReader(_text(path).splitlines())
    columns = rows.fieldnames or ()
    name = next((column for column in _PATHS if column in columns), None)
    if name is None:
        raise InputError(f"{path}: no column named {', '.join(_PATHS)}", hint=f"it has: {', '.join(columns) or 'none'}")
    found: list[tuple[Path, dict[str, str]]] = []
    for row in rows:
        if row.get(name):
            entry = absolute(_folder(path.parent, row.get(_FOLDER) or "") / row[name])
            found.append((entry, {column: row[column] or "" for column in columns}))
    return found


def _folder(beside: Path, pack: str) -> Path:
    """Return the folder of a row's video: `pack` beside the manifest, or where that lies in the folder itself."""
    return beside if pack == beside.name and not (beside / pack).is_dir() else beside / pack


def group_of(row: Mapping[str, str]) -> str | None:
    """Return the group that a row of a manifest gives its video, None where it gives none."""
    column = next((column for column in _GROUPS if column in row), None)
    return (row[column] or None) if column else None


class Manifests:
    """What is said of videos by the manifests that lie about; each manifest is read once."""

    def __init__(self) -> None:
        self._rows: dict[Path, dict[Path, dict[str, str]]] = {}  # by the folder of the manifest

    def group(self, video: Path) -> str:
        """Return the group that a manifest beside the video, or one folder above, gives it; else its folder."""
        return next((group for row in self._about(video) if (group := group_of(row)) is not None), str(video.parent))

    def row(self, video: Path) -> dict[str, str]:
        """Return the row of a manifest beside the video, or one folder above; nothing where there is none."""
        return next(self._about(video), {})

    def _about(self, video: Path) -> Iterator[dict[str, str]]:
        for folder in (video.parent, video.parent.parent):
            if (row := self._of(folder).get(video)) is not None:
                yield row

    def _of(self, folder: Path) -> dict[Path, dict[str, str]]:
        if folder not in self._rows:
            manifest = folder / MANIFEST
            try:
                self._rows[folder] = dict(manifest_rows(manifest) if manifest.is_file() else [])
            except InputError:  # a file of the same name that is something else
                self._rows[folder] = {}
        return self._rows[folder]


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise InputError(f"{path}: cannot be read: {reason}") from error


SOUNDS = (".wav", ".mp3", ".flac", ".ogg", ".oga", ".opus", ".aac", ".m4a", ".wma", ".aiff", ".aif")
TEXTS = (".txt", ".csv", ".tsv", ".json", ".jsonl", ".md", ".rst", ".yaml", ".yml", ".xml", ".html", ".srt", ".vtt")
_SHOWN = 3  # reasons in one message


@dataclass(frozen=True)
class Source:
    """One video: a file or a folder of numbered images.

    Attributes:
        path: absolute.
        group: the repository that a manifest names, else the folder that holds the video.
    """

    path: Path
    group: str


class Skipped(NamedTuple):
    """Something that is not used, and why, in a few words."""

    path: Path
    reason: str


@dataclass(frozen=True)
class Sources:
    """What was found: videos in the order of the words, each once, and what is left out."""

    videos: tuple[Source, ...]
    skipped: tuple[Skipped, ...]


def find_videos(words: Sequence[str]) -> Sources:
    """Return the videos that words mean.

    Args:
        words: each a video, a folder (searched to its end; a folder of numbered images is one video), a glob, a list
            (.txt, a path a line, relative to the list) or a manifest (.csv, with a column file, path or video, and
            perhaps `pack`, the folder beside the manifest, and `source_repo` or `group`). A `manifest.csv` beside a
            video, or one folder above, gives its group too.

    Raises:
        InputError: a word means nothing, a list or manifest cannot be read, or no video is left.
    """
    manifests = Manifests()
    found: dict[Path, Source | Skipped] = {}
    for word in words:
        for item in _meaning(word, manifests):
            found.setdefault(item.path, item)
    videos = tuple(item for item in found.values() if isinstance(item, Source))
    skipped = tuple(item for item in found.values() if isinstance(item, Skipped))
    if not videos:
        raise nothing_left(skipped)
    return Sources(videos, skipped)


def nothing_left(skipped: Sequence[Skipped]) -> InputError:
    """Return what to say when not one video can be used."""
    shown = "; ".join(f"{item.path.name}: {item.reason}" for item in skipped[:_SHOWN])
    more = f"; and {len(skipped) - _SHOWN} more" if len(skipped) > _SHOWN else ""
    return InputError(
        f"no video is left to learn from, {len(skipped)} skipped{': ' if shown else ''}{shown}{more}",
        hint="give videos, folders of them, globs, a list (.txt) or a manifest (.csv)",
    )


def _meaning(word: str, manifests: Manifests) -> Iterator[Source | Skipped]:
    path = Path(word).expanduser()
    if path.exists():
        yield from _named(absolute(path), manifests)
        return
    matches = sorted(glob.glob(str(path), recursive=True), key=natural_key)  # noqa: PTH207 - Path.glob takes no absolute one
    if not matches:
        raise InputError(f"{word}: no such file or folder", hint="check the path, and the quotes around a pattern")
    for match in matches:
        yield from _in_folder_or_file(absolute(Path(match)), manifests)


def _named(path: Path, manifests: Manifests) -> Iterator[Source | Skipped]:
    """What a path that was named means: a list and a manifest are read, where in a folder they would be passed over."""
    if path.is_file() and path.suffix.lower() == ".csv":
        yield from (_known(entry, group, manifests) for entry, group in read_manifest(path))
    elif path.is_file() and path.suffix.lower() == ".txt":
        for entry in read_list(path):
            if entry.exists():
                yield from _in_folder_or_file(entry, manifests)
            else:
                yield Skipped(entry, f"no such file, named by {path.name}")
    else:
        yield from _in_folder_or_file(path, manifests)


def _known(path: Path, group: str | None, manifests: Manifests) -> Source | Skipped:
    if not path.exists():
        return Skipped(path, "a link to nothing" if path.is_symlink() else "no such file, named by the manifest")
    if path.is_dir():
        return _pictures(path, group or manifests.group(path))
    reason = _not_a_video(path)
    return Skipped(path, reason) if reason else Source(path, group or manifests.group(path))


def _in_folder_or_file(path: Path, manifests: Manifests) -> Iterator[Source | Skipped]:
    if not path.is_dir():
        yield _known(path, None, manifests)
        return
    try:
        entries = sorted(_shown(path), key=lambda entry: natural_key(entry.name))
    except OSError as error:
        yield Skipped(path, f"cannot be read: {error.strerror or error}")
        return
    if not entries:
        yield Skipped(path, "an empty folder")
    images = [entry for entry in entries if entry.suffix.lower() in IMAGE_SUFFIXES and entry.is_file()]
    others = [entry for entry in entries if entry not in set(images) and entry.name.lower() != MANIFEST]
    beside_videos = any(entry.suffix.lower() in VIDEO_SUFFIXES for entry in others)
    for entry in others:
        yield from _in_folder_or_file(entry, manifests)
    if images:
        yield _pictures(path, manifests.group(path)) if not beside_videos else Skipped(images[0], _left(len(images)))


def _shown(folder: Path) -> list[Path]:
    """What is in a folder, without what is hidden and links back to the folder or above it."""
    entries = [entry for entry in folder.iterdir() if not entry.name.startswith(".")]
    return [entry for entry in entries if not (entry.is_symlink() and folder.resolve().is_relative_to(entry.resolve()))]


def _left(count: int) -> str:
    return "a picture beside videos" if count == 1 else f"{count} pictures beside videos"


def _pictures(folder: Path, group: str) -> Source | Skipped:
    """A folder of images as one video, if they are numbered."""
    try:
        images = list_images(folder)
    except PropagateError as error:
        return Skipped(folder, str(error).removeprefix(f"{folder}: "))
    if len(images) < 2:
        return Skipped(folder, "one picture only")
    if not all(any(sign.isdecimal() for sign in image.stem) for image in images):
        return Skipped(folder, "pictures that are not all numbered")
    return Source(folder, group)


def _not_a_video(path: Path) -> str | None:
    """Why a file is no video, as far as its name tells; None when it may be one."""
    suffix = path.suffix.lower()
    if not path.is_file():
        return "not a file"
    if suffix in VIDEO_SUFFIXES:
        return None
    if suffix in SOUNDS or suffix in TEXTS or suffix in IMAGE_SUFFIXES:
        return "a sound file" if suffix in SOUNDS else "a text file" if suffix in TEXTS else "a single picture"
    try:
        probe(path)
    except (PropagateError, OSError, ValueError) as error:
        return str(error).removeprefix(f"{path}: ")
    return None
