"""VIP on disk (Zhou 2018, ATEN): its lists, frames and maps of parts and instances.

`VIP_Fine`, as the propagation papers use it: `Images/VIDEO/000000000001.jpg`, about every 25th frame of a video;
`Annotations/Category_ids/VIDEO/*.png` (20 classes with background), `Annotations/Instance_ids/VIDEO/*.png` with a
`.txt` beside each (a line `ID CLASS` per instance), `lists/val_videos.txt`. ATEN's own tree has the same without the
folder `Annotations` and with `lists/val_id.txt` (VIDEO/FRAME a line); both are taken.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from propagate.errors import InputError
from propagate.files import list_folder
from propagate.formats.images import check_size
from propagate.formats.mask_forms import read_raw
from propagate.formats.tables import read_text
from propagate.video.folder import list_images

Ids = NDArray[np.int32]

CLASSES = (  # the order of the data's own loader (ATEN, vip.py)
    *("background", "hat", "hair", "gloves", "sun-glasses", "upper-clothes", "dress", "coat", "socks", "pants"),
    *("torso-skin", "scarf", "skirt", "face", "left-arm", "right-arm", "left-leg", "right-leg", "left-shoe"),
    "right-shoe",
)
VOID = 255


def listed_videos(root: Path, name: str) -> Iterator[tuple[str, Path]]:
    """Yield the name and the folder of frames of the videos of a list, in its order.

    Args:
        root: VIP_Fine, or the folder that holds it.
        name: of the list ("val" for lists/val_videos.txt or lists/val_id.txt), or a file of one's own.

    Raises:
        InputError: a part of the layout is missing, or a video is listed and not there.
    """
    root = home(root)
    for part in ("Category_ids", "Instance_ids"):
        maps_folder(root, part)
    file = _list_file(root, name)
    words = [line.split()[0].strip("/") for line in read_text(file).splitlines() if line.strip()]
    frames_listed = file.name.endswith("_id.txt")
    videos = dict.fromkeys(word.split("/")[-2 if frames_listed and "/" in word else -1] for word in words)
    for video in videos:
        folder = root / "Images" / video
        if not folder.is_dir():
            raise InputError(f"{file} lists {video}, but the folder {folder} is not there")
        yield video, folder


def home(root: Path) -> Path:
    """Return the folder that holds Images: `root`, or VIP_Fine in it.

    Raises:
        InputError: neither does.
    """
    for folder in (root, root / "VIP_Fine"):
        if (folder / "Images").is_dir():
            return folder
    hint = "ROOT is the folder VIP_Fine, with Images, Annotations and lists"
    raise InputError(f"{root}: there is no folder Images in it", hint=hint)


def maps_folder(root: Path, part: str) -> Path:
    """Return the folder of the maps `Category_ids` or `Instance_ids`.

    Raises:
        InputError: it is not there.
    """
    for folder in (root / "Annotations" / part, root / part):
        if folder.is_dir():
            return folder
    raise InputError(f"{root}: there is no folder Annotations/{part} in it")


def _list_file(root: Path, name: str) -> Path:
    tried = [root / "lists" / f"{name}_videos.txt", root / "lists" / f"{name}_id.txt", Path(name)]
    for file in tried:
        if file.is_file():
            return file
    raise InputError(f"{root / 'lists'}: no list {tried[0].name} or {tried[1].name}")


def truth_files(root: Path, video: str) -> list[Path]:
    """Return all files that hold a video's truth."""
    folders = [maps_folder(root, part) / video for part in ("Category_ids", "Instance_ids")]
    return sorted(path for folder in folders if folder.is_dir() for path in list_folder(folder) if path.is_file())


def labelled_frames(root: Path, video: str) -> tuple[tuple[int, str], ...]:
    """Return the index and the stem of the frames of a video that have a map of categories.

    Raises:
        InputError: the first frame has none, so that nothing can be given, or no other has one.
    """
    folder = maps_folder(root, "Category_ids") / video
    stems = [path.stem for path in list_images(root / "Images" / video)]
    labelled = tuple((index, stem) for index, stem in enumerate(stems) if (folder / f"{stem}.png").is_file())
    if not labelled or labelled[0][0] != 0:
        raise InputError(f"{folder / stems[0]}.png: the map of the first frame is not there")
    if len(labelled) < 2:
        raise InputError(f"{folder}: only the first frame of {video} has a map, so there is nothing to score")
    return labelled


def read_categories(root: Path, video: str, stem: str, *, size: tuple[int, int]) -> Ids:
    """Return the true categories of a frame, (H, W); `VOID` for ids of 20 and above, which the evaluator passes over.

    Raises:
        InputError: the file is missing or coloured, or has another size than its picture.
    """
    ids = _read_ids(maps_folder(root, "Category_ids") / video / f"{stem}.png", size=size)
    return np.where(ids >= len(CLASSES), np.int32(VOID), ids)


def read_found_categories(path: Path) -> Ids:
    """Return predicted categories (H, W).

    Raises:
        InputError: the file is missing or coloured, or has a class that VIP lacks.
    """
    ids = _read_ids(path, size=None)
    if (beyond := int(ids.max(initial=0))) >= len(CLASSES):
        raise InputError(f"{path}: class {beyond} is none of VIP's, which are 0 to {len(CLASSES) - 1}")
    return ids


def read_instances(root: Path, video: str, stem: str, *, size: tuple[int, int]) -> tuple[Ids, Mapping[int, int]]:
    """Return the true instances of a frame, (H, W), and the class of each.

    As for the evaluator, an id without a line in the `.txt` beside the PNG is none. Without that file an instance's
    class is the one that most of its pixels have.

    Raises:
        InputError: a file is missing or damaged, has another size, or gives a class to none of the instances.
    """
    path = maps_folder(root, "Instance_ids") / video / f"{stem}.png"
    ids = _read_ids(path, size=size)
    present = [int(number) for number in np.unique(ids) if number > 0]
    text = path.with_suffix(".txt")
    if text.is_file():
        lines = _numbers(text, least=2, empty=not present)
        listed = {int(number): int(kind) for number, kind, *_ in lines}
    else:
        categories = read_categories(root, video, stem, size=size)
        listed = {number: _most(categories[ids == number]) for number in present}
    classes = {number: listed[number] for number in present if listed.get(number) in range(1, len(CLASSES))}
    if present and not classes:
        raise InputError(f"{text}: gives none of the {len(present)} instances in {path.name} a class of 1 to 19")
    return np.where(np.isin(ids, list(classes)), ids, 0), classes


def read_found_instances(path: Path) -> tuple[Ids, Mapping[int, int], Mapping[int, float]]:
    """Return predicted instances (H, W), the class and the score of each, as ATEN's evaluator takes them.

    Line k of the `.txt` beside the PNG is `CLASS SCORE` of the instance k.

    Raises:
        InputError: a file is missing or damaged, or an instance has no line.
    """
    ids = _read_ids(path, size=None)
    lines = _numbers(path.with_suffix(".txt"), least=2, empty=not (ids > 0).any())
    if (beyond := int(ids.max(initial=0))) > len(lines):
        raise InputError(f"{path}: the instance {beyond}, but {path.stem}.txt has {len(lines)} lines CLASS SCORE")
    wrong = [line[0] for line in lines if line[0] not in range(1, len(CLASSES))]
    if wrong:
        raise InputError(f"{path.with_suffix('.txt')}: class {wrong[0]:g} is none of VIP's parts, 1 to 19")
    classes = {number: int(line[0]) for number, line in enumerate(lines, start=1)}
    return ids, classes, {number: line[1] for number, line in enumerate(lines, start=1)}


def _read_ids(path: Path, *, size: tuple[int, int] | None) -> Ids:
    """Return a map's ids, (H, W)."""
    raw = read_raw(path, grey="ids")
    if raw.colored:
        raise InputError(f"{path}: a colour picture, expected the ids themselves", hint="an indexed or grey PNG")
    if size is not None:
        height, width = raw.values.shape
        check_size(path, (height, width), size, what="map", hint="a map has the size of its picture in Images")
    return raw.values


def _numbers(path: Path, *, least: int, empty: bool = False) -> list[tuple[float, ...]]:
    """Return the numbers of each line of a file, at least so many a line, all finite."""
    if empty and path.is_file() and not path.stat().st_size:
        return []
    rows = []
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        try:
            row = tuple(float(word) for word in line.split())
        except ValueError as error:
            raise InputError(f"{path}, line {number}: not numbers: {line.strip()!r}") from error
        if not all(map(math.isfinite, row)):
            raise InputError(f"{path}, line {number}: not finite: {line.strip()!r}")
        if row and len(row) < least:
            raise InputError(f"{path}, line {number}: {line.strip()!r}, expected {least} numbers")
        rows += [row] if row else []
    return rows


def _most(values: Ids) -> int:
    """Return the most frequent value but background and void, 0 without any."""
    known = values[(values > 0) & (values != VOID)]
    return int(np.bincount(known).argmax()) if known.size else 0
