"""How well each label type follows a rendered clip, whose truth is exact; shared by tests and the benchmark."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy import ndimage

from propagate.config import resolve
from propagate.encoders.weights import load_encoder
from propagate.engine.propagation import Propagation
from propagate.labels.colors import ColorLabels
from propagate.labels.keypoints import KeypointLabels
from propagate.labels.masks import MaskLabels
from propagate.labels.protocol import LabelType
from propagate.labels.texture import TextureLabels
from propagate.metrics.color import mean_delta_e
from propagate.metrics.masks import jaccard
from propagate.values import Annotation, Frame, Prediction
from rendered import Clip


def carry(
    clip: Clip,
    annotation: Annotation,
    label_type: LabelType,
    *,
    encoder_name: str | None = None,
    settings: Mapping[str, object] | None = None,
):
    """Return the predictions of all frames of a clip as the commands would make them, by default with their default."""
    grey = {"patch": True} if label_type.sees_luma and encoder_name == "rawcolor" else None
    encoder = load_encoder(encoder_name, settings=grey)
    config = resolve(encoder.preset, settings or {})
    propagation = Propagation([annotation], label_type=label_type, encoder=encoder, config=config)
    frames = [Frame(index, index / 25, rgb, f"{index:05d}") for index, rgb in enumerate(clip.frames)]
    return [propagation.step(frame) for frame in frames]


def masks(clip: Clip, encoder_name: str | None = None) -> dict[str, float]:
    """Return the mean J of the masks, first and last frame left out, and identity's."""
    predictions = carry(
        clip, Annotation(0, clip.masks[0].astype(int), (1,)), MaskLabels((1,)), encoder_name=encoder_name
    )
    pairs = list(zip(clip.masks > 0, predictions, strict=True))[1:-1]
    return {
        "J": float(np.mean([jaccard(real, found.array > 0) for real, found in pairs])),
        "identity J": float(np.mean([jaccard(real, clip.masks[0] > 0) for real, _ in pairs])),
    }


def kept_apart(clip: Clip, encoder_name: str | None = None) -> dict[str, float]:
    """Return, of each object, the mean J where it is seen and the share of frames on which it is no other object."""
    ids = tuple(int(number) for number in np.unique(clip.masks[0]) if number)
    predictions = carry(clip, Annotation(0, clip.masks[0].astype(int), ids), MaskLabels(ids), encoder_name=encoder_name)
    found: dict[str, float] = {}
    for number in ids:
        overlaps = np.array(
            [
                [jaccard(clip.masks[t] == other, predictions[t].array == number) for other in ids]
                for t in range(1, len(predictions) - 1)
            ]
        )  # (T - 2, L)
        found[f"J of {number}"] = float(overlaps[:, ids.index(number)].mean())
        found[f"{number} kept"] = float((overlaps.argmax(1) == ids.index(number)).mean())
    return found


def keypoints(clip: Clip, encoder_name: str | None = None) -> dict[str, float]:
    """Return the points' mean error in pixels where both truth and prediction see them, and how often they do not."""
    names = tuple(f"p{number}" for number in range(clip.points_xy.shape[1]))
    predictions = carry(clip, Annotation(0, clip.points_xy[0], names), KeypointLabels(names), encoder_name=encoder_name)
    found = np.stack([prediction.array for prediction in predictions])[1:]
    error = np.linalg.norm(found - clip.points_xy[1:], axis=2)
    seen, absent = clip.points_visible[1:], np.isnan(error)
    still = np.linalg.norm(clip.points_xy[:1] - clip.points_xy[1:], axis=2)
    return {
        "error px": float(error[seen & ~absent].mean()),
        "identity error px": float(still[seen].mean()),
        "visible lost": float((seen & absent).sum() / seen.sum()),
        "hidden said absent": float((~seen & absent).sum() / max(1, (~seen).sum())),
    }


def checks(size: tuple[int, int]) -> np.ndarray:
    """Return a paint (H, W, 4) with something to see at every place: soft coloured checks, opaque."""
    y, x = np.indices(size)
    waves = [np.sin(x / 5.0) * np.sin(y / 7.0), np.sin((x + y) / 9.0), np.cos(x / 6.0 - y / 8.0)]
    paint = np.stack([*(127.5 + 120 * wave for wave in waves), np.full(size, 255.0)], 2)
    return paint.astype(np.uint8)


def texture(clip: Clip, encoder_name: str | None = None) -> dict[str, float]:
    """Return the mean correlation, inside the visible object, of the painted frames with the true picture."""
    paint = checks(clip.masks.shape[1:])
    paint[clip.masks[0] == 0] = 0
    label_type = TextureLabels(paint)
    predictions = carry(clip, Annotation(0, paint, ("paint",)), label_type, encoder_name=encoder_name)
    found = []
    for index, prediction in enumerate(predictions[1:], start=1):
        inside = (clip.masks[index] > 0) & ndimage.binary_erosion(
            ~np.isnan(clip.source_xy[index, :, :, 0]), iterations=2
        )
        found.append(_correlation(prediction.array[inside], true_paint(paint, clip.source_xy[index][inside])))
    return {"correlation": float(np.mean(found)), "worst frame": float(np.min(found))}


def true_paint(paint: np.ndarray, source_xy: np.ndarray) -> np.ndarray:
    """Return the paint's colours (N, 3) at the places (N, 2) x, y of the painted frame."""
    places = source_xy[:, ::-1].T
    return np.stack([ndimage.map_coordinates(paint[..., n].astype(float), places, order=1) for n in range(3)], 1)


def _correlation(first: np.ndarray, second: np.ndarray) -> float:
    return float(np.corrcoef(first.astype(float).ravel(), second.ravel())[0, 1])


def colors(clip: Clip, encoder_name: str | None = None) -> dict[str, float]:
    """Return the mean CIEDE2000 inside the object, and of the whole picture."""
    given = Annotation(0, clip.frames[0], ("a", "b", "chroma"))
    predictions: list[Prediction] = carry(clip, given, ColorLabels(), encoder_name=encoder_name)
    triples = list(zip(clip.frames, clip.masks > 0, predictions, strict=True))[1:]
    inside = [mean_delta_e(real, found.array, where=mask) for real, mask, found in triples if mask.any()]
    whole = [mean_delta_e(real, found.array) for real, _, found in triples]
    return {"dE2000 inside": float(np.mean(inside)), "dE2000": float(np.mean(whole))}


LABELS = {"masks": masks, "keypoints": keypoints, "texture": texture, "colors": colors}
