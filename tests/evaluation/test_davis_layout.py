from __future__ import annotations

import json
from pathlib import Path

import pytest
from official_trees import squares, write_davis

from propagate.errors import InputError
from propagate.evaluation.benchmarks.davis import Davis

CLIPS = {"bear": squares(frames=3), "camel": squares(frames=3), "dog": squares(frames=3)}


def names(davis: Davis) -> list[str]:
    return [sequence.name for sequence in davis.list_sequences()]


def test_val_of_2017_is_taken_from_several_lists_in_its_order(tmp_path: Path) -> None:
    lists = {"2016/val": "bear\n", "2017/val": "dog\n\ncamel\n", "2017/train": "bear\n"}
    tree = write_davis(tmp_path, CLIPS, lists=lists)
    assert names(Davis(tree)) == ["dog", "camel"]
    assert names(Davis(tree, list="2016/val")) == ["bear"]
    assert names(Davis(tree, list="train")) == ["bear"]
    assert names(Davis(tree, list="2017/train.txt")) == ["bear"]
    assert names(Davis(tree, sequences=("camel",))) == ["camel"]


@pytest.mark.parametrize(
    ("lists", "year"),
    [({"2016/dev": "bear\n"}, 2016), ({"2017/dev": "bear\n"}, 2017), ({"2019/test-dev": "bear\n"}, 2017)],
)
def test_the_year_comes_from_the_lists_folder(tmp_path: Path, lists: dict[str, str], year: int) -> None:
    davis = Davis(write_davis(tmp_path, CLIPS, lists=lists))
    assert davis._chosen.year == year


def test_the_year_of_named_sequences_comes_from_the_tree(tmp_path: Path) -> None:
    old = write_davis(tmp_path / "old", CLIPS, lists={"2016/val": "bear\n"})
    new = write_davis(tmp_path / "new", CLIPS)
    assert [Davis(tree, sequences=("bear",))._chosen.year for tree in (old, new)] == [2016, 2017]
    assert Davis(old, sequences=("bear",), year=2017)._chosen.year == 2017


def test_lists_of_2016_name_frames(tmp_path: Path) -> None:
    lines = "".join(
        f"/JPEGImages/480p/{name}/0000{n}.jpg /Annotations/480p/{name}/0000{n}.png\n"
        for name in ("dog", "bear")
        for n in range(3)
    )
    davis = Davis(write_davis(tmp_path, CLIPS, lists={"480p/val": lines, "1080p/val": "x\n"}))
    assert names(davis) == ["dog", "bear"]
    assert davis._chosen.year == 2016


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"list": "test"}, r"no list is called test \(there are: 2016/val, 2017/val\)"),
        ({"list": "val"}, r"several lists are called val \(there are: 2016/val, 2017/val\)"),
        ({"sequences": ("bare",)}, r"there is no sequence bare, named in sequences \(did you mean bear\?\)"),
        ({"resolution": "1080p"}, r"JPEGImages: there is no resolution 1080p \(there are: 480p\)"),
        ({"attributes": Path("none.yaml")}, "none.yaml: cannot be read"),
    ],
)
def test_what_is_not_there_is_named(tmp_path: Path, options: dict[str, object], message: str) -> None:
    tree = write_davis(tmp_path, CLIPS, lists={"2016/val": "bear\n", "2017/val": "bear\n"})
    with pytest.raises(InputError, match=message):
        Davis(tree, **options).list_sequences()  # type: ignore[arg-type]


def test_a_listed_sequence_that_is_missing_is_named_with_its_list(tmp_path: Path) -> None:
    tree = write_davis(tmp_path, CLIPS, lists={"2017/val": "bear\nyeti\nunicorn\n"})
    with pytest.raises(InputError, match=r"there is no sequence yeti and 1 more, named in .*2017/val\.txt"):
        Davis(tree).list_sequences()


@pytest.mark.parametrize(
    ("lists", "message"),
    [
        ({}, "ImageSets: there is no list of sequences"),
        ({"2017/val": "\n"}, r"val\.txt: the list is empty"),
        ({"2017/a": "bear\n", "2017/b": "bear\n"}, r"several lists and none .* \(there are: 2017/a, 2017/b\)"),
    ],
)
def test_lists_that_cannot_be_used(tmp_path: Path, lists: dict[str, str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Davis(write_davis(tmp_path, CLIPS, lists=lists)).list_sequences()


def test_another_layout_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no such folder"):
        Davis(tmp_path / "none").list_sequences()
    with pytest.raises(InputError, match="not the layout of DAVIS, there is no JPEGImages"):
        Davis(tmp_path).list_sequences()


INFO = """
attributes: [AC, OCC]
sequences:
  - {name: bear, year: 2016, set: train, num_frames: 3, attributes: [DEF]}
  - {name: camel, attributes: []}
  - {name: dog, attributes: [FM, OCC]}
"""


@pytest.mark.parametrize(
    ("place", "text"),
    [
        ("db_info.yml", INFO),
        ("Annotations/db_info.yml", INFO),
        ("ImageSets/db_info.yaml", INFO),
        ("attributes.json", json.dumps({"bear": ["DEF"], "dog": ["FM", "OCC"]})),
        ("attributes.csv", "bear,DEF\ncamel\ndog,FM, OCC\n"),
    ],
)
def test_attributes_come_from_the_data(tmp_path: Path, place: str, text: str) -> None:
    tree = write_davis(tmp_path, CLIPS)
    (tree / place).write_text(text)
    assert [sequence.attributes for sequence in Davis(tree).list_sequences()] == [("DEF",), (), ("FM", "OCC")]
    assert [sequence.attributes for sequence in Davis(tree, attributes=tree / place).list_sequences()][2] == (
        "FM",
        "OCC",
    )


def test_without_a_file_there_are_no_attributes(tmp_path: Path) -> None:
    assert {sequence.attributes for sequence in Davis(write_davis(tmp_path, CLIPS)).list_sequences()} == {()}


@pytest.mark.parametrize("text", ["- a\n- b\n", "sequences: [bear]\n", "bear: {a: 1}\n", "bear: [\n"])
def test_attributes_of_another_form_are_refused(tmp_path: Path, text: str) -> None:
    tree = write_davis(tmp_path, CLIPS)
    (tree / "db_info.yml").write_text(text)
    with pytest.raises(InputError, match=r"db_info\.yml: (no attributes can|cannot) be read"):
        Davis(tree).list_sequences()
