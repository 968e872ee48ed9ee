"""Who may write where: new, continued, finished, or a conflict; only our own files are ever replaced."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from propagate.errors import ConflictError, OutputError
from propagate.runs.folder import Place
from propagate.runs.record import differences, identify_video


def record(**settings: Any) -> dict[str, Any]:
    return {"command": "masks", "version": "1", "fingerprint": {"weights": None}, "settings": settings, "ids": [1]}


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place.file(tmp_path / "out.mp4")


def test_a_run_is_new_then_continued_then_finished(place: Place) -> None:
    found = [place.claim(record()), place.claim(record())]
    place.out.write_text("film")
    place.finish()
    assert [*found, place.claim(record())] == ["new", "continued", "finished"]


def test_ids_are_not_compared_but_settings_are(place: Place) -> None:
    place.claim(record(radius=12))
    assert place.claim({**record(radius=12), "ids": [2]}) == "continued"
    with pytest.raises(ConflictError, match="radius is 12 there, 3 now"):
        place.claim(record(radius=3))


def test_a_finished_run_without_its_result_is_done_again(place: Place) -> None:
    place.claim(record())
    place.finish()
    assert place.claim(record()) == "new"


def test_force_replaces_only_what_is_ours(place: Place) -> None:
    place.claim(record())
    place.out.write_text("film")
    place.finish()
    assert place.claim(record(radius=3), force=True) == "new"
    assert not place.out.exists()
    place.record.write_text("mine")
    with pytest.raises(ConflictError, match="was not written by propagate"):
        place.claim(record(), force=True)


def test_a_record_cannot_name_files_elsewhere_for_removal(tmp_path: Path) -> None:
    (tmp_path / "precious.txt").write_text("mine")
    place = Place.folder(tmp_path / "out", names=["masks"], beside=[tmp_path / "precious.txt"])
    with pytest.raises(ConflictError, match="is there already"):
        place.claim(record())
    plain = Place.folder(tmp_path / "out", names=["masks"])
    plain.claim(record())
    text = plain.record.read_text()
    plain.record.write_text(text.replace("- masks", "- masks\n- ../precious.txt"))
    plain.claim(record(radius=3), force=True)
    assert (tmp_path / "precious.txt").read_text() == "mine"


def test_a_folder_of_other_files_is_a_conflict_unless_forced(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    place = Place.folder(tmp_path, names=["masks"])
    with pytest.raises(ConflictError, match="holds other files, such as notes.txt"):
        place.claim(record())
    assert place.claim(record(), force=True) == "new"


def test_a_place_below_a_file_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot be written"):
        Place.folder(tmp_path / "file/out", names=[]).claim(record())


def test_differences_have_short_names() -> None:
    there, now = record(radius=1), record(radius=2, topk=3)
    assert differences(there, now) == ["radius is 1 there, 2 now", "topk is absent there, 3 now"]


def test_a_video_is_known_by_its_start_and_end(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(bytes(3 << 20))
    first = identify_video(path, name="somewhere/a.mp4")
    path.write_bytes(bytes((3 << 20) - 1) + b"x")
    second = identify_video(path, name="a.mp4")
    assert (first["name"], first["bytes"]) == ("a.mp4", 3 << 20)
    assert first["sha256"] != second["sha256"]


def test_a_folder_is_known_by_its_images(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"one")
    first = identify_video(tmp_path, name=str(tmp_path))
    (tmp_path / "a.png").write_bytes(b"two")
    assert identify_video(tmp_path, name=str(tmp_path)) != first
