"""Who may write where: new, continued, finished, or a conflict; only what a run wrote is ever replaced."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from propagate.errors import ConflictError, OutputError
from propagate.runs.folder import RunFolder, is_damaged
from propagate.runs.manifest import FileEntry
from propagate.runs.record import Digests, differences, identify_video


def record(**settings: Any) -> dict[str, Any]:
    inputs = {"video": {"name": "a", "path": "a", "bytes": 1, "sha256": "00"}, "weights": None}
    return {
        "command": "masks",
        "version": "1",
        "inputs": inputs,
        "options": {"end": 9},
        "settings": settings,
        "ids": [1],
    }


def claimed(out: Path, **settings: Any) -> RunFolder:
    folder = RunFolder.folder(out)
    folder.claim()
    folder.write_record(record(**settings))
    return folder


def wrote(folder: RunFolder, name: str, data: bytes) -> None:
    folder.manifest.add_file(FileEntry(name, hashlib.sha256(data).hexdigest()))
    folder.write(name, data)


def test_another_run_is_a_conflict_that_names_what_differs(tmp_path: Path) -> None:
    claimed(tmp_path, radius=12).close()
    folder = RunFolder.folder(tmp_path)
    folder.check({**record(radius=12), "ids": [2]}, wholes=[])
    with pytest.raises(ConflictError, match="radius is 12 there, 3 now"):
        folder.check(record(radius=3), wholes=[])
    folder.check(record(radius=3), wholes=[], force=True)
    folder.check(record(radius=3), wholes=[], but=["settings"])


def test_other_inputs_are_named_without_their_digests() -> None:
    there, now = record(), record()
    now["inputs"] = {**now["inputs"], "video": {"name": "b", "path": "b", "bytes": 1, "sha256": "11"}}
    assert differences(there, now) == ["the video is not the same"]
    now["inputs"]["video"]["sha256"] = "00"
    assert differences(there, now) == []


def test_a_folder_of_other_files_is_a_conflict_unless_forced(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    folder = RunFolder.folder(tmp_path)
    with pytest.raises(ConflictError, match="holds other files, such as notes.txt"):
        folder.check(record(), wholes=[])
    folder.check(record(), wholes=[], force=True)
    with pytest.raises(ConflictError, match="is there already"):
        folder.check(record(), wholes=[tmp_path / "notes.txt"], force=True)


def test_a_record_of_something_else_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text("mine")
    with pytest.raises(ConflictError, match="was not written by propagate"):
        RunFolder.folder(tmp_path).check(record(), wholes=[], force=True)


def test_a_folder_below_a_file_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    folder = RunFolder.folder(tmp_path / "file/out")
    with pytest.raises(OutputError, match="cannot be written"):
        folder.check(record(), wholes=[])
    with pytest.raises(OutputError, match="cannot be written"):
        folder.claim()


def test_a_second_run_is_refused_by_name_until_the_first_ends(tmp_path: Path) -> None:
    first, second = RunFolder.folder(tmp_path), RunFolder.folder(tmp_path)
    first.claim()
    with pytest.raises(ConflictError, match=r"another run \(process \d+ on .+, since .+\) is at work here"):
        second.claim()
    first.close()
    second.claim()
    second.close()


def test_a_run_of_the_release_before_is_replaced_by_force_alone(tmp_path: Path) -> None:
    former = {"command": "masks", "version": "0.1.0", "fingerprint": {"weights": None}, "results": ["masks", "a.mp4"]}
    (tmp_path / "masks").mkdir()
    (tmp_path / "run.yaml").write_text(json.dumps(former))
    (tmp_path / "results.jsonl").write_text('{"index": 0, "stem": "00000"}\n')
    for name in ("masks/00000.png", "masks/notes.png", "a.mp4"):
        (tmp_path / name).write_text("before")
    folder = RunFolder.folder(tmp_path)
    with pytest.raises(ConflictError, match="holds another run"):
        folder.check(record(), wholes=[tmp_path / "a.mp4"])
    folder.check(record(), wholes=[tmp_path / "a.mp4"], force=True)
    folder.claim()
    folder.adopt(folder.read_record() or {})
    assert folder.may_write("masks/00000.png", b"now")
    assert folder.may_write("a.mp4", b"now")
    assert not folder.may_write("masks/notes.png", b"now")


def test_what_a_person_changed_is_kept(tmp_path: Path) -> None:
    folder = claimed(tmp_path)
    wrote(folder, "a.png", b"first")
    assert folder.may_write("a.png", b"second")
    folder.path_of("a.png").write_bytes(b"drawn by hand")
    assert not folder.may_write("a.png", b"second")
    assert folder.edited == ["a.png"]
    folder.remove("a.png")
    assert folder.path_of("a.png").read_bytes() == b"drawn by hand"


def test_a_file_that_no_run_wrote_is_kept(tmp_path: Path) -> None:
    folder = claimed(tmp_path)
    folder.path_of("b.png").write_bytes(b"mine")
    assert not folder.may_write("b.png", b"ours")
    assert folder.may_write("b.png", b"mine")


def test_what_the_run_reads_is_never_written(tmp_path: Path) -> None:
    folder = claimed(tmp_path)
    wrote(folder, "a.png", b"first")
    folder.inputs = frozenset({folder.path_of("a.png").resolve()})
    assert not folder.may_write("a.png", b"second")
    folder.remove("a.png")
    assert folder.path_of("a.png").exists()


@pytest.mark.parametrize(
    ("there", "damaged"),
    [
        (b"abc", True),
        (b"", True),
        (bytes(6), True),
        (b"ab\0\0ef", True),
        (b"ab\0", True),
        (b"abXdef", False),
        (b"abcdefg", False),
        (b"abcdef", True),
    ],
)
def test_damage_is_what_is_cut_short_or_zero(there: bytes, damaged: bool) -> None:
    assert is_damaged(there, b"abcdef") == damaged


def test_a_damaged_file_is_made_again(tmp_path: Path) -> None:
    folder = claimed(tmp_path)
    wrote(folder, "a.png", b"whole")
    folder.path_of("a.png").write_bytes(b"wh")
    assert folder.may_write("a.png", b"whole")


@pytest.mark.parametrize("left", [b"", bytes(9)])
def test_a_file_of_nothing_that_the_manifest_lost_is_made_again(left: bytes, tmp_path: Path) -> None:
    folder = claimed(tmp_path)
    folder.path_of("a.png").write_bytes(left)
    assert folder.may_write("a.png", b"picture")


def test_a_lock_is_given_back_when_its_owner_cannot_be_written(tmp_path: Path) -> None:
    folder = RunFolder.folder(tmp_path)
    (folder.state / "owner.json").mkdir(parents=True)
    with pytest.raises(OutputError):
        folder.claim()
    (folder.state / "owner.json").rmdir()
    claimed(tmp_path).close()


def test_a_manifest_that_was_cut_or_damaged_forgets_only_what_is_lost(tmp_path: Path) -> None:
    folder = claimed(tmp_path)
    for name in ("a", "b", "c"):
        wrote(folder, name, name.encode())
    path = folder.manifest.path
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + b"\0" * 20 + b"\n" + lines[2] + lines[1][:30])
    again = RunFolder.folder(tmp_path)
    assert list(again.manifest.files) == ["a", "c"]
    again.manifest.add_file(FileEntry("d", "0"))
    assert list(RunFolder.folder(tmp_path).manifest.files) == ["a", "c", "d"]


def test_a_video_is_known_by_all_its_content(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(bytes(3 << 20))
    first = identify_video(path, name=str(path), base=tmp_path, digests=Digests())
    path.write_bytes(bytes(1 << 20) + b"x" + bytes((2 << 20) - 1))
    second = identify_video(path, name=str(path), base=tmp_path / "out", digests=Digests())
    assert (first["name"], first["path"], second["path"]) == ("a.mp4", "a.mp4", "../a.mp4")
    assert first["sha256"] != second["sha256"]


def test_a_folder_is_known_by_its_images(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"one")
    digests = Digests(tmp_path / "cache")
    first = identify_video(tmp_path, name=str(tmp_path), base=tmp_path, digests=digests)
    digests.save()
    (tmp_path / "a.png").write_bytes(b"two")
    assert identify_video(tmp_path, name=str(tmp_path), base=tmp_path, digests=Digests(tmp_path / "cache")) != first


@pytest.mark.parametrize("content", [b"", b"[]", b'{"a": 1}', b"[" * 100_000, b"\xff"])
def test_a_damaged_cache_of_digests_is_no_harm(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "cache").write_bytes(content)
    (tmp_path / "a").write_bytes(b"one")
    assert Digests(tmp_path / "cache").of(tmp_path / "a") == hashlib.sha256(b"one").hexdigest()


def test_records_are_plain_and_say_where_files_lie(tmp_path: Path) -> None:
    folder = claimed(tmp_path / "out")
    assert json.loads(json.dumps(folder.read_record())) == record()
