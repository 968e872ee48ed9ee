"""Photographs moved as a camera moves, so that they look like video: the clips of the demo and of the README's picture.

The photographs lie inside the scikit-image wheel: no network. The motorcycle is a pair of views with measured depth
(Scharstein et al., High-resolution stereo datasets with subpixel-accurate ground truth, GCPR 2014), so its shot has
true parallax. The others are single photographs: near parts, given by hand, move farther than what lies behind them.
Run as a script, it writes the clip and the first mask of the demo.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import ndimage

from photographs import data_folder
from rendered import write_clip, write_mask

Array = NDArray[np.float64]
RGB = NDArray[np.uint8]
Window = tuple[float, float, float]  # x and y of its centre, and its width, in pixels of the photograph

SIZE = (300, 480)  # height and width of every shot
FRAMES = 40
# The lower half of the front tyre, where the disparity of tyre and floor is the same: x, y in the left view.
TYRE = [(514, 320), (522, 360), (548, 398), (590, 432), (640, 448), (664, 442), (680, 400), (640, 340), (580, 320)]
# The astronaut with her helmet, which stand in front of flag and shuttle: x, y in the photograph.
PERSON = [
    *[(10, 512), (22, 330), (60, 240), (112, 205), (128, 165), (170, 150), (176, 110), (150, 60), (165, 20), (215, 5)],
    *[(262, 22), (285, 70), (262, 120), (270, 150), (306, 180), (330, 230), (352, 270), (360, 330), (430, 345)],
    *[(495, 400), (512, 470), (512, 512)],
]


def motorcycle() -> tuple[RGB, NDArray[np.uint8]]:
    """Return the frames (T, H, W, 3) of a camera that moves past a motorcycle, and the mask (H, W) of the first."""
    left, right, disparity = _stereo_pair()
    windows = [(372 - 18 * time, 262 + 6 * time, 730 - 120 * time) for time in _times()]
    views = [_view_between(left, right, disparity, at=time) for time in _times()]
    frames = [_look(view, window) for view, window in zip(views, windows, strict=True)]
    mask = _look(np.repeat(255.0 * _on_motorcycle(disparity)[..., None], 3, axis=2), windows[0])
    return _finish(frames, seed=1), (mask[..., 0] > 127).astype(np.uint8)


def cat() -> RGB:
    """Return the frames (T, H, W, 3) of a cat that turns its head and lifts it while the camera comes nearer."""
    photo = _picture("chelsea.png")
    head = _bump(photo.shape[:2], centre=(230, 145), spread=(115, 95))
    frames = []
    for time in _times():
        flow = head * np.array([24 * np.sin(1.6 * np.pi * time), -11 * np.sin(np.pi * time)])
        frames.append(_look(_displace(photo, flow), (231 + 10 * time, 160 + 8 * time, 420 - 70 * time)))
    return _finish(frames, seed=2)


def astronaut() -> RGB:
    """Return the frames (T, H, W, 3) of an astronaut, filmed by a camera that moves sideways and closer."""
    photo = _picture("astronaut.png")
    near = ndimage.gaussian_filter(_polygon(PERSON, photo.shape[:2]), 13)[..., None]
    head = _bump(photo.shape[:2], centre=(220, 85), spread=(55, 65))
    frames = []
    for time in _times():
        flow = near * np.array([24 * (time - 0.5), 0]) + head * np.array([8 * np.sin(5 * time), 3 * time])
        frames.append(_look(_displace(photo, flow), (240 - 25 * time, 165 + 20 * time, 450 - 70 * time)))
    return _finish(frames, seed=3)


def _picture(name: str) -> Array:
    """Return a photograph of scikit-image, (H, W, 3) in [0, 255]."""
    with Image.open(data_folder() / name) as image:
        return np.asarray(image.convert("RGB"), dtype=np.float64)


def _times() -> Array:
    """Return the time of every frame in [0, 1], as a hand moves a camera: not quite evenly."""
    even = np.linspace(0, 1, FRAMES)
    return np.asarray(even - 0.03 * np.sin(4 * np.pi * even))


def _stereo_pair() -> tuple[Array, Array, Array]:
    """Return both views (H, W, 3), the right one as bright as the left, and the disparity (H, W) of the left."""
    left, right = _picture("motorcycle_left.png"), _picture("motorcycle_right.png")
    with np.load(data_folder() / "motorcycle_disp.npz") as data:
        disparity = np.asarray(data["arr_0"], dtype=np.float64)
    as_bright = left.mean((0, 1)) / right.mean((0, 1))
    return left, as_bright * right, _from_behind(np.where(np.isfinite(disparity), disparity, np.nan))


def _from_behind(disparity: Array) -> Array:
    """Return a disparity (H, W) whose gaps (NaN) are filled from the side that is farther away."""
    width = disparity.shape[1]
    columns = np.arange(width)
    known = np.isfinite(disparity)
    before = np.maximum.accumulate(np.where(known, columns, 0), axis=1)
    after = np.minimum.accumulate(np.where(known, columns, width - 1)[:, ::-1], axis=1)[:, ::-1]
    sides = [np.take_along_axis(disparity, side, axis=1) for side in (before, after)]
    return np.asarray(np.nan_to_num(np.fmin(*sides)))


def _view_between(left: Array, right: Array, disparity: Array, *, at: float) -> Array:
    """Return the view (H, W, 3) from a place between the left camera (0) and the right one (1)."""
    height, width = disparity.shape
    row, start = np.indices((height, 2 * width))
    depth = np.repeat(disparity, 2, axis=1)  # two samples a pixel, so that near surfaces get no holes
    column = np.rint(start / 2 - at * depth).astype(int)
    seen = (column >= 0) & (column < width)
    nearest = np.full((height, width), -np.inf)
    np.maximum.at(nearest, (row[seen], column[seen]), depth[seen])
    hidden = ~np.isfinite(nearest)  # from the left camera: the right one saw what is there
    there = _from_behind(np.where(hidden, np.nan, nearest))
    y, x = np.indices((height, width))
    from_left = _sample(left, np.stack([x + at * there, y], axis=-1))
    from_right = _sample(right, np.stack([x - (1 - at) * there, y], axis=-1))
    use_right = ndimage.gaussian_filter(ndimage.binary_dilation(hidden).astype(float), 0.7)[..., None]
    return np.asarray((1 - use_right) * from_left + use_right * from_right)


def _on_motorcycle(disparity: Array) -> NDArray[np.bool_]:
    """Return where (H, W) the left view shows the motorcycle: what is nearer than the wall and than the floor."""
    floor = 0.1812 * np.arange(len(disparity)) - 31.7  # its disparity, row by row
    near = disparity > np.maximum(30, floor + 3)[:, None]
    near |= (_polygon(TYRE, disparity.shape) > 0) & (disparity > 36)
    parts, _ = ndimage.label(ndimage.binary_closing(near))
    return np.asarray(parts == np.bincount(parts.ravel())[1:].argmax() + 1)


def _polygon(corners: Sequence[tuple[int, int]], size: Sequence[int]) -> Array:
    """Return 1 inside a polygon of x, y, and 0 outside, (H, W)."""
    canvas = Image.new("L", (size[1], size[0]))
    ImageDraw.Draw(canvas).polygon(list(corners), fill=1)
    return np.asarray(canvas, dtype=np.float64)


def _bump(size: Sequence[int], *, centre: tuple[float, float], spread: tuple[float, float]) -> Array:
    """Return a smooth hill (H, W, 1), 1 at its centre x, y: how far a round thing stands out of the picture."""
    y, x = np.indices(tuple(size))
    return np.asarray(np.exp(-(((x - centre[0]) / spread[0]) ** 2) - ((y - centre[1]) / spread[1]) ** 2))[..., None]


def _displace(photo: Array, flow: Array) -> Array:
    """Return a photograph (H, W, 3) of which each pixel has moved by its flow (H, W, 2), x and y."""
    y, x = np.indices(flow.shape[:2])
    here = np.stack([x, y], axis=-1)
    back = flow
    for _ in range(4):  # what arrives at a pixel has moved by the flow of where it started, not of where it arrives
        back = _sample(flow, here - back)
    return _sample(photo, here - back)


def _sample(picture: Array, xy: Array) -> Array:
    """Return the values (H, W, C) of a picture at places (H, W, 2), linear between pixels; its border goes on."""
    at = [xy[..., 1], xy[..., 0]]
    return np.stack([ndimage.map_coordinates(c, at, order=1, mode="nearest") for c in np.moveaxis(picture, -1, 0)], -1)


def _look(photo: Array, window: Window) -> Array:
    """Return what a camera sees (H, W, 3) of a photograph through a window."""
    x, y, width = window
    half = width / 2, width / 2 * SIZE[0] / SIZE[1]
    image = Image.fromarray(np.clip(np.rint(photo), 0, 255).astype(np.uint8))
    box = (x - half[0], y - half[1], x + half[0], y + half[1])
    return np.asarray(image.resize(SIZE[::-1], Image.Resampling.LANCZOS, box=box), dtype=np.float64)


def _finish(frames: Sequence[Array], *, seed: int) -> RGB:
    """Return frames as a sensor sees them: with a little noise and exposure that wanders."""
    rng = np.random.default_rng(seed)
    gain = 1 + 0.03 * np.sin(np.linspace(0, 5, len(frames)))
    noisy = [g * frame + rng.normal(0, 1.5, frame.shape) for g, frame in zip(gain, frames, strict=True)]
    return np.clip(np.rint(noisy), 0, 255).astype(np.uint8)


def main() -> None:
    """Write clip.mp4 and first_mask.png into the folder named on the command line, examples/demo by default."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parent / "demo"
    folder.mkdir(parents=True, exist_ok=True)
    frames, mask = motorcycle()
    write_clip(folder / "clip.mp4", frames)
    write_mask(folder / "first_mask.png", mask)


if __name__ == "__main__":
    main()
