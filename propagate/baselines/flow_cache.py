"""Flows kept on disk, so that another threshold, label type or run computes none of them again."""

from __future__ import annotations

import hashlib
import io
import logging
import os
import uuid
import zipfile
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from propagate.baselines.warp_propagation import Estimate
from propagate.errors import OutputError
from propagate.formats.atomic import write_bytes

log = logging.getLogger(__name__)
UNREADABLE = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error)


def cached(estimate: Estimate, folder: Path | None, *, key: str) -> Estimate:
    """Return an estimator that looks into `folder` first; the same one when there is no folder.

    A file is named by a digest of both pictures and `key`, so it never has to be invalidated. Flows are rounded to
    float16 (sixteenths of a pixel from 64 pixels on) whether they come from the disk or not, so that a first run
    and every later one give the same labels.

    Args:
        estimate: what computes a flow.
        folder: made when missing.
        key: the estimator's name and every parameter that changes its result.

    Raises:
        OutputError: the folder cannot be made; later, a flow cannot be written.
    """
    if folder is None:
        return estimate
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be made: {error.strerror or error}") from error

    def lookup(target: NDArray[np.uint8], reference: NDArray[np.uint8]) -> NDArray[np.float32]:
        path = folder / f"{pair_digest(target, reference, key=key)}.npz"
        flow = read_flow(path, target.shape[:2])
        if flow is None:
            flow = rounded(estimate(target, reference))
            write_flow(path, flow)
        return flow.astype(np.float32)

    return lookup


def rounded(flow: NDArray[np.float32]) -> NDArray[np.float16]:
    """Return a flow as it is kept: what is not a number is no motion, and none is longer than float16 can say."""
    most = float(np.finfo(np.float16).max)
    return np.nan_to_num(flow, nan=0.0, posinf=most, neginf=-most).clip(-most, most).astype(np.float16)


def pair_digest(target: NDArray[np.uint8], reference: NDArray[np.uint8], *, key: str) -> str:
    """Return 40 hex digits that stand for two pictures, in this order, and a key."""
    digest = hashlib.blake2b(digest_size=20)
    for picture in (target, reference):
        digest.update(repr(picture.shape).encode())
        digest.update(np.ascontiguousarray(picture).data)
    digest.update(key.encode())
    return digest.hexdigest()


def read_flow(path: Path, size: tuple[int, ...]) -> NDArray[np.float16] | None:
    """Return the flow (2, H, W) of a file; None when there is none, or it is damaged."""
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as stored:  # not by name: a damaged one leaks
            flow = np.asarray(stored["flow"])
    except FileNotFoundError:
        return None
    except UNREADABLE as error:
        log.warning("%s: damaged (%s): the flow is computed again", path, error)
        return None
    if flow.dtype != np.float16 or flow.shape != (2, *size) or not np.isfinite(flow).all():
        log.warning("%s: not a flow of %s pixels: it is computed again", path, size)
        return None
    return flow


def write_flow(path: Path, flow: NDArray[np.float16]) -> None:
    """Write a flow whole or not at all, under a name of its own first: other processes may write the same one.

    Raises:
        OutputError: the folder is read-only or full.
    """
    packed = io.BytesIO()
    np.savez_compressed(packed, flow=flow)
    own = path.with_name(f"{path.stem}.{uuid.uuid4().hex}")
    write_bytes(own, packed.getvalue())
    try:
        os.replace(own, path)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror or error}") from error
