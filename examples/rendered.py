"""Clips with exact truth: pieces of a photograph move over another, and a bar of a third passes in front.

`render` and `two_objects` return the frames together with the visible masks, material points at their exact sub-pixel
places, and where every object pixel was on frame 0. The photographs lie inside the scikit-image wheel: no network.
Made to measure, not to look at; `shots` has clips that look like video. Pixel (0, 0) has its centre at (0.0, 0.0).
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Literal

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from moving import Piece, points_inside
from photographs import photograph, recolour, splines

Array = NDArray[np.float64]
Shape = Literal["blob", "disc"]
Motion = Literal["translate", "rotate", "scale"]

TURN, GROWTH = math.radians(90), 1.6  # over the whole clip, for the motions "rotate" and "scale"
DIAMETER = 0.3  # of the object, in short sides of the picture


@dataclass(frozen=True)
class Clip:
    """A rendered clip and its truth.

    Attributes:
        frames: (T, H, W, 3) uint8 RGB.
        masks: (T, H, W) uint8, the id of the object seen at a pixel, 0 elsewhere; what is hidden is not in it.
        points_xy: (T, L, 2) pixels, material points of the objects, also while hidden.
        points_visible: (T, L) bool, inside the picture and not hidden.
        point_ids: (L,) the object that each point belongs to.
        source_xy: (T, H, W, 2) pixels of frame 0 where the object's surface at this pixel was; NaN off the objects.
    """

    frames: NDArray[np.uint8]
    masks: NDArray[np.uint8]
    points_xy: Array
    points_visible: NDArray[np.bool_]
    point_ids: NDArray[np.int64]
    source_xy: Array


def render(
    *,
    size: tuple[int, int] = (240, 320),
    frames: int = 40,
    seed: int = 0,
    shape: Shape = "blob",
    motion: Motion = "translate",
    object_photo: str = "chelsea",
    background_photo: str = "coffee",
    occluder_photo: str = "motorcycle",
    occluder: bool = True,
    likeness: float = 1.0,
    drift: float = 6.0,
    points: int = 12,
) -> Clip:
    """Return a clip of one object, id 1, that crosses the picture and is hidden in part once on its way.

    Args:
        size: (height, width) in pixels.
        frames: how many.
        seed: of the outline, the sub-pixel start, the direction and the piece of photograph.
        shape: a wavy blob or a disc.
        motion: every motion crosses the picture; "rotate" also turns by 90 degrees, "scale" grows 1.6 times.
        object_photo: a key of `photographs.PHOTOS`.
        background_photo: a key of `photographs.PHOTOS`, recoloured to the object's colours.
        occluder_photo: a key of `photographs.PHOTOS`, of a bar that meets the object half way.
        occluder: whether there is a bar.
        likeness: 0 keeps the background's own colours, 1 gives it the object's mean and covariance.
        drift: pixels that the background moves over the clip.
        points: how many material points.
    """
    rng = np.random.default_rng(seed)
    piece = _object(rng, size, frames, photo=object_photo, shape=shape, motion=motion, lane=0.5)
    front = [_bar(rng, size, piece, photo=occluder_photo)] if occluder else []
    colors = piece.color(points_inside(rng, piece, 2000))
    back = _background(rng, size, frames, photo=background_photo, colors=colors, likeness=likeness, drift=drift)
    return _compose(rng, size, frames, back=back, objects=[piece], front=front, points=points)


def two_objects(
    *,
    size: tuple[int, int] = (240, 320),
    frames: int = 40,
    seed: int = 0,
    shape: Shape = "blob",
    motion: Motion = "translate",
    photos: tuple[str, str] = ("chelsea", "astronaut"),
    background_photo: str = "coffee",
    likeness: float = 1.0,
    alike: bool = False,
    drift: float = 6.0,
    points: int = 12,
) -> Clip:
    """Return a clip of two objects, ids 1 and 2, that cross in opposite directions; 2 passes in front of 1.

    Args:
        size: (height, width) in pixels.
        frames: how many.
        seed: of the outlines, the sub-pixel starts and the pieces of photograph.
        shape: wavy blobs or discs.
        motion: as for `render`.
        photos: keys of `photographs.PHOTOS`, one an object.
        background_photo: a key of `photographs.PHOTOS`, recoloured to the colours of both objects.
        likeness: 0 keeps the background's own colours, 1 gives it the objects' mean and covariance.
        alike: give the second object the first one's mean and covariance of colour: only texture tells them apart.
        drift: pixels that the background moves over the clip.
        points: how many material points an object.
    """
    rng = np.random.default_rng(seed)
    first = _object(rng, size, frames, photo=photos[0], shape=shape, motion=motion, lane=0.36, direction=1)
    second = _object(rng, size, frames, photo=photos[1], shape=shape, motion=motion, lane=0.62, direction=-1)
    own = [piece.color(points_inside(rng, piece, 1000)) for piece in (first, second)]
    if alike:
        second = replace(second, photo=recolour(second.photo, own[1], own[0], clip=False))
    colors = np.concatenate(own[:1] if alike else own)
    back = _background(rng, size, frames, photo=background_photo, colors=colors, likeness=likeness, drift=drift)
    return _compose(rng, size, frames, back=back, objects=[first, second], front=[], points=points)


def _object(
    rng: np.random.Generator,
    size: tuple[int, int],
    frames: int,
    *,
    photo: str,
    shape: Shape,
    motion: Motion,
    lane: float,
    direction: int = 0,
) -> Piece:
    """Return an object that crosses the picture at the height `lane`, from left to right for direction 1."""
    height, width = size
    radius = DIAMETER / 2 * min(size)
    direction = direction or int(rng.choice([-1, 1]))
    time = np.linspace(0, 1, frames)
    margin = 1.35 * radius * (GROWTH if motion == "scale" else 1)
    x = margin + (width - 1 - 2 * margin) * (time if direction > 0 else 1 - time)
    y = lane * height + 0.08 * height * np.sin(math.pi * (1.5 * time + rng.uniform(0, 2)))
    centre = np.stack([x, y], axis=1) + rng.uniform(-0.5, 0.5, 2)
    order = np.array([2.0, 3.0, 5.0])
    waves = np.stack([order, 0.2 / order, rng.uniform(0, 2 * math.pi, 3)], axis=1)
    pixels = photograph(photo, cover=(round(4.4 * radius), round(4.4 * radius)))
    spot = [rng.uniform(0.45, 0.55) * pixels.shape[2], rng.uniform(0.45, 0.55) * pixels.shape[1]]
    return Piece(
        photo=splines(pixels),
        corner=np.array(spot) - centre[0],
        centre=centre,
        angle=TURN * time if motion == "rotate" else np.zeros(frames),
        scale=GROWTH**time if motion == "scale" else np.ones(frames),
        waves=waves if shape == "blob" else np.zeros((0, 3)),
        radius=radius,
    )


def _bar(rng: np.random.Generator, size: tuple[int, int], piece: Piece, *, photo: str) -> Piece:
    """Return a bar, 0.6 of the object wide, that moves against it and meets it half way."""
    frames = len(piece.centre)
    middle = piece.centre[frames // 2, 0]
    x = middle - 0.5 * (piece.centre[:, 0] - middle)
    return Piece(
        photo=splines(photograph(photo, cover=(size[0], size[0]))),
        corner=rng.uniform(0, 0.5 * size[0], 2),
        centre=np.stack([x, np.full(frames, size[0] / 2)], axis=1),
        angle=np.zeros(frames),
        scale=np.ones(frames),
        waves=np.zeros((0, 3)),
        radius=0.0,
        half_width=0.6 * piece.radius,
    )


def _background(
    rng: np.random.Generator,
    size: tuple[int, int],
    frames: int,
    *,
    photo: str,
    colors: Array,
    likeness: float,
    drift: float,
) -> Piece:
    """Return the picture behind, drifting by `drift` pixels, with the mean and covariance of `colors` (N, 3)."""
    pixels = photograph(photo, cover=(round(1.15 * size[0]), round(1.15 * size[1])))
    corner = rng.uniform(0, 1, 2) * (np.array(pixels.shape[:0:-1]) - size[::-1])
    toward = rng.uniform(0, 2 * math.pi)
    path = np.linspace(0, drift, frames)[:, None] * np.array([math.cos(toward), math.sin(toward)])
    own = pixels[:, int(corner[1]) :, int(corner[0]) :][:, : size[0], : size[1]]
    recoloured = recolour(pixels, own.reshape(3, -1).T, colors)
    return Piece(
        photo=splines((1 - likeness) * pixels + likeness * recoloured),
        corner=corner,
        centre=path,
        angle=np.zeros(frames),
        scale=np.ones(frames),
        waves=np.zeros((0, 3)),
        radius=math.inf,
    )


def _compose(
    rng: np.random.Generator,
    size: tuple[int, int],
    frames: int,
    *,
    back: Piece,
    objects: list[Piece],
    front: list[Piece],
    points: int,
) -> Clip:
    """Draw every frame from back to front, and keep the truth beside it."""
    grid = np.stack(np.meshgrid(np.arange(size[1]), np.arange(size[0])), axis=-1).astype(np.float64)  # (H, W, 2)
    home = [points_inside(rng, piece, points) for piece in objects]
    drawn = [_draw(t, grid, back, objects + front, named=len(objects)) for t in range(frames)]
    masks = np.stack([mask for _, mask, _ in drawn])
    xy = np.stack([np.concatenate([p.place(t, q) for p, q in zip(objects, home, strict=True)]) for t in range(frames)])
    ids = np.repeat(np.arange(1, len(objects) + 1), points)
    return Clip(
        frames=np.stack([rgb for rgb, _, _ in drawn]),
        masks=masks,
        points_xy=xy,
        points_visible=_visible(masks, xy, ids),
        point_ids=ids,
        source_xy=np.stack([source for _, _, source in drawn]),
    )


def _draw(
    t: int, grid: Array, back: Piece, pieces: list[Piece], *, named: int
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], Array]:
    """Return frame t: (H, W, 3) colours, (H, W) ids of the first `named` pieces, (H, W, 2) places on frame 0."""
    color = back.color(back.source(t, grid))
    ids = np.zeros(grid.shape[:2], dtype=np.uint8)
    source_xy = np.full(grid.shape, np.nan)
    for number, piece in enumerate(pieces, start=1):
        source = piece.source(t, grid)
        alpha = piece.alpha(t, source)
        touched, covered = alpha > 0, alpha > 0.5
        weight = alpha[touched][:, None]
        color[touched] = (1 - weight) * color[touched] + weight * piece.color(source[touched])
        ids[covered] = number if number <= named else 0
        source_xy[covered] = source[covered] if number <= named else np.nan
    return np.clip(np.rint(color), 0, 255).astype(np.uint8), ids, source_xy


def _visible(masks: NDArray[np.uint8], xy: Array, ids: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return (T, L): whether the pixel under each point shows the point's own object."""
    height, width = masks.shape[1:]
    column, row = np.moveaxis(np.rint(xy).astype(int), -1, 0)
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    time = np.arange(len(masks))[:, None]
    return np.asarray(inside & (masks[time, row.clip(0, height - 1), column.clip(0, width - 1)] == ids))


def write_clip(path: Path, frames: NDArray[np.uint8], *, rate: int = 24) -> None:
    """Write frames (T, H, W, 3) as an H.264 file, under a temporary name first."""
    temporary = path.with_name(f".{path.name}.part")
    with av.open(str(temporary), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=rate, options={"crf": "16"})
        stream.height, stream.width, stream.pix_fmt = frames.shape[1], frames.shape[2], "yuv420p"
        stream.time_base = Fraction(1, rate)
        for rgb in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(rgb, format="rgb24")))
        container.mux(stream.encode(None))
    os.replace(temporary, path)


def write_mask(path: Path, mask: NDArray[np.uint8]) -> None:
    """Write a mask (H, W) as an indexed PNG in the first colours of the DAVIS palette, under a temporary name first."""
    temporary = path.with_name(f".{path.name}.part")
    image = Image.fromarray(mask).convert("L")
    image.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0, 128, 128, 0])
    image.save(temporary, format="PNG")
    os.replace(temporary, path)
