"""What all keypoint benchmarks share: result files, PCK of a sequence, filmstrips."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from propagate.errors import InputError
from propagate.evaluation.corrections import POINT_SECONDS, Annotated, Correctable, CorrectedRun
from propagate.evaluation.protocol import Curve, Measure, Scores
from propagate.formats import csv_points
from propagate.formats.atomic import make_folder
from propagate.formats.frames import match_frames
from propagate.formats.points import PointTracks
from propagate.formats.results import record
from propagate.formats.tables import csv_rows, read_text
from propagate.metrics.keypoints import (
    box_errors,
    box_side,
    instance_errors,
    pck_over_joints,
    pixel_errors,
    strict_errors,
)
from propagate.render.compare import join
from propagate.render.overlay import overlay_points
from propagate.values import Annotation, Prediction
from propagate.video import read_video
from propagate.video.folder import list_images

Array = NDArray[np.float64]


def write_tracks(path: Path, predictions: Iterable[Prediction]) -> None:
    """Write the points of a run, a row per frame and point, x and y empty where a point is lost.

    Raises:
        OutputError: the file cannot be written.
    """
    names: tuple[str, ...] = ()
    frames, xy, confidence = [], [], []
    for prediction in predictions:
        names = tuple(str(name) for name in prediction.ids)
        frames.append(prediction.frame)
        xy.append(prediction.array)
        sure = [state.confidence for state in prediction.objects] or [1.0] * len(names)
        confidence.append(np.array(sure, dtype=float))
    places = np.array(xy, dtype=float)
    tracks = PointTracks(
        names=names,
        frames=tuple(frame.index for frame in frames),
        stems=tuple(frame.stem for frame in frames),
        times=tuple(frame.time for frame in frames),
        xy=places,
        confidence=np.array(confidence),
        visible=np.isfinite(places).all(axis=2),
    )
    make_folder(path.parent)
    csv_points.write(path, tracks)


def read_tracks(path: Path, *, names: Sequence[str], frames: Sequence[int], stems: Sequence[str]) -> Array:
    """Return the points of a results file at the scored frames; what the file leaves out is lost.

    Args:
        path: a CSV as `formats.csv_points` reads it.
        names: (L,) the points of the truth.
        frames: (T,) the indices of the scored frames; the file must have a row of each.
        stems: the stems of the video's frames, for files that name frames by stem.

    Returns:
        (T, L, 2) pixels, NaN where lost.

    Raises:
        InputError: the file is missing or damaged, has a point that the truth lacks, or lacks a frame.
    """
    found = csv_points.read(path, stems=stems)
    unknown = [name for name in found.names if name not in names]
    if unknown:
        raise InputError(f"{path}: the truth has no point {unknown[0]!r}", hint=f"it has {', '.join(names)}")
    missing = sorted(set(frames) - _frames_of(path, stems))
    if missing:
        raise InputError(f"{path}: no row of frame {missing[0]}", hint=f"frames {min(frames)} to {max(frames)} count")
    columns = [names.index(name) for name in found.names]
    row_of = {frame: row for row, frame in enumerate(frames)}
    places = np.full((len(frames), len(names), 2), np.nan)
    for annotation in found.annotations:
        if annotation.frame in row_of:
            places[row_of[annotation.frame], columns] = annotation.array
    return places


def _frames_of(path: Path, stems: Sequence[str]) -> set[int]:
    """Return the frames that a CSV has rows of, those without any point included; it has been read before."""
    text = read_text(path)
    separator = next((letter for letter in text.lstrip().splitlines()[0] if letter in ",;\t"), ",")
    lines = csv_rows(path, text, separator=separator)
    column = [cell.strip() for cell in next(lines)[1]].index("frame")
    cells = {row[column].strip() for _, row in lines}
    named = {cell for cell in cells if re.match("0[0-9]", cell) or not re.fullmatch(r"[+]?[0-9]+(\.[0-9]*)?", cell)}
    matched = match_frames([Path(cell.replace("\\", "/")).stem for cell in named], stems=stems, where=str(path))
    return {int(float(cell)) for cell in cells - named} | {frame for frame, _ in matched}


def stems_of(video: str) -> list[str]:
    """Return the stems of a video's frames, in order: the images' own, or the index with five digits for a file."""
    if Path(video).is_dir():
        return [path.stem for path in list_images(Path(video))]
    with read_video(video) as frames:
        return [f"{index:05d}" for index in range(len(frames))]


RGB = NDArray[np.uint8]


def point_strip(
    video: str,
    points: Mapping[int, tuple[Array, Array]],
    *,
    names: Sequence[str],
    count: int,
    height: int,
    skeleton: Sequence[tuple[str, str]] = (),
) -> RGB | None:
    """Return `count` frames, evenly spread over those that have points.

    Args:
        video: a file or a folder of images.
        points: frame -> true and predicted places (L, 2) in pixels, NaN where unknown or lost.
        names: (L,) the points' names.
        count: how many frames; fewer when there are fewer.
        height: of one picture, in pixels.
        skeleton: pairs of names joined by a line.

    Returns:
        (2 * height + 4, N, 3) uint8, None without frames.
    """
    labelled = sorted(points)
    if not labelled:
        return None
    places = np.unique(np.linspace(0, len(labelled) - 1, min(count, len(labelled))).round().astype(int))
    chosen = {labelled[place] for place in places}
    with read_video(video, start=min(chosen), end=max(chosen) + 1) as frames:
        pictures = {frame.index: frame.rgb for frame in frames if frame.index in chosen}
    rows = [
        join(
            [
                _thumbnail(rgb, points[index][which], names=names, height=height, skeleton=skeleton)
                for index, rgb in sorted(pictures.items())
            ],
            axis=1,
        )
        for which in (0, 1)
    ]
    return join(rows, axis=0)


def _thumbnail(rgb: RGB, xy: Array, *, names: Sequence[str], height: int, skeleton: Sequence[tuple[str, str]]) -> RGB:
    """Return a frame at another height, the points drawn on it at that size."""
    width = max(1, round(rgb.shape[1] * height / rgb.shape[0]))
    small = np.array(Image.fromarray(rgb).resize((width, height), Image.Resampling.LANCZOS))
    scale = np.array([width / rgb.shape[1], height / rgb.shape[0]])
    sure = np.ones(len(names))
    return overlay_points(
        small,
        (xy + 0.5) * scale - 0.5,
        visible=np.asarray(np.isfinite(xy).all(axis=1)),
        confidence=sure,
        names=names,
        skeleton=skeleton,
    )


KINDS: Mapping[str, str] = {"PCK": "instance", "PCKmax": "max", "PCKstrict": "strict"}  # measure -> curve of a unit
CURVES = (*KINDS.values(), "pixels")
THRESHOLDS = {".1": 0.1, ".2": 0.2, ".3": 0.3, ".4": 0.4, ".5": 0.5}
LOST = Measure("lost", better="lower")
BRIEF = ("PCK@.1", "PCK@.2", "PCK@.5", "PCKmax@.1", "PCKmax@.2", "PCKstrict@.1", "PCKstrict@.2")
MEASURES = (
    *(Measure(f"{kind}@{text}", brief=f"{kind}@{text}" in BRIEF) for kind in KINDS for text in THRESHOLDS),
    LOST,
)


def point_units(
    truth_xy: Array, predicted_xy: Array, *, names: Sequence[str], side: Array | None = None, alone: float | None = None
) -> dict[str, dict[str, Curve]]:
    """Return each point's errors over the frames, as `Scores.units` holds them.

    Points called `animal/part` are normalised by the box of their own animal.

    Args:
        truth_xy: (T, L, 2) pixels, NaN where unknown.
        predicted_xy: (T, L, 2) pixels, NaN where lost.
        names: (L,).
        side: (T,) pixels, the larger side of the instance's box; where it is NaN, and without it, that of the box
            around the true joints.
        alone: what takes the place of relative errors where one true joint alone has no box; None keeps the published
            scripts' rule, by which it is wrong.

    Returns:
        Point -> "instance", "max", "strict" (relative) and "pixels" -> (T,): NaN where it does not count, infinite
        where the point was lost.
    """
    units: dict[str, dict[str, Curve]] = {name: {} for name in names}
    for rows in animals(names).values():
        true, found = truth_xy[:, rows], predicted_xy[:, rows]
        errors = {
            "instance": instance_errors(true, found),
            "max": box_errors(true, found, side=_sides(true, side)),
            "strict": strict_errors(true, found),
            "pixels": pixel_errors(true, found),
        }
        if alone is not None:
            boxless = ~(box_side(true) > 0)
            for kind in ("instance", "max", "strict"):
                errors[kind][boxless] = alone
        for column, row in enumerate(rows):
            units[names[row]] = {kind: error[:, column] for kind, error in errors.items()}
    return units


def boxless_frames(truth_xy: Array, names: Sequence[str]) -> NDArray[np.bool_]:
    """Return (T,) on which frames an animal shows points without a box: one, or several in a place."""
    found = np.zeros(len(truth_xy), dtype=bool)
    for rows in animals(names).values():
        true = truth_xy[:, rows]
        shown: NDArray[np.bool_] = np.any(np.isfinite(true).all(axis=2), axis=1)
        found |= shown & ~(box_side(true) > 0)
    return found


def animals(names: Sequence[str]) -> dict[str, list[int]]:
    """Return the places of each animal's points: the part of `animal/part` before the last slash tells whose it is."""
    groups: dict[str, list[int]] = {}
    for row, name in enumerate(names):
        groups.setdefault(name.rpartition("/")[0], []).append(row)
    return groups


def _sides(truth_xy: Array, side: Array | None) -> Array:
    """Return (T,) the larger side of the instance's box, NaN where it has none."""
    around = box_side(truth_xy)
    chosen = around if side is None else np.where(np.isnan(side), around, side)
    return np.where(chosen > 0, chosen, np.nan)


def pooled(scores: Sequence[Scores]) -> dict[str, float]:
    """Return the measures over all frames of all sequences at once: per point, then the mean over the points.

    That is what the published scripts do with JHMDB's 15 joints; the sequences must have the same points.
    """
    errors = _errors(scores)
    numbers = {
        f"{kind}@{text}": pck_over_joints(errors[curve], threshold=threshold)
        for kind, curve in KINDS.items()
        for text, threshold in THRESHOLDS.items()
    }
    known = ~np.isnan(errors["pixels"])
    lost = float(np.isinf(errors["pixels"][known]).mean()) if known.any() else float("nan")
    return numbers | {LOST.name: lost}


def mean_pixels(scores: Scores) -> float:
    """Return the mean distance in pixels over the points of a sequence that are known and not lost, NaN without any."""
    errors = _errors([scores])["pixels"]
    finite = errors[np.isfinite(errors)]
    return float(finite.mean()) if finite.size else float("nan")


def right_over_time(scores: Scores) -> dict[str, Curve]:
    """Return the share of right points on each frame, (T,), at .1 and .2 and by each normaliser."""
    errors = _errors([scores])
    return {
        f"{kind}@{text}": _share(errors[curve] <= THRESHOLDS[text], ~np.isnan(errors[curve]))
        for kind, curve in KINDS.items()
        for text in (".1", ".2")
    }


def _errors(scores: Sequence[Scores]) -> dict[str, Array]:
    """Return each curve of all units of all sequences, (frames of all, L); in one piece, as a bootstrap asks often."""
    pieces = []
    for one in scores:
        curves = [unit[curve] for curve in CURVES for unit in one.units.values()]
        pieces.append(np.concatenate(curves).reshape(len(CURVES), len(one.units), len(one.frames)))
    return dict(zip(CURVES, np.concatenate(pieces, axis=2).transpose(0, 2, 1), strict=True))


def _share(right: NDArray[np.bool_], known: NDArray[np.bool_]) -> Curve:
    """Return (T,) the share of the known points (T, L) that are right, NaN where none is known."""
    count = known.sum(axis=1)
    share = np.full(len(count), np.nan)
    np.divide((right & known).sum(axis=1), count, out=share, where=count > 0)
    return share


def correctable_points(
    name: str,
    frames: Sequence[int],
    truth_xy: Array,
    *,
    names: Sequence[str],
    track: Callable[[Sequence[Annotation]], Iterable[Prediction]],
    alone: float | None = None,
) -> Correctable:
    """Return a sequence of points that can be corrected with its truth; a person clicks each point that is known.

    Args:
        name: the sequence's.
        frames: (T,) indices of the frames with truth, ascending.
        truth_xy: (T, L, 2) pixels, NaN where unknown.
        names: (L,) the points' names.
        track: runs the tracker with annotations.
        alone: as for `point_units`.
    """
    row_of = {frame: row for row, frame in enumerate(frames)}

    def run(annotated: Annotated) -> CorrectedRun:
        given = [Annotation(frame, truth_xy[row_of[frame]], tuple(names)) for frame in annotated]
        places, lines = np.full(truth_xy.shape, np.nan), []
        for prediction in track(given):
            lines.append(record(prediction))
            if prediction.frame.index in row_of:
                places[row_of[prediction.frame.index]] = prediction.array
        return CorrectedRun(tuple(frames), _right(places), lines, np.full(len(names), np.nan))

    def _right(places: Array) -> dict[str, Array]:
        units = point_units(truth_xy, places, names=names, alone=alone)
        errors = np.stack([units[one][KINDS["PCK"]] for one in names])  # (L, T)
        known = {text: np.where(np.isnan(errors), np.nan, errors <= THRESHOLDS[text]) for text in (".1", ".2")}
        return {f"PCK@{text}": right for text, right in known.items()}

    clicks = np.isfinite(truth_xy).all(axis=2).sum(axis=1)
    seconds = {frame: POINT_SECONDS * int(count) for frame, count in zip(frames, clicks, strict=True)}
    return Correctable(name, seconds, "PCK@.1", run)
