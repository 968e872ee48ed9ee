"""A folder of clips as cases: video files, folders of frames, one clip alone, or the pictures of a DAVIS tree."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path

from propagate.errors import InputError
from propagate.evaluation.protocol import Case
from propagate.video.folder import SUFFIXES, natural_key

VIDEOS = (".mp4", ".mkv", ".mov", ".avi", ".webm", ".m4v", ".mpg", ".mpeg", ".ogv", ".ts", ".wmv", ".flv", ".gif")


def find_clips(root: Path, sequences: Sequence[str] = ()) -> list[Case]:
    """Return the clips at `root` in natural order, each named by its file's stem or its folder.

    Args:
        root: a video file; a folder of frames; a folder of both kinds of clips; or the root of a DAVIS tree, of which
            JPEGImages/480p is taken, or the only resolution.
        sequences: names, when only some are wanted, in their order.

    Raises:
        InputError: there is no clip, a name is not there, or two clips share a name.
    """
    if not root.exists():
        raise InputError(f"{root}: there is no such file or folder")
    folder = _davis_pictures(root) if (root / "JPEGImages").is_dir() else root
    clips = _clips(folder)
    if not clips:
        raise InputError(f"{folder}: there is no clip", hint="expected video files or folders of frames")
    missing = [name for name in sequences if name not in clips]
    if missing:
        near = difflib.get_close_matches(missing[0], clips, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(list(clips)[:12])}"
        raise InputError(f"{folder}: there is no clip {missing[0]}", hint=hint)
    return [Case(name, str(clips[name])) for name in sequences or clips]


def _clips(folder: Path) -> dict[str, Path]:
    if folder.is_file():
        return {folder.stem: folder}
    if _has_frames(folder):
        return {folder.resolve().name: folder}
    clips: dict[str, Path] = {}
    for path in sorted(folder.iterdir(), key=lambda path: natural_key(path.name)):
        if path.name.startswith("."):
            continue
        if path.suffix.lower() in VIDEOS or (path.is_dir() and _has_frames(path)):
            name = path.name if path.is_dir() else path.stem
            if name in clips:
                hint = "results are named by the clip; rename one of them"
                raise InputError(f"{folder}: {clips[name].name} and {path.name} are both called {name}", hint=hint)
            clips[name] = path
    return clips


def _has_frames(folder: Path) -> bool:
    return any(path.suffix.lower() in SUFFIXES for path in folder.iterdir() if not path.name.startswith("."))


def _davis_pictures(root: Path) -> Path:
    folders = sorted(path for path in (root / "JPEGImages").iterdir() if path.is_dir())
    usual = [path for path in folders if path.name == "480p"] or folders
    if len(usual) != 1:
        there = ", ".join(path.name for path in folders) or "none"
        hint = f"there are: {there}; name one of them itself"
        raise InputError(f"{root / 'JPEGImages'}: there is no resolution 480p", hint=hint)
    return usual[0]
