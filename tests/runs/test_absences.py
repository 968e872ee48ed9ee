"""What a person says is absent is absent there, and nowhere else; and it needs no network."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from propagate.commands.keypoints import PointOptions, open_keypoints
from propagate.commands.masks import MaskOptions, open_masks
from propagate.errors import ConfigError, InputError
from propagate.formats.indexed_png import read_mask, write_mask
from propagate.formats.label_words import read_absences
from propagate.runs.request import Request
from propagate.runs.run import StoppedError
from propagate.runs.settings import SettingLayers

FRAMES = 9
LAYERS = SettingLayers(flags={"encoder": "rawcolor", "context": 3})
Tree = dict[str, bytes]


def truth(index: int) -> np.ndarray:
    """Return the ids of two squares, which move and touch one another from frame 3 on."""
    ids = np.zeros((48, 64), np.int64)
    ids[6:22, 3 * index : 3 * index + 20] = 1
    ids[22:40, 24:44] = 2
    return ids


@pytest.fixture
def project(tmp_path: Path) -> Path:
    noise = np.random.default_rng(0).integers(0, 100, (48, 64, 3), dtype=np.uint8)
    (tmp_path / "frames").mkdir()
    for index in range(FRAMES):
        picture, ids = noise.copy(), truth(index)
        picture[ids == 1], picture[ids == 2] = (220, 30, 20), (30, 60, 220)
        Image.fromarray(picture).save(tmp_path / f"frames/{index}.png")
    write_mask(tmp_path / "first.png", truth(0))
    write_mask(tmp_path / "later.png", truth(6) * (truth(6) == 2))
    (tmp_path / "points.csv").write_text("frame,name,x,y\n0,red,10,14\n0,blue@2,34,31\n")
    return tmp_path


def request(project: Path, name: str, **more: Any) -> Request:
    return Request(str(project / "frames"), project / name, layers=LAYERS, **more)


def do(project: Path, name: str, *absent: str, labels: tuple[str, ...] = ("0=first.png",), **more: Any) -> Tree:
    words = [word.replace("=", f"={project}/") for word in labels]
    options = MaskOptions(absences=read_absences(absent), **more)
    run = open_masks(request(project, name), words, options=options)
    list(run)
    run.close()
    return tree(project / name)


def tree(folder: Path) -> Tree:
    files = [path for path in folder.rglob("*") if path.is_file() and ".state" not in path.parts]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files if path.name != "run.yaml"}


def lines(found: Tree) -> list[dict[str, Any]]:
    return [json.loads(line) for line in found["results.jsonl"].splitlines()]


def mask(project: Path, name: str, index: int) -> np.ndarray:
    return np.asarray(read_mask(project / name / f"masks/{index}.png", allow_empty=True).ids)


def test_an_object_is_absent_where_it_is_said_and_nowhere_else(project: Path) -> None:
    plain, said = do(project, "plain", soft=True), do(project, "said", "2@3:5", "1@8", soft=True)
    gone = {3: 2, 4: 2, 5: 2, 8: 1}
    for index in range(FRAMES):
        before, now = mask(project, "plain", index), mask(project, "said", index)
        old, new = lines(plain)[index], lines(said)[index]
        assert (now == np.where(before == gone.get(index), 0, before)).all()
        if index not in gone:
            assert plain[f"masks/{index}.png"] == said[f"masks/{index}.png"]
            assert plain[f"soft/{index}.npz"] == said[f"soft/{index}.npz"]
            assert old == new
            continue
        absent, other = new["objects"][gone[index] - 1], new["objects"][2 - gone[index]]
        assert (before == gone[index]).any()  # else nothing would be tested
        assert (absent["visible"], absent["area"], absent["box"], absent["centroid"]) == (False, 0, None, None)
        assert absent["flags"] == ["absent"]
        assert other == old["objects"][2 - gone[index]]
        soft = np.load(project / f"said/soft/{index}.npz")["soft"]
        assert not soft[gone[index]].any()
        assert np.allclose(soft.sum(0), 1, atol=2e-3)


def test_only_frames_whose_absences_change_are_written_again_without_the_network(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    do(project, "out", "2@3:5")
    whole = do(project, "whole", "2@4:6", "1@8")
    plain = do(project, "plain")
    monkeypatch.setattr("propagate.runs.request.load_model", lambda *_, **__: pytest.fail("a network is loaded"))
    times = {path.name: path.stat().st_mtime_ns for path in (project / "out/masks").iterdir()}
    assert do(project, "out", "2@4:6", "1@8") == whole
    written = {path.name for path in (project / "out/masks").iterdir() if path.stat().st_mtime_ns != times[path.name]}
    assert written == {"3.png", "6.png", "8.png"}
    assert do(project, "out") == plain


def test_an_overlay_is_made_again_when_absences_change(project: Path) -> None:
    def overlay(name: str) -> dict[str, Path]:
        return {"overlay": project / name / "o.mkv"}

    plain = do(project, "out", **overlay("out"))
    said = do(project, "out", "1@2:6", **overlay("out"))
    assert said["o.mkv"] != plain["o.mkv"]
    assert said == do(project, "whole", "1@2:6", **overlay("whole"))
    assert do(project, "out", **overlay("out")) == plain


def test_a_run_that_was_stopped_goes_on_to_the_same_bytes(project: Path) -> None:
    counted = iter(range(100))
    stop = request(project, "part", stop=lambda: 2 if next(counted) == 3 else None)
    options = MaskOptions(absences=read_absences(["1@2:6"]))
    run = open_masks(stop, [f"0={project}/first.png"], options=options)
    with pytest.raises(StoppedError):
        list(run)
    run.close()
    assert do(project, "part", "1@2:6") == do(project, "whole", "1@2:6")


def test_the_same_said_in_other_words_is_nothing_to_do(project: Path) -> None:
    said = do(project, "out", "1@2:4")
    run = open_masks(
        request(project, "out"),
        [f"0={project}/first.png"],
        options=MaskOptions(absences=read_absences(["1@4", "1@2:3"])),
    )
    assert run.finished
    run.close()
    assert tree(project / "out") == said


def test_a_label_may_say_of_another_object_that_it_is_there(project: Path) -> None:
    do(project, "out", "1@6", labels=("0=first.png", "6=later.png"))
    assert (mask(project, "out", 6) == truth(6) * (truth(6) == 2)).all()


@pytest.mark.parametrize(
    ("word", "cause"),
    [
        ("2@6", "--absent 2@6: object 2 is drawn on frame 6"),
        ("2@1:8", "--absent 2@1:8: object 2 is drawn on frame 6"),
        ("3@2", r"no label has the object 3 \(the labels have: 1, 2\)"),
        ("1@5:9", "there is no frame 9, the video has 9 frames"),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_is_written(project: Path, word: str, cause: str) -> None:
    with pytest.raises(InputError, match=cause):
        do(project, "out", word, labels=("0=first.png", "6=later.png"))
    assert not (project / "out").exists()


def test_points_are_absent_too(project: Path) -> None:
    found = {}
    for name, absent in (("plain", ()), ("said", ("blue@2@3:5",))):
        options = PointOptions(absences=read_absences(absent))
        run = open_keypoints(request(project, name), project / "points.csv", options=options)
        list(run)
        run.close()
        found[name] = tree(project / name)
    rows = {name: files["keypoints.csv"].decode().splitlines() for name, files in found.items()}
    differ = [index for index, pair in enumerate(zip(rows["plain"], rows["said"], strict=True)) if pair[0] != pair[1]]
    cells = [rows["said"][index].split(",") for index in differ]
    assert [(row[0], *row[3:6]) for row in cells] == [(str(n), "blue@2", "", "") for n in (3, 4, 5)]
    states = [line["objects"][1] for line in lines(found["said"])]
    assert [state["flags"] == ["absent"] for state in states] == [index in (3, 4, 5) for index in range(FRAMES)]
    assert [state["visible"] for state in states] == [index not in (3, 4, 5) for index in range(FRAMES)]


def test_absences_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "absent.txt"
    file.write_text("# behind the tree\n\n 2@3:5  # and back\nleft#foot@7\n")
    assert [one.word for one in read_absences([str(file), "2@3:5", "1@0"])] == ["1@0", "2@3:5", "left#foot@7"]
    file.write_text("2@3:5\n2 @ 7\n")
    with pytest.raises(InputError, match=r"absent.txt, line 2: 2 @ 7: no object and frames \(write ID@120"):
        read_absences([str(file)])


@pytest.mark.parametrize(
    ("word", "kind", "cause"),
    [
        (".", InputError, "a folder, not a text file"),
        ("2@", ConfigError, "2@: no object and frames"),
        ("@3", ConfigError, "@3: no object and frames"),
        ("2@3:", ConfigError, "2@3:: no object and frames"),
        ("2@-1", ConfigError, "2@-1: no object and frames"),
        ("2@1.5s", ConfigError, "no object and frames"),
        ("2@5:3", ConfigError, r"2@5:3: ends before it begins \(write 2@3:5\)"),
        ("nowhere.txt", ConfigError, r"nowhere.txt: no object and frames .*or name a file"),
    ],
)
def test_malformed_absences(word: str, kind: type[Exception], cause: str) -> None:
    with pytest.raises(kind, match=cause):
        read_absences([word])
