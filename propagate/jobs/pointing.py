"""The job of `propagate visualize --point`: where one pixel looks in its reference frames, as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from propagate.engine.ahead import ahead
from propagate.errors import ConfigError
from propagate.formats.rgb_png import write_rgb
from propagate.jobs.place import Place
from propagate.jobs.request import Request
from propagate.jobs.settings import Settled
from propagate.jobs.visualize import claim, grid_of, trunk_of
from propagate.values import Frame
from propagate.video import VideoReader

if TYPE_CHECKING:
    from propagate.ops.grid import Grid


def parse_point(text: str) -> tuple[float, float]:
    """Return the pixel of "X,Y".

    Raises:
        ConfigError: it is no pair of numbers.
    """
    try:
        x, y = (float(word) for word in text.split(","))
    except ValueError as error:
        raise ConfigError(f"{text!r} is no pixel", hint="write X,Y such as 320,180") from error
    return x, y


def draw_pointing(request: Request, xy: tuple[float, float], *, frame: int | None = None) -> Path:
    """Write a strip of the target frame and its references with heat maps, and return its path.

    The first frame of the range counts as annotated; the references are those that a run would look at.

    Args:
        request: the video, the file for the strip (./STEM.pointing.png by default), settings.
        xy: the target's pixel.
        frame: the target, the last frame of the range when None.

    Raises:
        InputError: the video cannot be used.
        ConfigError: there is no such pixel or frame, or a setting that cannot be.
        ConflictError: something else is in the strip's place.
        OutputError: it cannot be written.
    """
    place = Place.file(request.out_or("pointing.png"))
    if place.out.suffix.lower() != ".png":
        raise ConfigError(f"{place.out}: a strip is a picture", hint="give -o a name that ends in .png")
    with request.open_video() as reader:
        target = reader.last - 1 if frame is None else frame
        _check(reader, xy, target)
        settled = request.settle().for_video((reader.info.height, reader.info.width))
        if claim(place, request, reader, settled, options={"point": list(xy), "frame": target}) != "finished":
            write_rgb(place.out, _strip(reader, xy, target, settled=settled))
            place.finish()
    return place.out


def _check(reader: VideoReader, xy: tuple[float, float], target: int) -> None:
    width, height = reader.info.width, reader.info.height
    if not (-0.5 <= xy[0] <= width - 0.5 and -0.5 <= xy[1] <= height - 0.5):
        raise ConfigError(f"the pixel {xy[0]:g},{xy[1]:g} lies outside of the video, which is {width}x{height}")
    if not reader.first < target < reader.last:
        hint = f"one of {reader.first + 1} to {reader.last - 1}"
        raise ConfigError(f"frame {target} has no frame before it to look at, or is not there", hint=hint)


def _strip(reader: VideoReader, xy: tuple[float, float], target: int, *, settled: Settled) -> NDArray[np.uint8]:
    from propagate.render.pointing import pointing_strip

    frames = _frames(reader, target, settled)
    grid = grid_of(frames[-1], settled)
    origin, beyond = grid.to_pixels(np.array([[0.0, 0.0], [1.0, 1.0]]))
    return pointing_strip(
        frames[-1].rgb,
        [frame.rgb for frame in frames[:-1]],
        attention_of(frames, xy, grid=grid, settled=settled),
        xy=xy,
        stride_xy=(float(beyond[0] - origin[0]), float(beyond[1] - origin[1])),
        offset_xy=(float(origin[0]), float(origin[1])),
        names=[f"frame {target}", *(f"frame {frame.index}" for frame in frames[:-1])],
    )


def _frames(reader: VideoReader, target: int, settled: Settled) -> list[Frame]:
    """Return the references of a target, oldest first, and the target."""
    config = settled.config
    wanted = set(range(max(reader.first, target - config.context), target + 1))
    if config.keep_annotated:
        wanted.add(reader.first)
    found = []
    with closing(ahead(reader)) as frames:
        for frame in frames:
            if frame.index in wanted:
                found.append(frame)
            if frame.index == target:
                break
    return found


def attention_of(
    frames: Sequence[Frame], xy: tuple[float, float], *, grid: Grid, settled: Settled
) -> NDArray[np.float64]:
    """Return the affinity of the cell at a pixel of the last frame to the cells of those before it, (R, h, w).

    Args:
        frames: the references, oldest first, the first of them annotated, and the target.
        xy: a pixel of the target.
        grid: of the frames.
        settled: settings and encoder.
    """
    import torch

    from propagate.encoders.color_beside import beside_color
    from propagate.engine.pointer import Pointer
    from propagate.engine.window import Reference
    from propagate.render.attention import attention_maps

    settled = replace(settled, encoder=beside_color(settled.encoder, settled.config))
    shape = (grid.rows, grid.columns)
    count = grid.rows * grid.columns
    nothing = torch.zeros(count, 1), torch.zeros(count, 2, dtype=torch.int64)
    references = [
        Reference(frame.index, trunk_of(frame, settled), *nothing, annotated=number == 0)
        for number, frame in enumerate(frames[:-1])
    ]
    column, row = np.rint(grid.to_cells(np.array(xy))).clip(0, (grid.columns - 1, grid.rows - 1)).astype(int)
    with torch.inference_mode():
        pointer = Pointer(settled.encoder, settled.config, shape=shape)
        before = 0
        for affinity in pointer.affinities(trunk_of(frames[-1], settled), references):
            here = int(row) * grid.columns + int(column) - before
            if here < affinity.weights.shape[1]:
                weights, cells = affinity.weights[:, here].cpu().numpy(), affinity.cells[:, here].cpu().numpy()
                return attention_maps(weights, cells, shape=(len(references), *shape))
            before += affinity.weights.shape[1]
    raise AssertionError("the strips cover the grid")
