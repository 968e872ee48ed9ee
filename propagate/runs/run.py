"""One run: frames through the engine into files, going on from whatever an earlier run of the same name has done."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from itertools import takewhile
from pathlib import Path
from typing import Any

from propagate.engine.ahead import Behind
from propagate.engine.propagation import Propagation
from propagate.engine.recursion import Visibility
from propagate.engine.snapshot import Decoder
from propagate.engine.ways import WAYS, Left, Way, Ways
from propagate.errors import InputError, PropagateError
from propagate.formats import results
from propagate.formats.atomic import make_folder, write_text
from propagate.runs.finished import ASKED, Lost, keep_asked, kept_note
from propagate.runs.folder import RunFolder, remove_file
from propagate.runs.log import ResultsLog
from propagate.runs.manifest import FrameEntry, content_key
from propagate.runs.outputs import Figures, FrameFiles, Whole, WholeFile
from propagate.runs.plan import KEEP, Keys, Plan, ids_key
from propagate.runs.states import StateFiles, state_file
from propagate.values import Annotation, Frame, ObjectId, Prediction
from propagate.video import VideoReader
from propagate.video.cuts import DELAY, marked

log = logging.getLogger(__name__)
CUTS = "cuts.json"


class StoppedError(PropagateError):
    """The run was stopped by a signal between two frames, or steps.

    Args:
        signal: the signal's number; the exit code is 128 more (130 for Ctrl-C, 143 for SIGTERM).
        done: how many are done.
        total: how many there are; 0 when only time ends the run.
        kept: how many need not be done again.
        what: what is counted.
    """

    def __init__(self, signal: int, *, done: int, total: int, kept: int, what: str = "frames") -> None:
        after = "" if kept == done else f" after {kept} {what}" if kept else " from the start"
        of = f" of {total}" if total else ""
        super().__init__(f"stopped after {done}{of} {what}", hint=f"the same command continues{after}")
        self.exit_code = 128 + signal


def readable(reader: VideoReader, annotations: Sequence[Annotation]) -> list[Annotation]:
    """Return the annotations of frames that can be decoded.

    Raises:
        InputError: none can be.
    """
    found = [one for one in annotations if not reader.frame(one.frame).undecodable]
    lost = sorted({one.frame for one in annotations} - {one.frame for one in found})
    listed = ", ".join(map(str, lost))
    if lost and not found:
        what = f"frame {listed} cannot be decoded, and no other frame has a label"
        raise InputError(f"{reader.info.path}: {what}", hint="label a frame that can be read")
    if lost:
        log.warning("frame %s is annotated but cannot be decoded: it is not looked at", listed)
    return found


def same(frame: Frame) -> Frame:
    """Return the frame as it is."""
    return frame


def _warn_of_lost(prediction: Prediction, annotations: Mapping[int, Annotation]) -> None:
    """Say that an object is gone on the frame right after its label: what is left of the run would be empty."""
    index = prediction.frame.index
    if index - 1 not in annotations or prediction.labels is None:
        return
    lost = [str(one.id) for one in prediction.objects if "vanished" in one.flags]
    if lost:
        cell = prediction.frame.size[0] / prediction.labels.soft.shape[1]
        log.warning(
            "%s lost on frame %d, right after the label: too small or thin for cells of %.0f pixels; "
            "try --stride half the encoder's, a larger --size, or a crop of the video",
            f"object {lost[0]} is" if len(lost) == 1 else f"objects {', '.join(lost)} are",
            index,
            cell,
        )


@dataclass(frozen=True)
class Made:
    """A prediction on its way to disk.

    Attributes:
        prediction: of a frame.
        left: what the frame left behind; None when that is on disk already.
        absent: the objects that a person said are absent -> whether the labels show them.
    """

    prediction: Prediction
    left: Left | None
    absent: Mapping[str, bool] = field(default_factory=dict)


@dataclass(frozen=True)
class Parts:
    """What a run works with.

    Attributes:
        folder: of its files, claimed.
        reader: the video.
        plan: what is done with each frame.
        keys: digests of what each frame's labels depend on.
        decoder: makes predictions of states, without the network.
        engine: loads the network and returns the engine of one way, as of `Ways`.
        files: what is written for each frame.
        wholes: what is made of all frames.
        figures: what else is recorded of a frame.
        summarize: what is added to run.yaml in the end, of all frames' figures.
        record: run.yaml.
        asked: what was asked for, to recognise the finished run by.
        see: what the engine is shown of a frame (colorize: its luma only).
        cuts: where shots begin: "auto", "off", or frames such as "120,300".
        stop: asked after every frame; a signal's number stops the run.
        absent: frame -> the objects that a person said are absent from it.
    """

    folder: RunFolder
    reader: VideoReader
    plan: Plan
    keys: Keys
    decoder: Decoder
    engine: Callable[[Sequence[Annotation], Callable[[int], Frame], Callable[[int], int]], Propagation]
    files: Sequence[FrameFiles]
    wholes: Sequence[Whole]
    figures: Figures
    summarize: Callable[[Iterator[Mapping[str, float | None]]], Mapping[str, Any]]
    record: Mapping[str, Any]
    asked: Mapping[str, Any]
    see: Callable[[Frame], Frame]
    cuts: str
    stop: Callable[[], int | None]
    absent: Mapping[int, Sequence[ObjectId]]


class Run:
    """One video being worked on; made by `request.begin`. Iterate to do it, `close` it at the end.

    Attributes:
        notes: lines for the user: what was recognised, what was passed over.
        done: how many frames are done.
    """

    def __init__(self, parts: Parts, *, notes: Sequence[str]) -> None:
        self.parts, self.folder, self.reader, self.plan = parts, parts.folder, parts.reader, parts.plan
        self.notes = tuple(notes)
        self._open: list[tuple[Whole, WholeFile]] = self._begin_wholes()
        self.done = self.plan.kept
        self._log = ResultsLog(self.folder) if self.folder.fills_folder else None
        decoder = parts.decoder
        self._visible = Visibility(decoder.annotations, decoder.label_type)
        self._store = StateFiles(parts.folder, parts.keys.of)
        self.ways = Ways(
            parts.reader,
            self._store,
            parts.plan.computed,
            ways=parts.keys.ways,
            decoder=decoder,
            engine=parts.engine,
            see=parts.see,
        )
        self._prepared = False
        self._before = dict(self.folder.manifest.end)  # what was said when an earlier run finished
        self.finished = self.plan.last is None and not self._open and not self._log_is_wrong()
        if self.finished:
            self._say_finished()

    @property
    def _frames(self) -> range:
        return range(self.reader.first, self.reader.last)

    @property
    def total(self) -> int:
        """How many frames there are."""
        return len(self.reader)

    @property
    def lost(self) -> Lost:
        """What a damaged video could not give."""
        info, before = self.reader.info, self._before
        early = next((line for line in info.problems if "ends early" in line), "the file ends early")
        ends = early if self.reader.damaged and info.ends_early else before.get("ends_early", "")
        missing, patched = {*self.reader.missing, *before.get("missing", ())}, {*self.reader.patched}
        patched |= {*before.get("patched", ())}
        return Lost(tuple(sorted(missing)), tuple(sorted(patched)), ends)

    def lines(self) -> Iterator[Mapping[str, Any]]:
        """Yield what results.jsonl says of the frames that stay as they are."""
        for index in self._frames:
            if self.plan.of(index) == KEEP and (entry := self.folder.manifest.frame(index)) is not None:
                yield entry.line

    def close(self) -> None:
        """Let go of the video and of files that are open, and let other runs in."""
        for _, file in self._open:
            file.close()
        self.reader.close()
        self.folder.close()

    def __iter__(self) -> Generator[Prediction, None, None]:
        """Yield the prediction of each frame that does not stay as it is, once it is on its way to disk.

        Raises:
            StoppedError: `stop` said so; what is done is kept.
            OutputError: a result cannot be written; the same run continues once it can.
            InputError: the video changes its size.
            DeviceError: out of memory.
        """
        if self.finished:
            return
        for _ in self.prepare():
            pass
        with Behind(self._write) as writer:
            yield from self._propagate(writer)
        self._finish()

    @property
    def cuts(self) -> tuple[int, ...]:
        """The frames with which new shots begin, as far as they are known."""
        return self.ways.cuts or tuple(line["index"] for line in self.lines() if line.get("cut"))

    @property
    def bare_shots(self) -> frozenset[int]:
        """The cuts after which no frame has a label before the next cut."""
        labelled = {self.ways.shot_of(index) for index in self.parts.decoder.annotations}
        return frozenset(cut for cut in self.ways.cuts if self.ways.shot_of(cut) not in labelled)

    def _find_cuts(self) -> tuple[int, ...]:
        """Return the frames with which new shots begin; found once, and kept; found again where that is damaged."""
        if (told := self.parts.cuts) != "auto":
            return tuple(sorted({int(word) for word in told.split(",")})) if told != "off" else ()
        path, span = self.folder.state / CUTS, [self.reader.first, self.reader.last]
        with suppress(OSError, ValueError, KeyError, TypeError):
            kept = json.loads(path.read_text())
            if kept["frames"] == span:
                return tuple(kept["cuts"])
        found, beyond = [], min(self.reader.last + DELAY, len(self.reader.info.pts))  # as a longer run finds them
        for frame, begins in marked(self.reader.part(self.reader.first, beyond)):
            found += [frame.index] * (begins and frame.index < self.reader.last)
            self._check_stop()
        write_text(path, json.dumps({"frames": span, "cuts": found}))
        return tuple(found)

    @property
    def steps(self) -> int:
        """How many frames are computed before the first is written."""
        return self.ways.steps

    def prepare(self) -> Generator[int, None, None]:
        """Compute what must be known before the first frame is written, yielding the index of each frame that is done.

        Raises: as iterating.
        """
        if self.finished or self._prepared:
            return
        self._prepared = True
        self._begin_files()
        if self.plan.last is not None:
            self.ways.cuts = self._find_cuts()
        with closing(self.ways.prepare()) as steps:
            for index in steps:
                yield index
                self._check_stop()

    # Frames.

    def _propagate(self, writer: Behind[Made | FrameEntry]) -> Generator[Prediction, None, None]:
        """Go through the video as far as there is something to do; what stays is handed on to the log in its turn."""
        index = self.reader.first
        if self.plan.last is not None:
            with closing(self.ways.frames()) as frames:
                for frame in frames:
                    index = frame.index + 1
                    yield from self._frame(frame, writer)
                    if frame.index == self.plan.last and self._before:  # else to the end: is the video whole?
                        break
        for left in range(index, self.reader.last):
            writer.put(self._entry(left))

    def _frame(self, frame: Frame, writer: Behind[Made | FrameEntry]) -> Generator[Prediction, None, None]:
        index = frame.index
        if self.plan.of(index) == KEEP:
            entry = self._entry(index)
            shown = {one["id"]: entry.absent.get(str(one["id"]), one["visible"]) for one in entry.line["objects"]}
            self._visible.add(index, shown)
            writer.put(entry)
            self._check_stop()
            return
        labels, left = self.ways.labels(frame, flush=writer.flush)
        prediction = self.parts.decoder.decode(frame, replace(labels, last=self._visible.before(index)))
        self._visible.add(index, {one.id: one.visible for one in prediction.objects})
        _warn_of_lost(prediction, self.parts.decoder.annotations)
        prediction = replace(prediction, cut=index in self.ways.cuts)
        made = self._as_said(Made(prediction, left))
        writer.put(made)
        self.done += 1
        yield made.prediction
        self._check_stop()

    def _as_said(self, made: Made) -> Made:
        """Return what is made of a frame, without the objects that a person said are absent from it."""
        absent = self.parts.absent.get(made.prediction.frame.index, ())
        if not absent:
            return made
        shown = {str(one.id): one.visible for one in made.prediction.objects if one.id in absent}
        return replace(made, prediction=self.parts.decoder.without(made.prediction, absent), absent=shown)

    def _check_stop(self) -> None:
        if self.done < self.total and (signal := self.parts.stop()) is not None:
            raise StoppedError(signal, done=self.done, total=self.total, kept=self.done)

    def _entry(self, index: int) -> FrameEntry:
        entry = self.folder.manifest.frame(index)
        assert entry is not None, "a frame that stays is in the manifest"
        return entry

    # Files, in one thread: what is said of a frame never precedes the frames before it.

    def _write(self, item: Made | FrameEntry) -> None:
        entry = item if isinstance(item, FrameEntry) else self._write_frame(item)
        if self._log is not None:
            self._log.append(entry)
        if isinstance(item, Made):
            for _, file in self._open:
                file.add(item.prediction)

    def _write_frame(self, made: Made) -> FrameEntry:
        """Write the files of a frame; the manifest knows of them before they are there."""
        prediction, folder = made.prediction, self.folder
        index, stem = prediction.frame.index, prediction.frame.stem
        if made.left is not None:
            self._store.keep(made.left)
        datas = {kind.name(stem): kind.encode(prediction) for kind in self.parts.files}
        ours = {name: data for name, data in datas.items() if folder.may_write(name, data)}
        kept = {name: folder.digest_of(name) for name in datas if name not in ours and not folder.is_input(name)}
        before = folder.manifest.frame(index)
        again = before is not None and before.key == self.parts.keys.of(index)
        others = before.files if before is not None and again else {}  # of outputs not asked for now
        entry = FrameEntry(
            frame=index,
            key=self.parts.keys.of(index),
            ids=ids_key(prediction.ids),
            line=json.loads(json.dumps(results.record(prediction))),
            files={
                **{name: digest for name, digest in others.items() if name not in datas},
                **{name: hashlib.sha256(data).hexdigest() for name, data in ours.items()},
            },
            kept=kept,
            extra=dict(self.parts.figures(prediction)),
            absent=made.absent,
        )
        if entry != before:
            folder.manifest.add_frame(entry)
        for name, data in ours.items():
            folder.write(name, data)
        return entry

    def _begin_files(self) -> None:
        """Make the folders, write the record, and cut the log to the frames before the first that is made again."""
        folder = self.folder
        folder.manifest.reopen()
        remove_file(folder.state / ASKED)  # else an earlier run's settings would be taken for those of the new record
        folder.write_record(dict(self.parts.record))
        for way in WAYS:
            make_folder(state_file(folder.state, way, 0).parent)
        for kind in self.parts.files:
            make_folder(folder.path_of(kind.folder))
        if self._log is not None:
            self._log.begin(self._leading())
            if self._log.moved is not None:
                log.warning("%s was changed by hand: it is called %s now", self._log.path, self._log.moved.name)

    def _leading(self) -> Iterator[FrameEntry]:
        """Yield the frames before the first that is made again."""
        for index in takewhile(lambda index: self.plan.of(index) == KEEP, self._frames):
            yield self._entry(index)

    def _log_is_wrong(self) -> bool:
        return self._log is not None and not self._log.is_whole(self._frames)

    # Files of all frames.

    def _begin_wholes(self) -> list[tuple[Whole, WholeFile]]:
        """Open those that must be made, and let all frames that they need be looked at."""
        found = []
        for whole in self.parts.wholes:
            if not self._is_made(whole):
                file = self._open_whole(whole)
                if (wanted := file.first_wanted()) is not None:
                    self.plan.write_from(wanted)
                found.append((whole, file))
        return found

    def _open_whole(self, whole: Whole) -> WholeFile:
        """Return the file, going on from what an unfinished run kept of it, but for one that went further than this."""
        scratch = self._scratch(whole)
        file = whole.open(scratch)
        if (wanted := file.first_wanted()) is None or wanted <= self.reader.last:
            return file
        file.close()
        _remove_folder(scratch)
        return whole.open(scratch)

    def _is_made(self, whole: Whole) -> bool:
        """Return whether a file of all frames is as the run would make it, or a person's in its place."""
        name = self.folder.name_of(whole.path)
        entry = self.folder.manifest.files.get(name)
        if entry is None or not whole.path.exists():
            return False
        if self.folder.holds(name, entry.sha256):
            return not self.plan.computes and entry.of == self._of(whole)
        if self.folder.is_edited(entry):
            self.folder.edited.append(name)
            return True
        return False

    def _of(self, whole: Whole) -> str:
        return content_key(map(self._entry, self._frames), whole.key)

    def _scratch(self, whole: Whole) -> Path:
        """Return the folder for what is kept of an unfinished file; that of another content is removed."""
        stem = f"whole-{hashlib.sha256(whole.path.name.encode(errors='surrogateescape')).hexdigest()[:8]}"
        mine = f"{stem}-{hashlib.sha256((self.parts.keys.all + whole.key).encode()).hexdigest()[:8]}"
        for other in self.folder.state.glob(f"{stem}-*"):
            if other.name != mine:
                _remove_folder(other)
        return self.folder.state / mine

    # The end.

    def _finish(self) -> None:
        folder = self.folder
        for whole, file in self._open:
            name = folder.name_of(whole.path)
            folder.make_file(name, file.finish, of=self._of(whole))
        self._open = []
        self._drop_others()
        self._say_finished()
        self.finished = True

    def _say_finished(self) -> None:
        """Write what the finished run is recognised by, and what there is to be known of it."""
        folder = self.folder
        entries = (self._entry(index) for index in self._frames)
        more = self.parts.summarize(entry.extra for entry in entries)
        folder.write_record({**self.parts.record, **more})
        lost = self.lost
        end = {"frames": self.total, "missing": lost.missing, "patched": lost.patched, "ends_early": lost.ends_early}
        folder.manifest.finish(end)
        keep_asked(folder, self.parts.asked)
        folder.digests.save()
        kept = [name for index in self._frames for name in self._entry(index).kept]
        if edited := list(dict.fromkeys([*kept, *folder.edited])):
            log.warning("%s", kept_note([folder.path_of(name) for name in edited]))

    def _drop_others(self) -> None:
        """Remove what earlier runs wrote here for frames, or under names, that this run does not have."""
        folder, manifest = self.folder, self.folder.manifest
        frames = self._frames
        beyond = [entry.frame for entry in manifest.frames() if entry.frame not in frames]
        mine = {name for index in frames for name in self._entry(index).files}
        kept = {name for index in frames for name in self._entry(index).kept}
        stale = [name for name in manifest.written if name not in mine | kept | manifest.files.keys()]
        for name in stale:
            folder.remove(name)
        for parent in {folder.path_of(name).parent for name in stale} - {folder.base}:
            with suppress(OSError):  # other files are in it
                parent.rmdir()
        left = [(way, index) for way, index in manifest.states() if not self._is_of_run(way, index)]
        for way, index in left:
            remove_file(state_file(folder.state, way, index))
        if beyond or stale or left:
            manifest.forget(frames=beyond, names=stale, states=left)

    def _is_of_run(self, way: Way, index: int) -> bool:
        """Return whether labels come to a frame of the run on a way."""
        return index in self._frames and way in self.parts.keys.ways(index)


def _remove_folder(scratch: Path) -> None:
    """Remove what is kept of an unfinished file."""
    for file in scratch.iterdir():
        remove_file(file)
    scratch.rmdir()
