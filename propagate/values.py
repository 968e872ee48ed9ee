"""The values that pass between rooms: NumPy in original pixels at the edge, torch in feature cells inside.

Pixel (0, 0) has its centre at (0.0, 0.0); x runs right, y down; a frame is upright, as displayed.
Each value checks its own shape, so nothing downstream does. Importing this module does not import torch.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

ObjectId = int | str
Kind = Literal["probability", "value"]
Source = Literal["annotated", "propagated", "none", "undecodable"]


@dataclass(frozen=True)
class Frame:
    """One decoded picture.

    Attributes:
        index: 0-based position in decode order (a file) or natural order (a folder).
        time: presentation time in seconds.
        rgb: (H, W, 3) uint8, upright.
        stem: the name that outputs of this frame carry: the image's own stem, or the index with five digits.
        pts: presentation time in the stream's time base, when there is one.
        luma: (H, W) uint8 or uint16, the stream's own Y plane at its own depth, only when it was asked for.
        undecodable: true when the picture could not be decoded and `rgb` repeats the last good one.
    """

    index: int
    time: float
    rgb: NDArray[np.uint8]
    stem: str
    pts: int | None = None
    luma: NDArray[np.uint8] | NDArray[np.uint16] | None = None
    undecodable: bool = False

    def __post_init__(self) -> None:
        if self.rgb.ndim != 3 or self.rgb.shape[2] != 3 or self.rgb.dtype != np.uint8:
            raise ValueError(f"rgb must be (H, W, 3) uint8, not {self.rgb.shape} {self.rgb.dtype}")

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return self.rgb.shape[0], self.rgb.shape[1]


@dataclass(frozen=True)
class Annotation:
    """What a person gave on one frame. It fixes only the ids it contains, unless `complete`.

    Attributes:
        frame: the index of the annotated frame.
        array: mask ids (H, W) integer, points (L, 2) float x, y with NaN where not annotated,
            or an image or map (H, W, d).
        ids: the objects present: positive ints for masks, names for points, plane names for maps.
        complete: objects that the annotation lacks have ended.
    """

    frame: int
    array: NDArray[np.generic]
    ids: tuple[ObjectId, ...]
    complete: bool = False

    def __post_init__(self) -> None:
        if self.frame < 0:
            raise ValueError(f"an annotation's frame must be 0 or more, not {self.frame}")
        if self.array.ndim not in (2, 3):
            raise ValueError(f"an annotation must have 2 or 3 axes, not shape {self.array.shape}")


@dataclass(frozen=True)
class Absence:
    """What a person said without drawing: an object is not in the picture on some frames. It holds only there.

    Attributes:
        id: of the object; as it was written until it is known what objects there are.
        first: index of the first frame without it.
        last: index of the last frame without it, included.
    """

    id: ObjectId
    first: int
    last: int

    def __post_init__(self) -> None:
        if not 0 <= self.first <= self.last:
            raise ValueError(f"frames {self.first} to {self.last} are no range")

    @property
    def word(self) -> str:
        """What is written on the command line: "3@120" or "3@120:180"."""
        return f"{self.id}@{self.first}" + (f":{self.last}" if self.last > self.first else "")


@dataclass(frozen=True)
class Affinity:
    """For every target cell, where it points and how much (Vondrick eq. 2, after temperature and top-k).

    Attributes:
        weights: (K, Q) float, each column sums to 1.
        cells: (K, Q) int64, the reference cell of each weight, an index into the M = R*h*w cells of the window.
    """

    weights: Tensor
    cells: Tensor

    def __post_init__(self) -> None:
        if self.weights.ndim != 2 or self.weights.shape != self.cells.shape:
            raise ValueError(
                f"weights and cells must both be (K, Q), not {tuple(self.weights.shape)} and {tuple(self.cells.shape)}"
            )


@dataclass(frozen=True)
class Labels:
    """Labels on the feature grid.

    Attributes:
        soft: (L, h, w) float32; for kind "probability" the channels of a cell sum to 1.
        kind: "probability" (masks, keypoints, categories) or "value" (chroma, coordinates, any real map).
    """

    soft: Tensor
    kind: Kind

    def __post_init__(self) -> None:
        if self.soft.ndim != 3:
            raise ValueError(f"labels must be (L, h, w), not {tuple(self.soft.shape)}")


@dataclass(frozen=True)
class ObjectState:
    """What is known of one object or point on one frame.

    Attributes:
        id: the object's id or the point's name.
        confidence: in [0, 1].
        visible: false when the object is absent from the frame.
        area: pixels; None for points.
        box: (x, y, width, height) in pixels, None when absent or a point.
        centroid: (x, y) in pixels, the point itself for a point, None when absent.
        flags: any of "vanished", "reappeared", "border", "swapped", "shrunk", "undecodable"; "absent" where a person
            said so.
    """

    id: ObjectId
    confidence: float
    visible: bool
    area: int | None = None
    box: tuple[int, int, int, int] | None = None
    centroid: tuple[float, float] | None = None
    flags: tuple[str, ...] = ()


@dataclass(frozen=True)
class Prediction:
    """What the engine yields for one frame.

    Attributes:
        frame: the frame.
        array: the decoded annotation in original pixels: (H, W) ids, (L, 2) points with NaN where absent,
            or (H, W, d) values.
        ids: the ids of all objects that the run knows.
        source: where the labels come from; "none" before the first annotation.
        objects: a state per object, empty for label types without objects.
        labels: the soft labels on the grid.
        cut: whether a new shot begins with the frame.
    """

    frame: Frame
    array: NDArray[np.generic]
    ids: tuple[ObjectId, ...]
    source: Source
    objects: tuple[ObjectState, ...] = ()
    labels: Labels | None = field(default=None, repr=False)
    cut: bool = False
