"""A later annotation speaks for the frames before it too: what it fixes is carried back into the window.

Without this, older references would go on voting that an object they do not know is background, or for an object that
a complete annotation has ended.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from propagate.engine.pointer import Pointer
from propagate.engine.window import Reference
from propagate.labels.protocol import Codec
from propagate.ops.grid import fold, unfold
from propagate.values import Annotation


def revised(
    references: Sequence[Reference],
    known: Reference,
    *,
    annotations: Mapping[int, Annotation],
    pointer: Pointer,
    codec: Codec,
    scale: int,
) -> list[Reference]:
    """Return older references with labels that agree with a newly annotated frame.

    Each is pointed from into the annotated frame, and takes over what the annotation fixes, unless a person fixed it on
    that frame too.

    Args:
        references: the window before the annotated frame.
        known: the annotated frame.
        annotations: all annotations, by frame.
        pointer: over the grid of the references.
        codec: the label type.
        scale: label sub-cells on a cell's side.
    """
    found = []
    for reference in references:
        back, _ = pointer.point(reference.trunk, [known])  # (h*w, L)
        soft, carried = (
            unfold(flat.T.reshape(-1, *pointer.shape), scale) for flat in (reference.labels, back)
        )  # (L, h, w)
        labels = codec.revise(soft, carried, annotations[known.index], own=annotations.get(reference.index))
        found.append(replace(reference, labels=fold(labels, scale).flatten(1).T.contiguous()))
    return found
