"""A run's video, its range of frames, and the files that label some of them."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from propagate.errors import ConfigError, InputError
from propagate.files import files_in, is_folder
from propagate.formats.frames import check_frame, match_frames, place_file
from propagate.formats.label_words import LabelSpec, parse_label
from propagate.runs.folder import RunFolder
from propagate.runs.record import identify_files

if TYPE_CHECKING:
    from propagate.labels.protocol import ObjectLabels
    from propagate.values import Absence, Annotation, ObjectId
    from propagate.video import VideoReader


def parse_place(word: str | None) -> int | float | None:
    """Return a place in a video: "120" is a frame, "12.5s" are seconds.

    Raises:
        ConfigError: it is neither.
    """
    if word is None:
        return None
    if re.fullmatch(r"\d+", word):
        return int(word)
    if re.fullmatch(r"(\d+\.?\d*|\.\d+)s", word):
        return float(word[:-1])
    raise ConfigError(f"{word!r} is no place in a video", hint="a frame such as 120, or seconds such as 12.5s")


def stems_of(reader: VideoReader) -> list[str]:
    """Return the stem of every frame of the whole video."""
    if reader.info.kind == "folder":
        from propagate.video.folder import list_images

        return [path.stem for path in list_images(Path(reader.info.path))]
    return [f"{index:05d}" for index in range(len(reader.info.pts))]


def default_out(video: str, ending: str) -> Path:
    """Return where results go without `-o`: beside the caller, called after the video."""
    path = Path(video).resolve()
    stem = "stdin" if video == "-" else path.name if is_folder(path) else path.stem
    return Path(f"{stem}.{ending}")


@dataclass(frozen=True)
class LabelFile:
    """One file that a label word names.

    Attributes:
        path: the file.
        frame: that the word names, None where it names none.
        complete: what the label lacks has ended.
        in_folder: the word names the file's folder.
    """

    path: Path
    frame: int | None = None
    complete: bool = False
    in_folder: bool = False

    def record(self, folder: RunFolder) -> dict[str, Any]:
        """Return what run.yaml says of it: its frame, path and SHA-256.

        Raises:
            InputError: it cannot be read.
        """
        content = identify_files([self.path], base=folder.base, digests=folder.digests)[0]
        named = {"folder": True} if self.in_folder else {}
        return {"frame": self.frame, "complete": self.complete, **named, **content}


def label_files(words: Sequence[str], *, suffixes: Collection[str]) -> list[LabelFile]:
    """Return the files that label words name, by frame; of a folder those that count.

    Args:
        words: `FILE`, `FRAME=FILE`, `FRAME!=FILE`, or a folder.
        suffixes: of the files that are taken from a folder.

    Raises:
        InputError: a word names no file, or a folder cannot be read.
    """
    found: list[LabelFile] = []
    for spec in map(parse_label, words):
        folder = is_folder(spec.path)
        files = files_in(spec.path, suffixes) if folder else [spec.path]
        found += [LabelFile(path, spec.frame, spec.complete, folder) for path in files]
    return sorted(found, key=lambda label: -1 if label.frame is None else label.frame)


def within(annotations: Sequence[Annotation], reader: VideoReader) -> tuple[tuple[Annotation, ...], tuple[str, ...]]:
    """Return the annotations between `--start` and `--end`, and what to say of the video and of the others.

    Raises:
        InputError: none lies there.
    """
    kept = tuple(a for a in annotations if reader.first <= a.frame < reader.last)
    span = f"frames {reader.first} to {reader.last - 1}"
    others = [a.frame for a in annotations if a not in kept]
    if not kept:
        raise InputError(
            f"no label lies in {span}: the first is on frame {min(others)}",
            hint=f"name the frame: {reader.first}=FILE",
        )
    notes = list(reader.info.notes)
    notes += [f"labels outside {span} are not used: {', '.join(map(str, sorted(others)))}"] if others else []
    return kept, tuple(notes)


def absent_frames(
    absences: Iterable[Absence], *, label_type: ObjectLabels, annotations: Iterable[Annotation], frame_count: int
) -> dict[int, tuple[ObjectId, ...]]:
    """Return the frames that a person said objects are absent from, each with those objects, in their order.

    Args:
        absences: with ids as they were written.
        label_type: of the objects.
        annotations: what a person drew.
        frame_count: how many frames the video has.

    Raises:
        InputError: there is no such object or frame, or an object is drawn where it is said to be absent.
    """
    known = {str(name): name for name in label_type.ids}
    drawn = {annotation.frame: label_type.named(annotation) for annotation in annotations}
    found: dict[int, set[ObjectId]] = {}
    for absence in absences:
        where = f"--absent {absence.word}"
        if str(absence.id) not in known:
            listed = ", ".join(list(known)[:12]) + (", ..." if len(known) > 12 else "")
            raise InputError(f"{where}: no label has the object {absence.id}", hint=f"the labels have: {listed}")
        check_frame(absence.last, frame_count, where=where)
        name = known[str(absence.id)]
        for frame in range(absence.first, absence.last + 1):
            if name in drawn.get(frame, ()):
                hint = "leave that frame out, or the object out of its label"
                raise InputError(f"{where}: object {name} is drawn on frame {frame}", hint=hint)
            found.setdefault(frame, set()).add(name)
    return {frame: tuple(name for name in label_type.ids if name in found[frame]) for frame in sorted(found)}


@dataclass(frozen=True)
class Placed:
    """One file on one frame.

    Attributes:
        frame: its index.
        path: the file.
        how: how the frame was found, for a line to the user; empty when the word said it.
        complete: what the label lacks has ended.
    """

    frame: int
    path: Path
    how: str = ""
    complete: bool = False

    @property
    def said(self) -> str:
        """The line that says which file is on which frame."""
        return f"frame {self.frame}: {self.path}" + (f" ({self.how})" if self.how else "")


def placed_files(words: Sequence[str], reader: VideoReader, *, suffixes: frozenset[str]) -> list[Placed]:
    """Return the files that label words name, by frame.

    Args:
        words: `FILE` (frame 0), `FRAME=FILE`, `FRAME!=FILE`, or a folder whose files are matched by stem or number.
        reader: the video.
        suffixes: of the files that are taken from a folder.

    Raises:
        InputError: there is no such frame, a frame is named twice, or a folder holds nothing.
    """
    found: list[Placed] = []
    for spec in map(parse_label, words):
        found += _in_folder(spec, reader, suffixes) if is_folder(spec.path) else [_alone(spec, reader)]
    found.sort(key=lambda item: item.frame)
    for item, before in zip(found, [None, *found], strict=False):
        check_frame(item.frame, len(reader.info.pts), where=str(item.path))
        if before is not None and before.frame == item.frame:
            raise InputError(f"{before.path} and {item.path} are both for frame {item.frame}", hint="give one of them")
    return found


def _alone(spec: LabelSpec, reader: VideoReader) -> Placed:
    from_folder = reader.info.kind == "folder"
    frame, how = place_file(spec.path, spec.frame, stems=stems_of(reader), from_folder=from_folder)
    return Placed(frame, spec.path, how if how == "by stem" else "", complete=spec.complete)


def _in_folder(spec: LabelSpec, reader: VideoReader, suffixes: frozenset[str]) -> list[Placed]:
    files = files_in(spec.path, suffixes)
    if not files:
        raise InputError(f"{spec.path}: no file in this folder ends in one of {', '.join(sorted(suffixes))}")
    matched = match_frames([path.stem for path in files], stems=stems_of(reader), where=str(spec.path))
    return [Placed(frame, path, how, complete=spec.complete) for path, (frame, how) in zip(files, matched, strict=True)]
