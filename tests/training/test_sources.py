"""Which videos words mean, their groups, and what is left out with which reason."""

from __future__ import annotations

from pathlib import Path

import pytest

from propagate.errors import InputError
from propagate.training.data.sources import find_videos


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"not opened")
    return folder


def names(folder: Path, *words: str) -> list[str]:
    found = find_videos([str(folder / word) for word in words])
    return [video.path.relative_to(folder).as_posix() for video in found.videos]


def reasons(folder: Path, *words: str) -> dict[str, str]:
    found = find_videos([str(folder / word) for word in words])
    return {path.relative_to(folder).as_posix(): reason for path, reason in found.skipped}


def test_a_folder_is_searched_to_its_end_in_natural_order(tmp_path: Path) -> None:
    touch(tmp_path, "v/b10.mp4", "v/b9.MKV", "v/deep/er/c.webm", "v/.hidden/d.mp4", "v/.e.mp4", "v/a.mov")
    assert names(tmp_path, "v") == ["v/a.mov", "v/b9.MKV", "v/b10.mp4", "v/deep/er/c.webm"]


def test_a_folder_of_numbered_images_is_one_video(tmp_path: Path) -> None:
    touch(tmp_path, "JPEGImages/bear/00000.jpg", "JPEGImages/bear/00001.jpg", "JPEGImages/cow/f1.png")
    touch(tmp_path, "JPEGImages/cow/f2.png", "photos/one.jpg", "photos/two.jpg", "alone/1.png")
    assert names(tmp_path, ".") == ["JPEGImages/bear", "JPEGImages/cow"]
    assert reasons(tmp_path, ".") == {"photos": "pictures that are not all numbered", "alone": "one picture only"}


def test_files_and_globs(tmp_path: Path) -> None:
    touch(tmp_path, "a.mp4", "b.mp4", "c.avi", "in/d.mp4")
    assert names(tmp_path, "*.mp4") == ["a.mp4", "b.mp4"]
    assert names(tmp_path, "**/*.mp4") == ["a.mp4", "b.mp4", "in/d.mp4"]
    assert names(tmp_path, "c.avi", "*.mp4") == ["c.avi", "a.mp4", "b.mp4"]


def test_a_video_named_twice_is_one(tmp_path: Path) -> None:
    touch(tmp_path, "v/a.mp4", "v/b.mp4")
    assert names(tmp_path, "v/b.mp4", "v", "v/*.mp4", "v/../v/a.mp4") == ["v/b.mp4", "v/a.mp4"]


def test_a_link_back_up_is_not_followed(tmp_path: Path) -> None:
    touch(tmp_path, "v/in/a.mp4", "other/b.mp4")
    (tmp_path / "v/in/up").symlink_to(tmp_path / "v")
    (tmp_path / "v/beside").symlink_to(tmp_path / "other")
    assert names(tmp_path, "v") == ["v/beside/b.mp4", "v/in/a.mp4"]


def test_a_list_is_relative_to_itself(tmp_path: Path) -> None:
    touch(tmp_path, "lists/x.mp4", "v/a.mp4", "v/b.mp4")
    (tmp_path / "lists/train.txt").write_text("# mine\nx.mp4\n\n../v\ngone.mp4\n")
    found = find_videos([str(tmp_path / "lists/train.txt")])
    assert [video.path.name for video in found.videos] == ["x.mp4", "a.mp4", "b.mp4"]
    assert [(path.name, reason) for path, reason in found.skipped] == [("gone.mp4", "no such file, named by train.txt")]


def test_a_manifest_names_videos_and_groups(tmp_path: Path) -> None:
    touch(tmp_path, "motion/a.mp4", "motion/b.mp4", "c.mp4")
    rows = ["pack,file,source_repo", "motion,a.mp4,one/repo", "motion,b.mp4,", ",c.mp4,other/repo", "motion,d.mp4,x/y"]
    (tmp_path / "manifest.csv").write_text("\n".join(rows))
    found = find_videos([str(tmp_path / "manifest.csv")])
    groups = {video.path.name: video.group for video in found.videos}
    assert groups == {"a.mp4": "one/repo", "b.mp4": str(tmp_path / "motion"), "c.mp4": "other/repo"}
    assert reasons(tmp_path, "manifest.csv") == {"motion/d.mp4": "no such file, named by the manifest"}


@pytest.mark.parametrize("column", ["file", "path", "video"])
def test_a_manifest_of_any_name_and_column(tmp_path: Path, column: str) -> None:
    touch(tmp_path, "v/a.mp4")
    (tmp_path / "mine.csv").write_text(f"group,{column}\ncats,v/a.mp4\n")
    (video,) = find_videos([str(tmp_path / "mine.csv")]).videos
    assert (video.path, video.group) == (tmp_path / "v/a.mp4", "cats")


@pytest.mark.parametrize("word", [".", "motion", "motion/a.mp4", "motion/*.mp4"])
def test_a_manifest_that_lies_about_gives_groups(tmp_path: Path, word: str) -> None:
    touch(tmp_path, "motion/a.mp4", "motion/new.mp4")
    (tmp_path / "manifest.csv").write_text("pack,file,source_repo\nmotion,a.mp4,one/repo\n")
    found = find_videos([str(tmp_path / word)])
    groups = {video.path.name: video.group for video in found.videos}
    assert groups["a.mp4"] == "one/repo"
    assert groups.get("new.mp4", str(tmp_path / "motion")) == str(tmp_path / "motion")
    assert not found.skipped


def test_the_group_is_the_folder(tmp_path: Path) -> None:
    touch(tmp_path, "x/clips/a.mp4", "y/clips/b.mp4", "y/clips/c.mp4")
    groups = [video.group for video in find_videos([str(tmp_path)]).videos]
    assert groups == [str(tmp_path / "x/clips"), str(tmp_path / "y/clips"), str(tmp_path / "y/clips")]


def test_a_manifest_may_name_a_folder_of_images(tmp_path: Path) -> None:
    touch(tmp_path, "bear/0.png", "bear/1.png", "cow/0.png")
    (tmp_path / "mine.csv").write_text("path,group\nbear,animals\ncow,animals\n")
    (video,) = find_videos([str(tmp_path / "mine.csv")]).videos
    assert (video.path.name, video.group) == ("bear", "animals")


def test_what_is_no_video_is_left_out_with_a_reason(tmp_path: Path) -> None:
    touch(tmp_path, "a.mp4", "notes.txt", "voice.mp3", "poster.jpg", "README", "data.csv")
    (tmp_path / "nothing").mkdir()
    found = reasons(tmp_path, ".")
    assert found.pop("README").startswith("not a video that FFmpeg can open")
    assert found == {
        "notes.txt": "a text file",
        "data.csv": "a text file",
        "voice.mp3": "a sound file",
        "poster.jpg": "a picture beside videos",
        "nothing": "an empty folder",
    }


def test_nothing_left_is_refused_in_one_line(tmp_path: Path) -> None:
    touch(tmp_path, "a.txt", "b.mp3", "c.md", "d.md", "e.md")
    with pytest.raises(InputError) as caught:
        find_videos([str(tmp_path)])
    message = str(caught.value)
    assert message.startswith("no video is left to learn from, 5 skipped: a.txt: a text file; b.mp3: a sound file; ")
    assert "and 2 more" in message
    assert "\n" not in message


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="1 skipped: .*: an empty folder"):
        find_videos([str(tmp_path)])


@pytest.mark.parametrize("word", ["gone", "*.mp4", "gone/*.mkv"])
def test_a_word_that_means_nothing_is_an_error(tmp_path: Path, word: str) -> None:
    with pytest.raises(InputError, match="no such file or folder"):
        find_videos([str(tmp_path / word)])


def test_a_manifest_without_a_column_of_videos_is_refused(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("name,length\na,3\n")
    with pytest.raises(InputError, match=r"no column named file, path, video \(it has: name, length\)"):
        find_videos([str(tmp_path / "m.csv")])


def test_the_shared_manifest_gives_every_video_its_repository(shared_data: Path) -> None:
    found = find_videos([str(shared_data / "video")])
    lists = sorted((shared_data / "video").rglob("manifest.csv"))
    by_manifest = find_videos(list(map(str, lists)))
    assert {(v.path, v.group) for v in found.videos} == {(v.path, v.group) for v in by_manifest.videos}
    assert len({video.group for video in found.videos}) >= 90
    assert not any(video.group == str(video.path.parent) for video in found.videos)
    assert not found.skipped
