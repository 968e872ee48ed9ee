"""Identity: what was annotated last stays where it is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from propagate.baselines.warp_propagation import warp_labels
from propagate.labels.protocol import LabelType
from propagate.values import Annotation, Frame, Prediction


def identity(
    frames: Iterable[Frame], annotations: Sequence[Annotation], *, label_type: LabelType
) -> Iterator[Prediction]:
    """Return an iterator that gives every frame the labels of the annotated frame before it, pixel by pixel.

    Args:
        frames: in order.
        annotations: what is known of some of the frames.
        label_type: the label type.

    Raises:
        InputError: the frames change their size (while iterating).
    """
    return warp_labels(frames, annotations, label_type=label_type)
