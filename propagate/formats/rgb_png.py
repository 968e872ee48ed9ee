"""Colour pictures as PNG, whole or not at all."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from propagate.formats.atomic import write_bytes


def write_rgb(path: str | Path, rgb: NDArray[np.uint8]) -> None:
    """Write a picture (H, W, 3) as an RGB PNG, atomically.

    Args:
        path: the file to write; its folder exists.
        rgb: (H, W, 3) uint8.

    Raises:
        OutputError: the file cannot be written.
    """
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, "PNG", compress_level=1)
    write_bytes(Path(path), buffer.getvalue())
