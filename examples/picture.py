"""Renders examples/picture.png, the picture in the README: one clip, labelled on its first frame, in four ways."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

import propagate
import rendered
from propagate.formats.atomic import write_bytes
from propagate.render.compare import join
from propagate.render.overlay import overlay_masks, overlay_points
from propagate.values import Annotation, Frame, Prediction

SHOWN = (0, 8, 15, 23, 31, 38)  # frames
GREEN = 2  # of the DAVIS palette, as an object's id
RGB = NDArray[np.uint8]


def grey(rgb: RGB) -> RGB:
    """Return a picture (H, W, 3) without its colour."""
    return np.asarray(Image.fromarray(rgb).convert("L").convert("RGB"))


def painted(clip: rendered.Clip) -> RGB:
    """Return paint (H, W, 4) that covers the object of the first frame with rings."""
    y, x = np.indices(clip.masks[0].shape)
    rows, columns = np.nonzero(clip.masks[0])
    distance = np.hypot(y - rows.mean(), x - columns.mean())
    rings = (distance // 7 % 2)[..., None]
    colour = np.where(rings == 1, [255, 225, 40], [30, 90, 220])
    return np.concatenate([colour, 225 * (clip.masks[0] > 0)[..., None]], 2).astype(np.uint8)


def strip(
    frames: Sequence[Frame], label: Annotation, label_type: object, draw: Callable[[Prediction], RGB], **settings
) -> RGB:
    """Return one row of the picture: the label carried through the clip, drawn on the frames shown."""
    encoder = propagate.load_encoder("rawcolor", **settings)
    done = propagate.run(frames, [label], label_type=label_type, encoder=encoder)
    return join([draw(prediction) for prediction in done if prediction.frame.index in SHOWN], axis=1)


def points_drawn(prediction: Prediction) -> RGB:
    """Return a frame with its points."""
    seen = np.array([point.visible for point in prediction.objects])
    sure = np.array([point.confidence for point in prediction.objects])
    return overlay_points(
        prediction.frame.rgb,
        prediction.array,
        visible=seen,
        confidence=sure,
        names=[str(name) for name in prediction.ids],
    )


def main() -> None:
    """Write the picture."""
    clip = rendered.render(frames=40, likeness=0.3)
    frames = [Frame(index, index / 24, rgb, f"{index:05d}") for index, rgb in enumerate(clip.frames)]
    greys = [Frame(frame.index, frame.time, grey(frame.rgb), frame.stem) for frame in frames]
    names = tuple(f"p{number}" for number in range(clip.points_xy.shape[1]))
    paint = painted(clip)
    rows = [
        strip(
            frames,
            Annotation(0, GREEN * clip.masks[0].astype(int), (GREEN,)),
            propagate.load_label_type("masks", (GREEN,)),
            lambda found: overlay_masks(found.frame.rgb, found.array.astype(int)),
        ),
        strip(
            frames, Annotation(0, clip.points_xy[0], names), propagate.load_label_type("keypoints", names), points_drawn
        ),
        strip(
            greys,
            Annotation(0, clip.frames[0], ("a", "b", "chroma")),
            propagate.load_label_type("colors"),
            lambda found: found.frame.rgb if found.frame.index == SHOWN[3] else found.array,
        ),
        strip(
            frames,
            Annotation(0, paint, ("paint",)),
            propagate.load_label_type("texture", paint),
            lambda found: found.array,
        ),
    ]
    picture = Image.fromarray(join(rows, axis=0))
    picture.thumbnail((1200, 1200))
    path = Path(__file__).resolve().parent / "picture.png"
    data = BytesIO()
    picture.save(data, format="PNG", optimize=True)
    write_bytes(path, data.getvalue())


if __name__ == "__main__":
    main()
