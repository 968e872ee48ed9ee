"""The photographs inside the scikit-image wheel: read without a network, recoloured, and sampled between pixels."""

from __future__ import annotations

import importlib.util
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

Array = NDArray[np.float64]

PHOTOS = {  # the colour photographs that come with every installation of scikit-image
    "astronaut": "astronaut.png",
    "chelsea": "chelsea.png",
    "coffee": "coffee.png",
    "rocket": "rocket.jpg",
    "motorcycle": "motorcycle_left.png",
    "hubble": "hubble_deep_field.jpg",
    "tissue": "ihc.png",
}


def data_folder() -> Path:
    """Return the folder of pictures inside the installed scikit-image."""
    found = importlib.util.find_spec("skimage")
    if found is None or not found.submodule_search_locations:
        raise FileNotFoundError("the photographs come with scikit-image, which is not installed")
    return Path(found.submodule_search_locations[0]) / "data"


@lru_cache(maxsize=16)
def photograph(name: str, *, cover: tuple[int, int]) -> Array:
    """Return a photograph, (3, H', W') in [0, 255], resized to just cover a size.

    It is smoothed a little, so that cubic sampling between its pixels adds no detail of its own.

    Args:
        name: a key of `PHOTOS`.
        cover: (height, width) in pixels that the result has at least.
    """
    with Image.open(data_folder() / PHOTOS[name]) as image:
        factor = max(cover[0] / image.height, cover[1] / image.width)
        new = (max(cover[1], round(factor * image.width)), max(cover[0], round(factor * image.height)))
        pixels = np.asarray(image.convert("RGB").resize(new, Image.Resampling.LANCZOS), dtype=np.float64)
    return np.asarray(ndimage.gaussian_filter(pixels.transpose(2, 0, 1), (0, 0.7, 0.7)))


def splines(photo: Array) -> Array:
    """Return the cubic spline coefficients (3, H', W') of a photograph, for `sample`."""
    return np.stack([ndimage.spline_filter(channel, order=3, mode="mirror") for channel in photo])


def sample(coefficients: Array, xy: Array) -> Array:
    """Return the colours (..., 3) of spline coefficients (3, H', W') at (..., 2) x, y; the edge mirrors."""
    at = np.stack([xy[..., 1], xy[..., 0]])
    channels = [ndimage.map_coordinates(plane, at, order=3, mode="mirror", prefilter=False) for plane in coefficients]
    return np.stack(channels, axis=-1)


def recolour(pixels: Array, own: Array, wanted: Array, *, clip: bool = True) -> Array:
    """Return (3, H', W') pixels, moved so that the colours `own` (N, 3) get mean and covariance of `wanted` (M, 3).

    Args:
        pixels: in [0, 255]; or spline coefficients, which an affine map of colours moves just so.
        own: colours of some of them.
        wanted: colours of something else.
        clip: bring pixels back into [0, 255]; not for coefficients.
    """
    move = _root(np.cov(wanted.T)) @ np.linalg.inv(_root(np.cov(own.T) + np.eye(3)))
    shifted = np.tensordot(move, pixels - own.mean(0)[:, None, None], 1) + wanted.mean(0)[:, None, None]
    return np.asarray(np.clip(shifted, 0, 255) if clip else shifted)


def _root(covariance: Array) -> Array:
    """Return the symmetric square root of a covariance (3, 3)."""
    values, vectors = np.linalg.eigh(covariance)
    return np.asarray((vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T)
