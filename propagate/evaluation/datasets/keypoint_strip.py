"""A filmstrip of points: the truth above, the prediction below."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from propagate.render.compare import join
from propagate.render.overlay import overlay_points
from propagate.video import read_video

RGB = NDArray[np.uint8]
Array = NDArray[np.float64]


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
