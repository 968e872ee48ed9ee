"""JHMDB on disk: its splits, its pictures, and what its .mat files hold."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.io import loadmat

from propagate.errors import InputError
from propagate.formats.tables import read_text

Array = NDArray[np.float64]
TEST = "2"  # in a split's file: 1 is training


def split_clips(root: Path, split: int) -> Iterator[tuple[str, Path]]:
    """Yield the name CLASS/CLIP and the video of the test clips of a split, by class.

    Raises:
        InputError: there are no joints or no files of this split, a line is not `CLIP.avi 1` or `CLIP.avi 2`, or a
            clip is not there.
    """
    _check_root(root)
    ending = f"_test_split{split}.txt"
    files = sorted((root / "splits").glob(f"*{ending}"))
    if not files:
        raise InputError(f"{root / 'splits'}: no file CLASS{ending}", hint="unpack JHMDB's splits.tar.gz there")
    for file in files:
        for number, line in enumerate(read_text(file).splitlines(), start=1):
            if not line.strip():
                continue
            clip, _, part = line.strip().rpartition(" ")
            if part not in ("1", TEST) or not clip.strip():
                raise InputError(f"{file}, line {number}: {line.strip()!r}, expected CLIP.avi and 1 or 2")
            if part == TEST:
                name = f"{file.name.removesuffix(ending)}/{clip.strip().removesuffix('.avi')}"
                yield name, _video(root, name, where=str(file))


def listed_clips(root: Path, file: Path) -> Iterator[tuple[str, Path]]:
    """Yield the name CLASS/CLIP and the video of the clips that a file lists, in its order.

    A line's first word ends in CLASS/CLIP, or in CLASS/CLIP/joint_positions.mat as in the lists of UVC and CRW.

    Raises:
        InputError: there is no such file, a line is none of these, or a clip is not there.
    """
    _check_root(root)
    for number, line in enumerate(read_text(file).splitlines(), start=1):
        if not line.strip():
            continue
        parts = line.split()[0].replace("\\", "/").removesuffix("/joint_positions.mat").rstrip("/").split("/")
        if len(parts) < 2:
            raise InputError(f"{file}, line {number}: {line.strip()!r}, expected CLASS/CLIP")
        name = "/".join(parts[-2:])
        yield name, _video(root, name, where=f"{file}, line {number}")


def _check_root(root: Path) -> None:
    if not (root / "joint_positions").is_dir():
        hint = "ROOT is the folder of JHMDB that holds joint_positions, splits and Rename_Images"
        raise InputError(f"{root}: there is no folder joint_positions in it", hint=hint)


def _video(root: Path, name: str, *, where: str) -> Path:
    """Return the folder of frames or the video file of a clip that has joints."""
    if not _joints_file(root, name).is_file():
        raise InputError(f"{where} lists {name}, but {_joints_file(root, name)} is not there")
    folder, file = root / "Rename_Images" / name, root / "ReCompress_Videos" / f"{name}.avi"
    if folder.is_dir():
        return folder
    if file.is_file():
        return file
    raise InputError(f"{where} lists {name}, but neither the folder {folder} nor the file {file} is there")


def _joints_file(root: Path, name: str) -> Path:
    return root / "joint_positions" / name / "joint_positions.mat"


def truth_files(root: Path, name: str) -> list[Path]:
    """Return the files that hold a clip's truth: its joints, and its puppet mask if there is one."""
    mask = root / "puppet_mask" / name / "puppet_mask.mat"
    return [_joints_file(root, name), *([mask] if mask.is_file() else [])]


def annotated_joints(root: Path, name: str, *, count: int) -> Array:
    """Return the joints of a clip, (T, `count`, 2) x, y in pixels; the file counts pixels from 1, this from 0.

    Raises:
        InputError: the file is missing, is no .mat, or does not hold (2, `count`, T) numbers.
    """
    path = _joints_file(root, name)
    points = _read_mat(path, "pos_img")
    if points.ndim != 3 or points.shape[:2] != (2, count) or points.dtype.kind not in "fiu":
        raise InputError(f"{path}: pos_img is {points.shape} {points.dtype}, expected numbers (2, {count}, frames)")
    return points.astype(np.float64).transpose(2, 1, 0) - 1


def box_sides(root: Path, name: str, *, frames: int, size: tuple[int, int]) -> tuple[Array, tuple[str, ...]]:
    """Return the larger side of the box around the person's puppet mask on each frame.

    Args:
        root: the data.
        name: CLASS/CLIP.
        frames: how many.
        size: (height, width) of the video, which the masks must have.

    Returns:
        (frames,) pixels, NaN where there is no mask; and a line that says so.

    Raises:
        InputError: the file is no .mat, or does not hold (H, W, T) numbers of the video's size.
    """
    path = root / "puppet_mask" / name / "puppet_mask.mat"
    side = np.full(frames, np.nan)
    if not path.is_file():
        return side, ("no puppet mask: PCKmax takes the box around the true joints",)
    masks = _read_mat(path, "part_mask")
    if masks.ndim != 3 or masks.shape[:2] != size or masks.dtype.kind not in "buif":
        expected = f"numbers ({size[0]}, {size[1]}, frames) as the video"
        raise InputError(f"{path}: part_mask is {masks.shape} {masks.dtype}, expected {expected}")
    for frame in range(min(frames, masks.shape[2])):
        side[frame] = _larger_side(masks[:, :, frame] > 0)
    without = int(np.isnan(side).sum())
    note = f"no puppet mask on {without} of {frames} frames: PCKmax takes the box around the true joints there"
    return side, (note,) if without else ()


def _larger_side(mask: NDArray[np.bool_]) -> float:
    """Return the larger side of the box around a mask (H, W) in pixels, NaN when it is empty."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return float("nan")
    return float(max(rows[-1] - rows[0], columns[-1] - columns[0]) + 1)


def _read_mat(path: Path, key: str) -> NDArray[Any]:
    """Return one array of a MATLAB file."""
    if not path.is_file():
        raise InputError(f"{path}: there is no such file")
    try:
        values = loadmat(path, variable_names=[key])
    except Exception as error:  # scipy says in a dozen ways that a file is no .mat, or a damaged one
        raise InputError(f"{path}: not a MATLAB file that can be read: {error or type(error).__name__}") from error
    if key not in values:
        raise InputError(f"{path}: holds no {key}", hint="is it a file of JHMDB?")
    return np.asarray(values[key])
