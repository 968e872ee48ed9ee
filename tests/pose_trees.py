"""Small trees in the official layouts of JHMDB and VIP, written for tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.io import savemat

SIZE = (48, 64)


@dataclass(frozen=True)
class PoseClip:
    """Frames (T, H, W, 3), joints (T, 15, 2) counted from 0, and puppet masks (T, H, W) if any."""

    frames: NDArray[np.uint8]
    joints: NDArray[np.float64]
    masks: NDArray[np.uint8] | None = None


@dataclass(frozen=True)
class PartVideo:
    """Frames, categories and instances (T, H, W) each; the class of each instance id; which frames are labelled."""

    frames: NDArray[np.uint8]
    categories: NDArray[np.uint8]
    instances: NDArray[np.uint8]
    classes: Mapping[int, int]
    labelled: Sequence[int] | None = None


def noise(frames: int) -> NDArray[np.uint8]:
    """Return a still noisy picture, (T, 48, 64, 3)."""
    picture = np.random.default_rng(0).integers(0, 255, (*SIZE, 3), dtype=np.uint8)
    return np.repeat(picture[None], frames, axis=0)


def write_frames(folder: Path, frames: NDArray[np.uint8], *, names: str = "{:05d}.png", first: int = 1) -> None:
    folder.mkdir(parents=True)
    for index, rgb in enumerate(frames):
        Image.fromarray(rgb).save(folder / names.format(index + first), quality=95)


def write_jhmdb(root: Path, clips: Mapping[str, PoseClip], *, train: Sequence[str] = ()) -> Path:
    """Write clips named CLASS/CLIP; those in `train` are of the training half of split 1."""
    (root / "splits").mkdir(parents=True)
    for name, clip in clips.items():
        write_frames(root / "Rename_Images" / name, clip.frames)
        (root / "joint_positions" / name).mkdir(parents=True)
        positions = clip.joints.transpose(2, 1, 0) + 1  # (2, 15, T), Matlab counts from 1
        savemat(root / "joint_positions" / name / "joint_positions.mat", {"pos_img": positions, "viewpoint": "s"})
        if clip.masks is not None:
            (root / "puppet_mask" / name).mkdir(parents=True)
            savemat(
                root / "puppet_mask" / name / "puppet_mask.mat",
                {"part_mask": clip.masks.transpose(1, 2, 0)},
                do_compression=True,
            )
        kind, _, clip_name = name.partition("/")
        with (root / "splits" / f"{kind}_test_split1.txt").open("a") as file:
            file.write(f"{clip_name}.avi {1 if name in train else 2} \n")
    return root


def write_vip(root: Path, videos: Mapping[str, PartVideo]) -> Path:
    """Write videos as VIP_Fine has them; frames are named every 25th, as there."""
    (root / "lists").mkdir(parents=True)
    (root / "lists/val_videos.txt").write_text("".join(f"{name}\n" for name in videos))
    for name, video in videos.items():
        (root / "Images" / name).mkdir(parents=True)
        for part in ("Category_ids", "Instance_ids"):
            (root / "Annotations" / part / name).mkdir(parents=True)
        for index, rgb in enumerate(video.frames):
            stem = f"{1 + 25 * index:012d}"
            Image.fromarray(rgb).save(root / "Images" / name / f"{stem}.jpg", quality=95)
            if video.labelled is not None and index not in video.labelled:
                continue
            Image.fromarray(video.categories[index]).save(root / "Annotations/Category_ids" / name / f"{stem}.png")
            path = root / "Annotations/Instance_ids" / name / f"{stem}.png"
            Image.fromarray(video.instances[index]).save(path)
            present = [number for number in np.unique(video.instances[index]).tolist() if number]
            path.with_suffix(".txt").write_text("".join(f"{number} {video.classes[number]} 1\n" for number in present))
    return root
