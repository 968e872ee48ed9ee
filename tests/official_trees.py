"""Small data sets in the official layouts, for tests: DAVIS trees and clips, of squares or of rendered clips."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from propagate.formats.indexed_png import write_mask
from propagate.labels.protocol import LabelType
from propagate.values import Annotation, Frame, Prediction

Clip = tuple[NDArray[np.uint8], NDArray[np.uint8]]  # frames (T, H, W, 3), masks (T, H, W)
SIDE = 12  # pixels, of a square


def identity(
    frames: Sequence[Frame], annotations: Sequence[Annotation], *, label_type: LabelType
) -> Iterator[Prediction]:
    """Yield the annotation of frame 0 on every frame."""
    for frame in frames:
        yield Prediction(frame, annotations[0].array, label_type.ids, "propagated")


def identities(label_type: str) -> object:
    """Return the identity for any label type."""
    return identity


def squares(*, frames: int = 6, step: int = 2, still: bool = False, size: tuple[int, int] = (48, 64)) -> Clip:
    """Return a clip of a square of side 12, id 1, that moves `step` pixels to the right a frame.

    With `still`, a second one, id 2, does not move.
    """
    masks = np.zeros((frames, *size), dtype=np.uint8)
    for place, mask in enumerate(masks):
        left = 4 + step * place
        mask[6 : 6 + SIDE, left : left + SIDE] = 1
        if still:
            mask[30 : 30 + SIDE, 4 : 4 + SIDE] = 2
    pictures = np.full((*masks.shape, 3), (40, 60, 110), dtype=np.uint8)
    pictures[masks == 1] = (200, 40, 30)
    pictures[masks == 2] = (30, 160, 60)
    return pictures, masks


def write_frames(folder: Path, frames: NDArray[np.uint8], *, exact: bool = False) -> None:
    """Write frames (T, H, W, 3) as 00000.jpg, 00001.jpg, ..., or as PNG without loss."""
    folder.mkdir(parents=True)
    for place, rgb in enumerate(frames):
        Image.fromarray(rgb).save(folder / f"{place:05d}.{'png' if exact else 'jpg'}")


def write_davis(
    root: Path,
    clips: Mapping[str, Clip],
    *,
    lists: Mapping[str, str] | None = None,
    resolution: str = "480p",
    grey: bool = False,
    exact: bool = False,
) -> Path:
    """Write a tree of the DAVIS layout and return it.

    Args:
        root: where.
        clips: name -> frames and masks.
        lists: name under ImageSets -> its text; by default 2017/val with all clips.
        resolution: the name of the folders.
        exact: pictures are PNG, without loss.
        grey: masks are grey, 0 and 255, as those of 2016; else indexed.
    """
    for name, (frames, masks) in clips.items():
        write_frames(root / "JPEGImages" / resolution / name, frames, exact=exact)
        folder = root / "Annotations" / resolution / name
        folder.mkdir(parents=True)
        for place, mask in enumerate(masks):
            path = folder / f"{place:05d}.png"
            if grey:
                Image.fromarray(np.where(mask > 0, 255, 0).astype(np.uint8)).save(path)
            else:
                write_mask(path, mask)
    for name, text in ({"2017/val": "\n".join(clips) + "\n"} if lists is None else lists).items():
        path = root / "ImageSets" / f"{name}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root
