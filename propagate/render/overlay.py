"""Masks and points drawn over a frame."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from propagate.formats.palette import davis_palette


def draw_stroke(
    rgb: NDArray[np.uint8],
    start_xy: NDArray[np.floating],
    end_xy: NDArray[np.floating],
    *,
    radius: float,
    color: tuple[int, int, int],
    opacity: float = 1.0,
) -> None:
    """Draw a line with round ends into `rgb`, with edges smooth to a fraction of a pixel.

    Args:
        rgb: (H, W, 3) uint8, changed in place; what lies outside is left out.
        start_xy: (2,) pixels.
        end_xy: (2,) pixels, the same place for a dot.
        radius: half the width, in pixels.
        color: RGB.
        opacity: in [0, 1].
    """
    window = _window(rgb.shape[:2], start_xy, end_xy, margin=radius + 1)
    if window is None:
        return
    rows, columns = window
    x = np.arange(columns.start, columns.stop, dtype=np.float64)[None, :] - float(start_xy[0])
    y = np.arange(rows.start, rows.stop, dtype=np.float64)[:, None] - float(start_xy[1])
    dx, dy = float(end_xy[0] - start_xy[0]), float(end_xy[1] - start_xy[1])
    along = np.clip((x * dx + y * dy) / max(dx * dx + dy * dy, 1e-12), 0, 1)  # nearest place on the line
    distance = np.hypot(x - along * dx, y - along * dy)
    cover = opacity * np.clip(radius + 0.5 - distance, 0, 1)[..., None]
    patch = rgb[rows, columns]
    patch[...] = np.rint(patch * (1 - cover) + np.array(color) * cover).astype(np.uint8)


def _window(
    size: tuple[int, ...], start_xy: NDArray[np.floating], end_xy: NDArray[np.floating], *, margin: float
) -> tuple[slice, slice] | None:
    """Return the rows and columns that a stroke can touch, None when it lies outside the picture."""
    low = np.minimum(start_xy, end_xy) - margin
    high = np.maximum(start_xy, end_xy) + margin
    left, top = max(math.floor(low[0]), 0), max(math.floor(low[1]), 0)
    right, bottom = min(math.ceil(high[0]) + 1, size[1]), min(math.ceil(high[1]) + 1, size[0])
    return (slice(top, bottom), slice(left, right)) if right > left and bottom > top else None


RGB = NDArray[np.uint8]


def overlay_masks(
    rgb: RGB, ids: NDArray[np.integer], *, alpha: float = 0.45, outline: bool = True, palette: RGB | None = None
) -> RGB:
    """Return the frame with a translucent colour over every object and a 2-pixel line around it.

    Args:
        rgb: (H, W, 3) uint8; left as it is.
        ids: (H, W) object ids, 0 is background; ids above 255 take the colours of 1, 2, … again.
        alpha: opacity of the colour, in [0, 1]; 0 leaves only the lines.
        outline: whether to draw the lines, half inside and half outside the object.
        palette: (256, 3) uint8 colours of the ids; the DAVIS palette when None.

    Returns:
        (H, W, 3) uint8.

    Raises:
        ValueError: the ids have another size than the frame.
    """
    if ids.shape != rgb.shape[:2]:
        raise ValueError(f"ids must be {rgb.shape[:2]} as the frame, not {ids.shape}")
    colors = _davis_colors() if palette is None else palette
    wrapped = _wrap(ids)
    picture = Image.fromarray(rgb)
    if alpha > 0:
        tinted = Image.blend(picture, _paint(wrapped, colors), min(alpha, 1.0))
        picture.paste(tinted, mask=Image.fromarray(wrapped > 0))
    if outline:
        edge, owner = mask_edges(wrapped)
        picture.paste(_paint(owner, colors), mask=Image.fromarray(edge))
    return np.array(picture)


def mask_edges(ids: NDArray[np.uint8]) -> tuple[NDArray[np.bool_], NDArray[np.uint8]]:
    """Return where the masks' outlines run, and the object that each pixel of an outline belongs to.

    Args:
        ids: (H, W) object ids up to 255.

    Returns:
        (H, W) bool, true where a pixel differs from one of its four neighbours: a line two pixels wide; and (H, W)
        the largest id among a pixel and its four neighbours.
    """
    high, low = ids.copy(), ids.copy()
    for here, there in _NEIGHBOURS:
        np.maximum(high[here], ids[there], out=high[here])
        np.minimum(low[here], ids[there], out=low[here])
    return high != low, high


def overlay_points(
    rgb: RGB,
    xy: NDArray[np.floating],
    *,
    visible: NDArray[np.bool_],
    confidence: NDArray[np.floating],
    names: Sequence[str],
    skeleton: Sequence[tuple[str, str]] | None = None,
    show_names: bool = False,
) -> RGB:
    """Return the frame with a smooth dot at every visible point, fainter where it is less sure.

    Args:
        rgb: (H, W, 3) uint8; left as it is. Dots and lines grow with its short side.
        xy: (L, 2) pixels; NaN is not drawn.
        visible: (L,) bool.
        confidence: (L,) in [0, 1].
        names: (L,) the points' names.
        skeleton: pairs of names to be joined by a line, drawn when both ends are visible.
        show_names: whether to write each name beside its dot.

    Raises:
        ValueError: the arrays don't hold one entry per name, or the skeleton names another point.
    """
    if not len(names) == len(xy) == len(visible) == len(confidence):
        raise ValueError(
            f"{len(names)} names need as many points, flags and confidences, "
            f"not {len(xy)}, {len(visible)} and {len(confidence)}"
        )
    radius = max(2.0, min(rgb.shape[:2]) / 120)
    shown = visible.astype(bool) & np.isfinite(xy).all(axis=1)
    opacity = 0.4 + 0.6 * np.clip(np.nan_to_num(confidence), 0, 1)
    drawn = rgb.copy()
    for first, second in _pairs(skeleton or (), names):
        if shown[first] and shown[second]:
            faint = float(min(opacity[first], opacity[second])) * 0.8
            draw_stroke(drawn, xy[first], xy[second], radius=radius * 0.4, color=_point_color(first), opacity=faint)
    for index in np.flatnonzero(shown).tolist():
        draw_stroke(drawn, xy[index], xy[index], radius=radius * 1.35, color=(0, 0, 0), opacity=opacity[index])
        draw_stroke(drawn, xy[index], xy[index], radius=radius, color=_point_color(index), opacity=opacity[index])
    return _write_names(drawn, xy, names=names, shown=shown, radius=radius) if show_names else drawn


@lru_cache(maxsize=1)
def _davis_colors() -> RGB:
    palette = davis_palette()
    palette.flags.writeable = False
    return palette


def _slices(step: int, axis: int) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Return the slices of all pixels that have a neighbour at `step` (1 or -1) along `axis`, and of the neighbours."""
    here, there = (slice(None, -1), slice(1, None)) if step > 0 else (slice(1, None), slice(None, -1))
    full = slice(None)
    return ((here, full), (there, full)) if axis == 0 else ((full, here), (full, there))


_NEIGHBOURS = [_slices(step, axis) for step in (1, -1) for axis in (0, 1)]


def _wrap(ids: NDArray[np.integer]) -> NDArray[np.uint8]:
    """Return ids that fit the palette: 256 becomes 1, 257 becomes 2, and so on; 0 stays."""
    if ids.dtype == np.uint8:
        return np.asarray(ids, dtype=np.uint8)
    if ids.max(initial=0) <= 255:
        return ids.astype(np.uint8)
    return np.where(ids > 0, (ids.astype(np.int64) - 1) % 255 + 1, 0).astype(np.uint8)


def _paint(ids: NDArray[np.uint8], colors: RGB) -> Image.Image:
    """Return a picture of the ids' colours; Pillow looks them up and mixes several times faster than NumPy."""
    image = Image.fromarray(ids)
    image.putpalette(colors.tobytes())
    return image.convert("RGB")


def _point_color(index: int) -> tuple[int, int, int]:
    """Return the colour of the point at `index`: that of the id after it, bright ones first."""
    red, green, blue = _davis_colors()[1 + index % 6].tolist()
    return min(2 * red, 255), min(2 * green, 255), min(2 * blue, 255)


def _pairs(skeleton: Sequence[tuple[str, str]], names: Sequence[str]) -> list[tuple[int, int]]:
    place = {name: index for index, name in enumerate(names)}
    unknown = sorted({end for pair in skeleton for end in pair} - place.keys())
    if unknown:
        raise ValueError(f"the skeleton joins points that don't exist: {', '.join(unknown)}")
    return [(place[first], place[second]) for first, second in skeleton]


def _write_names(
    rgb: RGB, xy: NDArray[np.floating], *, names: Sequence[str], shown: NDArray[np.bool_], radius: float
) -> RGB:
    image = Image.fromarray(rgb)
    draw = ImageDraw.Draw(image)
    font = ImageFont.load_default(size=max(9.0, 3 * radius))
    for index in np.flatnonzero(shown).tolist():
        place = (float(xy[index, 0]) + 1.8 * radius, float(xy[index, 1]))
        draw.text(place, names[index], font=font, anchor="lm", fill="white", stroke_width=1, stroke_fill="black")
    return np.array(image)
