"""A run as the library offers it, without the command line: yields, stops, continues."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage import data

from propagate.commands.keypoints import parse_skeleton
from propagate.commands.masks import open_masks
from propagate.errors import ConfigError
from propagate.runs.inputs import parse_place
from propagate.runs.request import Request
from propagate.runs.run import StoppedError

Tree = dict[str, bytes]


@pytest.fixture
def frames(tmp_path: Path) -> Path:
    """Return a folder of eight pictures in which a red square moves over noise, and its first mask beside it."""
    noise = np.random.default_rng(0).integers(0, 100, (48, 64, 3), dtype=np.uint8)
    (tmp_path / "frames").mkdir()
    for index in range(8):
        picture = noise.copy()
        picture[8:32, 4 * index : 4 * index + 24] = (220, 30, 20)
        Image.fromarray(picture).save(tmp_path / f"frames/{index}.png")
    mask = np.zeros((48, 64), np.uint8)
    mask[8:32, :24] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    return tmp_path


def request(folder: Path, name: str, **more: object) -> Request:
    return Request(str(folder / "frames"), folder / name, **more)  # type: ignore[arg-type]


def tree(folder: Path) -> Tree:
    return {
        str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file() and ".state" not in p.parts
    }


def test_a_run_left_early_continues_where_it_was(frames: Path) -> None:
    labels = [str(frames / "mask.png")]
    whole = open_masks(request(frames, "whole"), labels)
    assert len(list(whole)) == whole.done == whole.total == 8
    part = open_masks(request(frames, "part"), labels)
    steps = iter(part)
    assert [prediction.frame.index for prediction in islice(steps, 3)] == [0, 1, 2]
    steps.close()
    part.close()
    again = open_masks(request(frames, "part"), labels)
    assert (again.done, [prediction.frame.index for prediction in again]) == (3, [3, 4, 5, 6, 7])
    assert tree(frames / "part") == tree(frames / "whole")


def test_a_run_is_stopped_between_two_frames(frames: Path) -> None:
    run = open_masks(request(frames, "out", stop=lambda: 15, cuts="off"), [str(frames / "mask.png")])
    with pytest.raises(StoppedError, match=r"stopped after 1 of 8 frames \(the same command continues\)$") as caught:
        list(run)
    assert caught.value.exit_code == 143


def test_files_that_were_taken_away_are_made_again(frames: Path) -> None:
    labels = [str(frames / "mask.png")]
    run = open_masks(request(frames, "out", stop=lambda: 2, cuts="off"), labels)
    with pytest.raises(StoppedError):
        list(run)
    run.close()
    (frames / "out/masks/0.png").unlink()
    again = open_masks(request(frames, "out", cuts="off"), labels)
    assert again.done == 0
    assert [prediction.frame.index for prediction in again] == list(range(8))
    assert (frames / "out/masks/0.png").is_file()


@pytest.mark.parametrize(("word", "place"), [(None, None), ("12", 12), ("12s", 12.0), ("1.5s", 1.5), (".5s", 0.5)])
def test_places_are_frames_or_seconds(word: str | None, place: float | None) -> None:
    found = parse_place(word)
    assert (found, type(found)) == (place, type(place))


@pytest.mark.parametrize("word", ["-1", "1.5", "s", "1:30", ""])
def test_other_words_are_no_places(word: str) -> None:
    with pytest.raises(ConfigError, match="is no place in a video"):
        parse_place(word)


def test_skeletons() -> None:
    assert parse_skeleton("a-b, b-c") == (("a", "b"), ("b", "c"))
    assert parse_skeleton("left-hip:knee") == (("left-hip", "knee"),)
    with pytest.raises(ConfigError, match="'a' joins no two points"):
        parse_skeleton("a")


def test_a_cut_in_the_last_frames_is_found_whether_or_not_a_run_goes_further(tmp_path: Path) -> None:
    (tmp_path / "frames").mkdir()
    for index in range(24):
        rgb = (data.astronaut(), data.coffee())[index // 12][40:136, 40 + index : 168 + index]
        Image.fromarray(rgb).save(tmp_path / "frames" / f"{index:02d}.png")
    mask = np.zeros((96, 128), np.uint8)
    mask[20:60, 20:60] = 1
    Image.fromarray(mask).save(tmp_path / "mask.png")
    found = {}
    for name, ends in {"further": ("13", None), "whole": (None,)}.items():
        for end in ends:
            run = open_masks(request(tmp_path, name, end=end), [str(tmp_path / "mask.png")])
            list(run)
            run.close()
        found[name] = tree(tmp_path / name)
    assert b'"cut": true' in found["whole"]["results.jsonl"]
    assert found["further"]["results.jsonl"] == found["whole"]["results.jsonl"]
    assert {path: data for path, data in found["further"].items() if path.startswith("masks")} == {
        path: data for path, data in found["whole"].items() if path.startswith("masks")
    }
