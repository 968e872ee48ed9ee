"""Small textured clips, and a run over them in one call; shared by the tests of the engine."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from scipy import ndimage

from propagate.config import PropagateConfig, resolve
from propagate.encoders.protocol import Encoder
from propagate.encoders.weights import load_encoder
from propagate.engine.propagation import Pictures, Propagation
from propagate.labels.keypoints import KeypointLabels
from propagate.labels.masks import MaskLabels
from propagate.labels.protocol import LabelType
from propagate.values import Annotation, Frame, Prediction

SIZE = (48, 64)  # 12 x 16 cells of rawcolor, 4 pixels each


def texture(seed: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """Return a picture (H, W, 3) uint8 of soft random colours, every neighbourhood unlike every other."""
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=(*size, 3)), (2, 2, 0))
    return np.clip(128 + 55 * noise / noise.std(), 0, 255).astype(np.uint8)


def frame(index: int, rgb: np.ndarray, *, undecodable: bool = False) -> Frame:
    """Return a frame at 25 frames a second."""
    return Frame(index, index / 25, rgb, f"{index:05d}", undecodable=undecodable)


def still(count: int, seed: int = 0) -> list[Frame]:
    """Return the same picture `count` times."""
    return [frame(index, texture(seed)) for index in range(count)]


def square(left: int, *, number: int = 1, top: int = 16, side: int = 16, size: tuple[int, int] = SIZE) -> np.ndarray:
    """Return a mask (H, W) of one square."""
    mask = np.zeros(size, np.int64)
    mask[top : top + side, left : left + side] = number
    return mask


def sliding(count: int, *, step: int = 4) -> tuple[list[Frame], list[np.ndarray]]:
    """Return frames (64, 112) in which a textured square slides right over another texture, and its masks."""
    masks = [square(8 + step * index, side=32, size=(64, 112)) for index in range(count)]
    frames = []
    for index, mask in enumerate(masks):
        rgb = texture(1, mask.shape)
        rgb[mask > 0] = texture(2, (32, 32)).reshape(-1, 3)
        frames.append(frame(index, rgb))
    return frames, masks


def points(*places: tuple[float, float]) -> Annotation:
    """Return points p0, p1, ... annotated on frame 0."""
    return Annotation(0, np.array(places, float), tuple(f"p{number}" for number in range(len(places))))


def label_type_of(annotations: Sequence[Annotation]) -> LabelType:
    """Return the label type of masks or points for the ids of all annotations."""
    ids = sorted({name for annotation in annotations for name in annotation.ids}, key=str)
    return KeypointLabels(tuple(ids)) if isinstance(ids[0], str) else MaskLabels(tuple(sorted(ids)))


def propagation(
    annotations: Sequence[Annotation],
    *,
    encoder: Encoder | None = None,
    label_type: LabelType | None = None,
    device: str = "cpu",
    pictures: Pictures | None = None,
    shot_of: Callable[[int], int] = lambda _: 0,
    **settings: object,
) -> Propagation:
    """Return a propagation under `rawcolor` (or `encoder`), its preset and `settings`."""
    encoder = encoder or load_encoder("rawcolor", device=device)
    config: PropagateConfig = resolve(encoder.preset, settings)
    return Propagation(
        annotations,
        label_type=label_type or label_type_of(annotations),
        encoder=encoder,
        config=config,
        device=device,
        pictures=pictures,
        shot_of=shot_of,
    )


def carry(frames: Sequence[Frame], annotations: Sequence[Annotation], **settings: object) -> list[Prediction]:
    """Return the predictions of all frames."""
    moving = propagation(annotations, **settings)
    return [moving.step(one) for one in frames]


def overlap(mask: np.ndarray, other: np.ndarray) -> float:
    """Return J of two boolean masks, 1 where both are empty."""
    either = (mask | other).sum()
    return float((mask & other).sum() / either) if either else 1.0


class Bare:
    """Features that are given."""

    temporal = 0

    def __init__(self, shape, similarity="cosine"):
        self.shape, self.similarity = shape, similarity

    def embed(self, stack):
        return stack
