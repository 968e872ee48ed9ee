"""Which videos to learn from, and to what group each belongs: files, folders, globs, lists and manifests.

Only names are looked at here (a file of a suffix that is not known is opened); what turns out to be unreadable when it
is decoded is skipped there, see `footage`.
"""

from __future__ import annotations

import glob
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from propagate.errors import InputError, PropagateError
from propagate.training.manifests import MANIFEST, Manifests, absolute, read_list, read_manifest
from propagate.video import probe
from propagate.video.folder import SUFFIXES as IMAGES
from propagate.video.folder import list_images, natural_key

VIDEOS = (
    *(".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".m2v", ".ts", ".m2ts", ".mts", ".wmv"),
    *(".flv", ".3gp", ".ogv", ".y4m", ".gif", ".vob", ".mxf", ".h264", ".hevc"),
)
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
    images = [entry for entry in entries if entry.suffix.lower() in IMAGES and entry.is_file()]
    others = [entry for entry in entries if entry not in set(images) and entry.name.lower() != MANIFEST]
    beside_videos = any(entry.suffix.lower() in VIDEOS for entry in others)
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
    if suffix in VIDEOS:
        return None
    if suffix in SOUNDS or suffix in TEXTS or suffix in IMAGES:
        return "a sound file" if suffix in SOUNDS else "a text file" if suffix in TEXTS else "a single picture"
    try:
        probe(path)
    except (PropagateError, OSError, ValueError) as error:
        return str(error).removeprefix(f"{path}: ")
    return None
