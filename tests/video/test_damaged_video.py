"""Damage of every kind: each frame keeps its place, and what is lost is named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from video.numbered_clips import GROUP, make_numbered, number_of
from video.video_clips import make_clip

from propagate.video import probe, read_video
from propagate.video.reader import locate
from propagate.video.table import _aligned

KINDS = [
    (".ts", "libx264", 2),
    (".ts", "mpeg2video", 0),
    (".mkv", "libx264", 2),
    (".mp4", "libx264", 2),
    (".avi", "mpeg4", 0),
    (".avi", "libx264", 0),
]
Damage = Callable[[bytearray, np.random.Generator, int], None]


def flip(data: bytearray, random: np.random.Generator, place: int) -> None:
    data[place] ^= 1 << int(random.integers(8))


def zero(data: bytearray, random: np.random.Generator, place: int) -> None:
    length = int(random.choice([20, 200, 2000, 9000]))
    data[place : place + length] = bytes(len(data[place : place + length]))


def scribble(data: bytearray, random: np.random.Generator, place: int) -> None:
    length = len(data[place : place + int(random.choice([20, 2000, 9000]))])
    data[place : place + length] = random.bytes(length)


def remove(data: bytearray, random: np.random.Generator, place: int) -> None:
    del data[place : place + int(random.choice([1, 188, 500, 3000]))]


def wrong_places(path: Path, *, frames: int = 60) -> list[tuple[int, int | None]]:
    """Return frames that show another number, in groups of pictures in which nothing was reported."""
    with read_video(path) as reader:
        shown = {frame.index: number_of(frame.rgb) for frame in reader}
        hurt = {index // GROUP for index in (*reader.missing, *reader.patched)}
        assert len(shown) == frames or reader.info.ends_early
        assert sorted(shown) == list(range(len(shown)))
    return [(index, number) for index, number in shown.items() if number != index and index // GROUP not in hurt]


@pytest.mark.parametrize(("suffix", "codec", "between"), KINDS)
@pytest.mark.parametrize("harm", [flip, zero, scribble, remove])
def test_every_frame_keeps_its_place(tmp_path: Path, suffix: str, codec: str, between: int, harm: Damage) -> None:
    if suffix == ".mp4" and harm is remove:
        pytest.skip("an mp4 names its packets by their place in the file: bytes that are removed end it")
    path = make_numbered(tmp_path / f"a{suffix}", codec=codec, between=between)
    whole = path.read_bytes()
    random = np.random.default_rng(7)
    for _ in range(4):
        data = bytearray(whole)
        harm(data, random, int(random.integers(len(data) // 10, 9 * len(data) // 10)))
        path.write_bytes(data)
        assert wrong_places(path) == []


@pytest.mark.parametrize("suffix", [".ts", ".mkv", ".avi"])
def test_what_is_lost_is_counted_and_named(tmp_path: Path, suffix: str) -> None:
    path = make_numbered(tmp_path / f"a{suffix}", codec="mpeg4" if suffix == ".avi" else "libx264", between=0)
    data = bytearray(path.read_bytes())
    half = len(data) // 2
    data[half : half + 12000] = bytes(12000)
    path.write_bytes(data)
    info = probe(path)
    assert info.frames == 60
    assert info.lost >= 2
    assert f"frames lost to damage: {info.lost}; they keep their places" in info.problems
    with read_video(path) as reader:
        frames = list(reader)
        assert set(reader.missing) | set(reader.patched)
        assert len(reader.missing) >= info.lost - len(reader.patched)
    assert np.allclose(np.diff([frame.time for frame in frames]), 1 / 25, atol=0.002)
    assert number_of(frames[-1].rgb) == 59
    with read_video(path, start=50) as reader:
        assert number_of(next(iter(reader)).rgb) == 50


@pytest.mark.parametrize("suffix", [".ts", ".mkv", ".mp4", ".avi", ".nut"])
@pytest.mark.parametrize("between", [0, 2])
def test_frames_that_were_dropped_on_purpose_are_not_lost(tmp_path: Path, suffix: str, between: int) -> None:
    times = [time for time in range(40) if time not in (7, 8, 20, 31)]
    path = make_numbered(tmp_path / f"a{suffix}", frames=len(times), between=between, times=times)
    info = probe(path)
    assert (info.frames, info.lost, info.ends_early) == (36, 0, False)
    assert wrong_places(path, frames=36) == []


@pytest.mark.parametrize("suffix", [".mkv", ".ts", ".mp4", ".mov", ".nut", ".flv"])
@pytest.mark.parametrize("start", [-1.0, 0.5, 3.0, 100.0])
@pytest.mark.parametrize("tone", [False, True])
def test_a_clock_may_start_anywhere(tmp_path: Path, suffix: str, start: float, tone: bool) -> None:
    if tone and suffix == ".flv":
        pytest.skip("FLV has no sound of 48000 Hz")
    stamps = [int((start + index / 25) * 12800) for index in range(30)]
    path = make_clip(tmp_path / f"a{suffix}", frames=30, stamps=stamps, tone=tone)
    with read_video(path) as reader:
        shown = len(list(reader))
        assert not reader.damaged
        assert reader.missing == []
    info = probe(path)
    assert not info.ends_early
    assert shown == info.frames
    if suffix in (".mp4", ".mov") and start < 0:
        assert any("the file's edit list cuts the others" in line for line in info.problems)
    else:
        assert shown == 30


def test_pictures_of_an_edited_file_that_are_not_shown_are_no_damage(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.mp4", frames=12, stamps=[(index - 3) * 512 for index in range(12)], gop=12)
    info = probe(path)
    assert info.frames < 12
    assert not info.ends_early
    assert not any("the file holds" in line for line in info.problems)


def test_sizes_of_an_index_tell_which_chunks_are_lost() -> None:
    assert _aligned([5, 6, 7, 8, 9], [5, 7, 9]) == [0, 2, 4]
    assert _aligned([5, 6, 7, 8, 9], [5, 99, 8, 9]) == [0, 1, 3, 4]
    assert _aligned([1, 1, 1], [1, 1]) == [0, 1]


def test_a_time_in_nobodys_table_takes_only_a_free_place() -> None:
    assert locate((0, 10, 20, 30), 999, following=2) == 2
    assert locate((0, 10, 20, 30), 5, following=2) is None
