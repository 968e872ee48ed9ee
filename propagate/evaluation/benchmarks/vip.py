"""VIP: parts and instances of people, mean IoU and AP.

`VIP_Fine`, as the propagation papers use it: `Images/VIDEO/000000000001.jpg`, about every 25th frame of a video;
`Annotations/Category_ids/VIDEO/*.png` (20 classes with background), `Annotations/Instance_ids/VIDEO/*.png` with a
`.txt` beside each (a line `ID CLASS` per instance), `lists/val_videos.txt`. ATEN's own tree has the same without the
folder `Annotations` and with `lists/val_id.txt` (VIDEO/FRAME a line); both are taken.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from propagate.errors import InputError
from propagate.evaluation.benchmarks.sequences import Stopwatch, choose_sequences, notes_of, spread
from propagate.evaluation.protocol import Benchmark, BenchmarkSequence, Curve, Measure, Scores, Trackers
from propagate.files import list_folder
from propagate.formats.atomic import make_folder, write_text
from propagate.formats.images import check_size
from propagate.formats.indexed_png import write_mask
from propagate.formats.mask_forms import read_raw
from propagate.formats.tables import read_text
from propagate.metrics.detection import ap_volume, class_iou, confusion, frame_matches, mean_ap, mean_iou
from propagate.render.compare import filmstrip
from propagate.values import Annotation
from propagate.video import read_video
from propagate.video.folder import list_images

Ids = NDArray[np.integer]

CLASSES = (  # the order of the data's own loader (ATEN, vip.py)
    *("background", "hat", "hair", "gloves", "sun-glasses", "upper-clothes", "dress", "coat", "socks", "pants"),
    *("torso-skin", "scarf", "skirt", "face", "left-arm", "right-arm", "left-leg", "right-leg", "left-shoe"),
    "right-shoe",
)
VOID = 255


def listed_videos(root: Path, name: str) -> Iterator[tuple[str, Path]]:
    """Yield the name and the folder of frames of the videos of a list, in its order.

    Args:
        root: VIP_Fine, or the folder that holds it.
        name: of the list ("val" for lists/val_videos.txt or lists/val_id.txt), or a file of one's own.

    Raises:
        InputError: a part of the layout is missing, or a video is listed and not there.
    """
    root = home(root)
    for part in ("Category_ids", "Instance_ids"):
        maps_folder(root, part)
    file = _list_file(root, name)
    words = [line.split()[0].strip("/") for line in read_text(file).splitlines() if line.strip()]
    frames_listed = file.name.endswith("_id.txt")
    videos = dict.fromkeys(word.split("/")[-2 if frames_listed and "/" in word else -1] for word in words)
    for video in videos:
        folder = root / "Images" / video
        if not folder.is_dir():
            raise InputError(f"{file} lists {video}, but the folder {folder} is not there")
        yield video, folder


def home(root: Path) -> Path:
    """Return the folder that holds Images: `root`, or VIP_Fine in it.

    Raises:
        InputError: neither does.
    """
    for folder in (root, root / "VIP_Fine"):
        if (folder / "Images").is_dir():
            return folder
    hint = "ROOT is the folder VIP_Fine, with Images, Annotations and lists"
    raise InputError(f"{root}: there is no folder Images in it", hint=hint)


def maps_folder(root: Path, part: str) -> Path:
    """Return the folder of the maps `Category_ids` or `Instance_ids`.

    Raises:
        InputError: it is not there.
    """
    for folder in (root / "Annotations" / part, root / part):
        if folder.is_dir():
            return folder
    raise InputError(f"{root}: there is no folder Annotations/{part} in it")


def _list_file(root: Path, name: str) -> Path:
    tried = [root / "lists" / f"{name}_videos.txt", root / "lists" / f"{name}_id.txt", Path(name)]
    for file in tried:
        if file.is_file():
            return file
    raise InputError(f"{root / 'lists'}: no list {tried[0].name} or {tried[1].name}")


def truth_files(root: Path, video: str) -> list[Path]:
    """Return all files that hold a video's truth."""
    folders = [maps_folder(root, part) / video for part in ("Category_ids", "Instance_ids")]
    return sorted(path for folder in folders if folder.is_dir() for path in list_folder(folder) if path.is_file())


def labelled_frames(root: Path, video: str) -> tuple[tuple[int, str], ...]:
    """Return the index and the stem of the frames of a video that have a map of categories.

    Raises:
        InputError: the first frame has none, so that nothing can be given, or no other has one.
    """
    folder = maps_folder(root, "Category_ids") / video
    stems = [path.stem for path in list_images(root / "Images" / video)]
    labelled = tuple((index, stem) for index, stem in enumerate(stems) if (folder / f"{stem}.png").is_file())
    if not labelled or labelled[0][0] != 0:
        raise InputError(f"{folder / stems[0]}.png: the map of the first frame is not there")
    if len(labelled) < 2:
        raise InputError(f"{folder}: only the first frame of {video} has a map, so there is nothing to score")
    return labelled


def read_categories(root: Path, video: str, stem: str, *, size: tuple[int, int]) -> Ids:
    """Return the true categories of a frame, (H, W); `VOID` for ids of 20 and above, which the evaluator passes over.

    Raises:
        InputError: the file is missing or coloured, or has another size than its picture.
    """
    ids = _read_ids(maps_folder(root, "Category_ids") / video / f"{stem}.png", size=size)
    return np.where(ids >= len(CLASSES), np.int32(VOID), ids)


def read_found_categories(path: Path) -> Ids:
    """Return predicted categories (H, W).

    Raises:
        InputError: the file is missing or coloured, or has a class that VIP lacks.
    """
    ids = _read_ids(path, size=None)
    if (beyond := int(ids.max(initial=0))) >= len(CLASSES):
        raise InputError(f"{path}: class {beyond} is none of VIP's, which are 0 to {len(CLASSES) - 1}")
    return ids


def read_instances(root: Path, video: str, stem: str, *, size: tuple[int, int]) -> tuple[Ids, Mapping[int, int]]:
    """Return the true instances of a frame, (H, W), and the class of each.

    As for the evaluator, an id without a line in the `.txt` beside the PNG is none. Without that file an instance's
    class is the one that most of its pixels have.

    Raises:
        InputError: a file is missing or damaged, has another size, or gives a class to none of the instances.
    """
    path = maps_folder(root, "Instance_ids") / video / f"{stem}.png"
    ids = _read_ids(path, size=size)
    present = [int(number) for number in np.unique(ids) if number > 0]
    text = path.with_suffix(".txt")
    if text.is_file():
        lines = _numbers(text, least=2, empty=not present)
        listed = {int(number): int(kind) for number, kind, *_ in lines}
    else:
        categories = read_categories(root, video, stem, size=size)
        listed = {number: _most(categories[ids == number]) for number in present}
    classes = {number: listed[number] for number in present if listed.get(number) in range(1, len(CLASSES))}
    if present and not classes:
        raise InputError(f"{text}: gives none of the {len(present)} instances in {path.name} a class of 1 to 19")
    return np.where(np.isin(ids, list(classes)), ids, 0), classes


def read_found_instances(path: Path) -> tuple[Ids, Mapping[int, int], Mapping[int, float]]:
    """Return predicted instances (H, W), the class and the score of each, as ATEN's evaluator takes them.

    Line k of the `.txt` beside the PNG is `CLASS SCORE` of the instance k.

    Raises:
        InputError: a file is missing or damaged, or an instance has no line.
    """
    ids = _read_ids(path, size=None)
    lines = _numbers(path.with_suffix(".txt"), least=2, empty=not (ids > 0).any())
    if (beyond := int(ids.max(initial=0))) > len(lines):
        raise InputError(f"{path}: the instance {beyond}, but {path.stem}.txt has {len(lines)} lines CLASS SCORE")
    wrong = [line[0] for line in lines if line[0] not in range(1, len(CLASSES))]
    if wrong:
        raise InputError(f"{path.with_suffix('.txt')}: class {wrong[0]:g} is none of VIP's parts, 1 to 19")
    classes = {number: int(line[0]) for number, line in enumerate(lines, start=1)}
    return ids, classes, {number: line[1] for number, line in enumerate(lines, start=1)}


def _read_ids(path: Path, *, size: tuple[int, int] | None) -> Ids:
    """Return a map's ids, (H, W)."""
    raw = read_raw(path, grey="ids")
    if raw.colored:
        raise InputError(f"{path}: a colour picture, expected the ids themselves", hint="an indexed or grey PNG")
    if size is not None:
        height, width = raw.values.shape
        check_size(path, (height, width), size, what="map", hint="a map has the size of its picture in Images")
    return raw.values


def _numbers(path: Path, *, least: int, empty: bool = False) -> list[tuple[float, ...]]:
    """Return the numbers of each line of a file, at least so many a line, all finite."""
    if empty and path.is_file() and not path.stat().st_size:
        return []
    rows = []
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        try:
            row = tuple(float(word) for word in line.split())
        except ValueError as error:
            raise InputError(f"{path}, line {number}: not numbers: {line.strip()!r}") from error
        if not all(map(math.isfinite, row)):
            raise InputError(f"{path}, line {number}: not finite: {line.strip()!r}")
        if row and len(row) < least:
            raise InputError(f"{path}, line {number}: {line.strip()!r}, expected {least} numbers")
        rows += [row] if row else []
    return rows


def _most(values: Ids) -> int:
    """Return the most frequent value but background and void, 0 without any."""
    known = values[(values > 0) & (values != VOID)]
    return int(np.bincount(known).argmax()) if known.size else 0


@dataclass(frozen=True)
class Carried:
    """What was found on one frame.

    Attributes:
        stem: the frame's.
        ids: (H, W).
        scores: id -> confidence in [0, 1]; 1 for those that are not in it.
    """

    stem: str
    ids: Ids
    scores: Mapping[int, float]


def carry(video: str, given: Ids, trackers: Trackers, *, watch: Stopwatch) -> Iterator[Carried]:
    """Yield the ids `given` on the first frame, carried through all frames; nothing is found where nothing is given."""
    from propagate.labels.masks import MaskLabels

    ids = tuple(int(number) for number in np.unique(given) if number > 0)
    with read_video(video) as frames:
        if not ids:
            yield from (Carried(frame.stem, np.zeros(given.shape, np.uint8), {}) for frame in frames)
            return
        annotation = Annotation(0, given, ids, complete=True)
        for prediction in watch.track(trackers("masks"), frames, [annotation], label_type=MaskLabels(ids)):
            scores = {int(state.id): state.confidence for state in prediction.objects}
            yield Carried(prediction.frame.stem, np.asarray(prediction.array, dtype=np.int32), scores)


def write_parts(folder: Path, carried: Iterable[Carried], *, stems: Collection[str]) -> None:
    """Write the categories of the frames `stems`, a PNG each.

    Raises:
        OutputError: a file cannot be written.
    """
    make_folder(folder)
    for found in carried:
        if found.stem in stems:
            write_mask(folder / f"{found.stem}.png", found.ids)


def write_instances(
    folder: Path, carried: Iterable[Carried], *, stems: Collection[str], classes: Mapping[int, int]
) -> None:
    """Write the instances of the frames `stems`: a PNG each, and a line `CLASS SCORE` per instance beside it.

    The instances that a frame has are numbered 1, 2, ... anew, because the official evaluator takes line k for id k and
    goes wrong on a line whose instance has no pixel.

    Args:
        folder: the video's.
        carried: ids and scores per frame.
        stems: the frames to be written.
        classes: id -> class.

    Raises:
        OutputError: a file cannot be written.
    """
    make_folder(folder)
    for found in carried:
        if found.stem not in stems:
            continue
        present, places = np.unique(np.where(np.isin(found.ids, list(classes)), found.ids, 0), return_inverse=True)
        shift = 0 if present[0] == 0 else 1  # without background the first instance is 1 all the same
        write_mask(folder / f"{found.stem}.png", places.reshape(found.ids.shape) + shift)
        kept = [int(number) for number in present if number > 0]
        lines = [f"{classes[number]} {found.scores.get(number, 1.0):.6f}\n" for number in kept]
        write_text(folder / f"{found.stem}.txt", "".join(lines))


def resized(ids: Ids, size: tuple[int, int]) -> Ids:
    """Return ids (H, W) at another (height, width), by nearest neighbour."""
    if ids.shape == size:
        return ids
    row, column = ((np.arange(new) + 0.5) * old / new for new, old in zip(size, ids.shape, strict=True))
    return np.asarray(ids[row.astype(int)[:, None], column.astype(int)])


AP_THRESHOLDS = {".3": 0.3, ".5": 0.5, ".7": 0.7}


@dataclass(frozen=True)
class Vip(Benchmark):
    """Mean IoU of the 20 categories, and AP^r of the part instances, over all labelled frames of all videos.

    mIoU follows the evaluator of ATEN, TimeCycle and UVC: one confusion matrix over everything, background is a class,
    ids of 20 and above in the truth (255) are passed over, a class that is in neither is left out of the mean. AP^r
    follows ATEN's test_inst_part_ap.py: see `metrics.detection`; APvol is its mean over IoU .1 to .9.

    Categories and instances are carried apart, each given on the first frame. The frames are those of VIP_Fine, about
    25 apart, as in the papers. **The given first frame counts too**: the published scripts copy it into the results and
    score every file there. With 4 to 6 labelled frames a video that lifts every method; `first=False` leaves it out.

    Results: `parts/VIDEO/FRAME.png`, and `instances/VIDEO/FRAME.png` with a `FRAME.txt` beside it, whose line k is
    `CLASS SCORE` of the instance k (ATEN's form; TimeCycle's and UVC's `VIDEO/FRAME.png` is taken for the parts). A
    result of another size than the truth is resized by nearest neighbour. Without a folder `instances` there is no AP.

    Args:
        root: VIP_Fine, or the folder that holds it.
        list: "val" for lists/val_videos.txt, or a file.
        sequences: only these videos.
        first: whether the given frame counts.
    """

    root: Path
    list: str = "val"
    sequences: tuple[str, ...] = ()
    first: bool = True

    name: ClassVar[str] = "vip"
    labels: ClassVar[str] = "masks"
    measures: ClassVar[tuple[Measure, ...]] = (
        Measure("mIoU"),
        *(Measure(f"AP@{text}") for text in AP_THRESHOLDS),
        Measure("APvol"),
    )

    def list_sequences(self) -> Sequence[BenchmarkSequence]:
        """Return the videos of the list.

        Raises:
            InputError: a part of the layout is missing, or a video is listed and not there.
        """
        found = tuple(BenchmarkSequence(video, str(folder)) for video, folder in listed_videos(self.root, self.list))
        return choose_sequences(found, self.sequences, where=self.root)

    def inputs(self, sequence: BenchmarkSequence) -> tuple[Sequence[Path], Mapping[str, Any]]:
        """Return the maps of parts and instances, and whether the given frame counts."""
        return truth_files(self.root, sequence.name), {"first": self.first}

    def evaluate(self, sequence: BenchmarkSequence, trackers: Trackers, results: Path) -> Scores:
        """Carry the categories and the instances of a video's first frame, write them, and score them.

        Raises:
            InputError: the first frame's maps or the frames cannot be used.
        """
        root, stems = home(self.root), self._stems(sequence)
        parts = read_categories(root, sequence.name, stems[0], size=_size(sequence))
        instances, classes = read_instances(root, sequence.name, stems[0], size=_size(sequence))
        by_parts, by_instances = Stopwatch(), Stopwatch()
        found = carry(sequence.video, np.where(parts == VOID, 0, parts), trackers, watch=by_parts)
        write_parts(results / "parts" / sequence.name, found, stems=stems)
        found = carry(sequence.video, instances, trackers, watch=by_instances)
        write_instances(results / "instances" / sequence.name, found, stems=stems, classes=classes)
        scores = self.score(sequence, results)
        notes = (*scores.notes, *notes_of(by_parts))
        return replace(scores, seconds=by_parts.seconds + by_instances.seconds, notes=notes)

    def score(self, sequence: BenchmarkSequence, results: Path) -> Scores:
        """Score the maps of one video.

        Raises:
            InputError: a map is missing or damaged, or has a class that VIP lacks.
        """
        root, size = home(self.root), _size(sequence)
        labelled = labelled_frames(root, sequence.name)[0 if self.first else 1 :]
        by_frame, ious = {}, []
        for index, stem in labelled:
            truth = read_categories(root, sequence.name, stem, size=size)
            found = resized(read_found_categories(_parts_file(results, sequence, stem)), size)
            matrix = confusion(truth, found, classes=len(CLASSES), void=VOID)
            ious.append(class_iou(matrix))
            by_frame[str(index)] = {"confusion": matrix.tolist()}
            if (results / "instances").is_dir():
                by_frame[str(index)] |= _matches(root, sequence, stem, results, size=size)
        parts = zip(CLASSES, np.stack(ious, axis=1), strict=True)  # (20, T)
        first = read_instances(root, sequence.name, self._stems(sequence)[0], size=size)
        return Scores(
            sequence=sequence.name,
            frames=tuple(index for index, _ in labelled),
            units={name: {"IoU": iou} for name, iou in parts},
            totals={"frames": by_frame},
            facts={"objects": len(first[1])},
            notes=() if (results / "instances").is_dir() else (f"no {results / 'instances'}: no average precision",),
        )

    def summary(self, scores: Sequence[Scores]) -> dict[str, float]:
        """Return mIoU and the average precisions over all frames of all videos; AP is NaN without instances."""
        frames = [one.totals["frames"][str(index)] for one in scores for index in one.frames]  # as `take` leaves them
        matrix = np.sum([np.array(frame["confusion"]) for frame in frames], axis=0)
        matches = [frame for frame in frames if "truths" in frame]
        precise = {f"AP@{text}": mean_ap(matches, threshold=threshold) for text, threshold in AP_THRESHOLDS.items()}
        return {"mIoU": mean_iou(matrix), **precise, "APvol": ap_volume(matches)}

    def curves(self, scores: Scores) -> dict[str, Curve]:
        """Return the mean IoU over the categories of each frame."""
        ious = np.stack([unit["IoU"] for unit in scores.units.values()])  # (20, T)
        known = ~np.isnan(ious)
        count = known.sum(axis=0)
        total = np.where(known, ious, 0).sum(axis=0)
        return {"mIoU": np.divide(total, count, out=np.full(len(count), np.nan), where=count > 0)}

    def filmstrip(
        self, sequence: BenchmarkSequence, results: Path, *, count: int, height: int
    ) -> NDArray[np.uint8] | None:
        """Return labelled frames with the true categories above and the predicted ones below."""
        size, stems = _size(sequence), self._stems(sequence)
        stems = [stems[place] for place in spread(len(stems), count)]
        truths = [read_categories(home(self.root), sequence.name, stem, size=size) for stem in stems]
        found = [resized(read_found_categories(_parts_file(results, sequence, stem)), size) for stem in stems]
        with read_video(sequence.video) as frames:
            pictures = [frame.rgb for frame in frames if frame.stem in stems]
        known = [np.where(truth == VOID, 0, truth) for truth in truths]
        return filmstrip(pictures, known, found, count=count, height=height)

    def _stems(self, sequence: BenchmarkSequence) -> Sequence[str]:
        return [stem for _, stem in labelled_frames(home(self.root), sequence.name)]


def _matches(
    root: Path, sequence: BenchmarkSequence, stem: str, results: Path, *, size: tuple[int, int]
) -> Mapping[str, Any]:
    """Return what a frame adds to the average precision."""
    truth, true_classes = read_instances(root, sequence.name, stem, size=size)
    found, classes, scores = read_found_instances(results / "instances" / sequence.name / f"{stem}.png")
    here = resized(found, size)
    return frame_matches(truth, here, truth_classes=true_classes, predicted_classes=classes, scores=scores)


def _size(sequence: BenchmarkSequence) -> tuple[int, int]:
    """Return the (height, width) of the video's frames."""
    with read_video(sequence.video) as frames:
        return frames.info.size


def _parts_file(results: Path, sequence: BenchmarkSequence, stem: str) -> Path:
    """Return where the categories of a frame lie: in `parts`, or in the video's own folder when there is no such."""
    folder = results / "parts"
    return (folder if folder.is_dir() else results) / sequence.name / f"{stem}.png"
