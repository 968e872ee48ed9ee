"""Where one target pixel looks in each of its reference frames, as a strip of pictures (Vondrick 4.5)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from propagate.render.attention import mark_pixel, overlay_attention
from propagate.render.compare import join

HEIGHT = 240  # pixels of one picture, never enlarged


def pointing_strip(
    target: NDArray[np.uint8],
    references: Sequence[NDArray[np.uint8]],
    attention: NDArray[np.floating],
    *,
    xy: tuple[float, float],
    stride_xy: tuple[float, float],
    offset_xy: tuple[float, float],
    names: Sequence[str],
) -> NDArray[np.uint8]:
    """Return the target frame with a cross, and right of it each reference frame with the heat of its places.

    The heat has one scale over all references; each picture says its name and its share of the whole.

    Args:
        target: (H, W, 3) uint8.
        references: R pictures (H, W, 3) uint8, oldest first.
        attention: (R, h, w), summing to 1.
        xy: the pixel of the target that looks.
        stride_xy: pixels per cell.
        offset_xy: the pixel at which cell (0, 0) lies.
        names: of the target and then of each reference.

    Raises:
        ValueError: the numbers of references, maps and names do not fit.
    """
    if not len(references) == len(attention) == len(names) - 1:
        raise ValueError(
            f"{len(references)} references need as many maps and one name more, not {len(attention)} and {len(names)}"
        )
    peak = float(attention.max())
    pictures = [named(mark_pixel(target, xy), names[0])]
    for rgb, weights, name in zip(references, attention, names[1:], strict=True):
        hot = overlay_attention(rgb, weights, stride_xy=stride_xy, offset_xy=offset_xy, peak=peak)
        pictures.append(named(hot, f"{name}: {weights.sum():.0%}"))
    return join(pictures, axis=1)


def named(rgb: NDArray[np.uint8], name: str) -> NDArray[np.uint8]:
    """Return a picture at most `HEIGHT` high, with its name in the corner."""
    image = Image.fromarray(rgb)
    if image.height > HEIGHT:
        width = max(1, round(image.width * HEIGHT / image.height))
        image = image.resize((width, HEIGHT), Image.Resampling.LANCZOS)
    draw = ImageDraw.Draw(image)
    box = draw.textbbox((4, 3), name)
    draw.rectangle((box[0] - 3, box[1] - 2, box[2] + 3, box[3] + 2), fill=(0, 0, 0))
    draw.text((4, 3), name, fill=(255, 255, 255))
    return np.array(image)
