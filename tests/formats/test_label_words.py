"""Label words to annotated masks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from propagate.errors import InputError
from propagate.files import natural_key
from propagate.formats.annotations import read_masks
from propagate.formats.indexed_png import write_mask
from propagate.formats.label_words import LabelSpec, parse_label
from propagate.formats.mask_forms import nearest

SIZE = (4, 6)


def ids(*columns: int) -> NDArray[np.int64]:
    """Return a (4, 6) mask with these ids in its columns."""
    mask = np.zeros(SIZE, np.int64)
    mask[:, : len(columns)] = columns
    return mask


def mask(path: Path, *columns: int) -> str:
    path.parent.mkdir(exist_ok=True)
    write_mask(path, ids(*columns))
    return str(path)


def colored(path: Path, *colors: tuple[int, int, int]) -> str:
    picture = np.zeros((4, 6, 3), np.uint8)
    for place, color in enumerate(colors):
        picture[:, 2 * place : 2 * place + 2] = color
    Image.fromarray(picture).save(path)
    return str(path)


@pytest.mark.parametrize(
    ("word", "frame", "path", "complete"),
    [
        ("a.png", None, "a.png", False),
        ("12=a.png", 12, "a.png", False),
        ("0!=a=b.png", 0, "a=b.png", True),
        ("a=b.png", None, "a=b.png", False),
        ("x12=a.png", None, "x12=a.png", False),
    ],
)
def test_words(word: str, frame: int | None, path: str, complete: bool) -> None:
    assert parse_label(word) == LabelSpec(frame, Path(path), complete)


def test_a_word_without_a_file() -> None:
    with pytest.raises(InputError, match="12=: no file is named"):
        parse_label("12=")


def test_one_label_is_frame_zero(tmp_path: Path) -> None:
    found = read_masks([mask(tmp_path / "m.png", 1, 4)], size=SIZE)
    assert [a.frame for a in found.annotations] == [0]
    assert found.ids == found.annotations[0].ids == (1, 4)
    assert found.annotations[0].array.tolist() == ids(1, 4).tolist()
    assert found.descriptions[0].endswith("m.png: frame 0 (the first), indexed, ids 1, 4")


def test_many_ids_in_a_row_are_said_by_their_ends(tmp_path: Path) -> None:
    found = read_masks([mask(tmp_path / "m.png", 1, 2, 3, 4, 5, 6)], size=SIZE)
    assert found.descriptions[0].endswith("ids 1 to 6")


def test_order_does_not_matter(tmp_path: Path) -> None:
    words = [mask(tmp_path / "a.png", 1), f"9!={mask(tmp_path / 'b.png', 2)}", f"4={mask(tmp_path / 'c.png', 3)}"]
    first, second = read_masks(words, size=SIZE), read_masks(words[::-1], size=SIZE)
    assert [(a.frame, a.ids, a.complete) for a in first.annotations] == [
        (0, (1,), False),
        (4, (3,), False),
        (9, (2,), True),
    ]
    assert first.descriptions == second.descriptions
    assert [a.frame for a in second.annotations] == [0, 4, 9]


def test_several_files_for_a_frame_are_one_object_each(tmp_path: Path) -> None:
    words = [mask(tmp_path / "b.png", 9), mask(tmp_path / "a.png", 0, 255)]
    found = read_masks(words, size=SIZE)
    assert found.annotations[0].array.tolist() == ids(1, 2).tolist()
    assert [line[-4:] for line in found.descriptions] == ["id 1", "id 2"]
    with pytest.raises(InputError, match="2 objects in one of several files for frame 0"):
        read_masks([words[0], mask(tmp_path / "c.png", 1, 2)], size=SIZE)
    with pytest.raises(InputError, match=r"b\.png: later masks of frame 0 cover the object"):
        read_masks([words[0], mask(tmp_path / "c.png", 5)], size=SIZE)
    with pytest.raises(InputError, match="given more than once for frame 0"):
        read_masks([words[0], words[0]], size=SIZE)


def test_colors_have_one_id_over_all_frames(tmp_path: Path) -> None:
    red, blue, white = (255, 0, 0), (0, 0, 255), (255, 255, 255)
    words = [colored(tmp_path / "a.png", red), f"3={colored(tmp_path / 'b.png', white, blue)}"]
    found = read_masks(words, size=SIZE)
    assert found.colors == {1: blue, 2: red, 3: white}
    assert [a.ids for a in found.annotations] == [(2,), (1, 3)]


def test_colors_and_ids_do_not_mix(tmp_path: Path) -> None:
    words = [colored(tmp_path / "a.png", (255, 0, 0)), f"3={mask(tmp_path / 'b.png', 1)}"]
    with pytest.raises(InputError, match=r"a\.png holds colours but .*b\.png holds ids"):
        read_masks(words, size=SIZE)
    words[0] = colored(tmp_path / "a.png", (0, 128, 0))
    assert read_masks(words, size=SIZE).ids == (1, 2)


def test_wrong_size(tmp_path: Path) -> None:
    word = mask(tmp_path / "m.png", 1)
    with pytest.raises(InputError, match=r"m\.png: mask is 6x4 but the video is 12x8 \(resize.*--resize-labels"):
        read_masks([word], size=(8, 12))
    resized = read_masks([word], size=(8, 12), resize=True).annotations[0].array
    assert resized.tolist() == np.kron(ids(1), np.ones((2, 2), int)).tolist()


def test_nearest_takes_the_middle_when_shrinking() -> None:
    wide = np.arange(9, dtype=np.int32)[None].repeat(3, axis=0)
    assert nearest(wide, (1, 3)).tolist() == [[1, 4, 7]]


def test_frame_that_does_not_exist(tmp_path: Path) -> None:
    word = f"5={mask(tmp_path / 'm.png', 1)}"
    assert read_masks([word], size=SIZE, frame_count=6).annotations[0].frame == 5
    with pytest.raises(InputError, match=r"m\.png: there is no frame 5, the video has 5 frames"):
        read_masks([word], size=SIZE, frame_count=5)


def test_a_folder_matches_by_index(tmp_path: Path) -> None:
    for name in ("clip1_10.png", "clip1_2.png"):
        mask(tmp_path / "labels" / name, 1)
    (tmp_path / "labels" / "run.yaml").write_text("")
    (tmp_path / "labels" / ".hidden.png").write_text("")
    found = read_masks([str(tmp_path / "labels")], size=SIZE)
    assert [a.frame for a in found.annotations] == [2, 10]
    assert "clip1_2.png: frame 2 (by index)" in found.descriptions[0]


def test_a_folder_matches_by_stem(tmp_path: Path) -> None:
    mask(tmp_path / "labels" / "img7.png", 1)
    found = read_masks([str(tmp_path / "labels")], size=SIZE, stems=["img6", "img7"])
    assert found.annotations[0].frame == 1
    assert "(by stem)" in found.descriptions[0]
    mask(tmp_path / "labels" / "img8.png", 1)
    with pytest.raises(InputError, match="img8 is the stem of no frame, while others are"):
        read_masks([str(tmp_path / "labels")], size=SIZE, stems=["img6", "img7"])


def test_folders_that_do_not_match(tmp_path: Path) -> None:
    folder = tmp_path / "labels"
    folder.mkdir()
    with pytest.raises(InputError, match="no masks in this folder"):
        read_masks([str(folder)], size=SIZE)
    with pytest.raises(InputError, match="a folder cannot be the label of frame 3"):
        read_masks([f"3={folder}"], size=SIZE)
    word = mask(folder / "cat.png", 1)
    with pytest.raises(InputError, match="cat matches no frame"):
        read_masks([str(folder)], size=SIZE)
    with pytest.raises(InputError, match="there is no such file"):
        read_masks([word + "x"], size=SIZE)


def test_a_frame_given_twice(tmp_path: Path) -> None:
    folder = tmp_path / "labels"
    mask(folder / "3.png", 1)
    words = [str(folder), f"3={mask(tmp_path / 'fix.png', 1)}"]
    with pytest.raises(InputError, match=r"frame 3 is annotated more than once: .*fix\.png and .*3\.png"):
        read_masks(words, size=SIZE)


def test_empty_masks(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    empty = mask(tmp_path / "labels" / "5.png")
    with pytest.raises(InputError, match=r"5\.png: no object"):
        read_masks([empty], size=SIZE)
    with pytest.raises(InputError, match="no object in any mask"):
        read_masks([f"0!={empty}"], size=SIZE)
    first = mask(tmp_path / "labels" / "0.png", 1)
    assert [a.frame for a in read_masks([str(tmp_path / "labels")], size=SIZE).annotations] == [0]
    assert "passed over" in caplog.text
    ends = read_masks([first, f"5!={empty}"], size=SIZE).annotations[1]
    assert (ends.ids, ends.complete) == ((), True)


def test_natural_order() -> None:
    names = ["img10", "img2", "IMG1", "a", "10", "9"]
    assert sorted(names, key=natural_key) == ["9", "10", "a", "IMG1", "img2", "img10"]
