"""Cuts: found in clips of photographs whose truth is exact, not found in anything else that moves, read from files."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from photographs import PHOTOS, photograph
from propagate.errors import InputError
from propagate.values import Frame
from propagate.video import read_video
from propagate.video.cuts import DELAY, CutFinder, marked, read_cuts, resolve_cuts
from rendered import render, two_objects

RGB = NDArray[np.uint8]
SIZE = (144, 256)
STILL = np.zeros((20, 3))
LISTED = "Scene Number,Start Frame,Start Timecode,Start Time (seconds),End Frame\n"


def filmed(photo: str, windows: Iterable[Sequence[float]]) -> list[RGB]:
    """Return frames (H, W, 3) of a camera over a photograph: x, y of each window's corner and its width, in pictures.

    The photograph is three pictures wide and high at least.
    """
    height, width = SIZE
    pixels = photograph(photo, cover=(3 * height, 3 * width))
    image = Image.fromarray(np.rint(pixels.transpose(1, 2, 0)).clip(0, 255).astype(np.uint8))
    frames = []
    for x, y, wide in windows:
        box = (x * width, y * height, (x + wide) * width, (y + wide) * height)
        frames.append(np.asarray(image.resize((width, height), Image.Resampling.BILINEAR, box=box)))
    return frames


def drift(count: int, *, start: tuple[float, float] = (0.8, 0.8), step: float = 0.01) -> list[tuple[float, ...]]:
    return [(start[0] + step * n, start[1] + step * n / 2, 1.0) for n in range(count)]


def shaken(count: int, *, amount: float = 0.06) -> list[tuple[float, ...]]:
    moves = np.random.default_rng(3).uniform(-amount, amount, (count, 2))
    return [(0.8 + x, 0.8 + y, 1.0) for x, y in moves]


def as_frames(pictures: Iterable[RGB], *, lost: Sequence[int] = ()) -> list[Frame]:
    return [Frame(n, n / 25, rgb, f"{n:05d}", undecodable=n in lost) for n, rgb in enumerate(pictures)]


def cuts_of(pictures: Iterable[RGB], *, lost: Sequence[int] = (), shortest: int = 6) -> list[int]:
    """Return the indices of the frames with which a shot begins, after a look at whether every frame came, in order."""
    frames = as_frames(pictures, lost=lost)
    found = list(marked(frames, shortest=shortest))
    assert [frame for frame, _ in found] == frames
    return [frame.index for frame, begins in found if begins]


def joined(*shots: Sequence[RGB]) -> tuple[list[RGB], list[int]]:
    """Return shots one after another, and where they begin but the first."""
    return list(chain(*shots)), np.cumsum([len(shot) for shot in shots])[:-1].tolist()


def with_noise(pictures: Sequence[RGB], sigma: float) -> list[RGB]:
    rng = np.random.default_rng(5)
    return [np.clip(rgb + rng.normal(0, sigma, rgb.shape), 0, 255).astype(np.uint8) for rgb in pictures]


def brighter(rgb: RGB, factor: float) -> RGB:
    return np.clip(rgb * factor, 0, 255).astype(np.uint8)


def white(pictures: list[RGB], *places: int) -> list[RGB]:
    return [np.full_like(rgb, 255) if n in places else rgb for n, rgb in enumerate(pictures)]


CAT = filmed("chelsea", drift(30))
COFFEE = filmed("coffee", drift(30))


# What is a cut


@pytest.mark.parametrize("first", PHOTOS)
def test_cuts_between_photographs(first: str) -> None:
    shots = [filmed(name, drift(12)) for other in PHOTOS if other != first for name in (first, other)]
    pictures, truth = joined(*shots)
    assert cuts_of(pictures) == truth


@pytest.mark.parametrize("photo", sorted(PHOTOS.keys() - {"hubble"}))  # stars are alike everywhere
def test_a_cut_between_two_pieces_of_one_photograph(photo: str) -> None:
    pictures, truth = joined(filmed(photo, drift(15, start=(0.1, 0.2))), filmed(photo, drift(15, start=(1.6, 1.5))))
    assert cuts_of(pictures) == truth


def test_a_cut_to_a_closer_view() -> None:
    pictures, truth = joined(filmed("astronaut", [(0.5, 0.2, 2.0)] * 12), filmed("astronaut", [(1.0, 0.4, 0.8)] * 12))
    assert cuts_of(pictures) == truth


@pytest.mark.parametrize("step", [0.0, 0.03, 0.06])
def test_a_cut_between_moving_cameras(step: float) -> None:
    pictures, truth = joined(
        filmed("coffee", drift(14, start=(0.2, 0.5), step=step)),
        filmed("motorcycle", drift(14, start=(0.2, 0.5), step=step)),
    )
    assert cuts_of(pictures) == truth


def test_cuts_in_noise_and_in_grey() -> None:
    pictures, truth = joined(CAT, COFFEE, CAT)
    assert cuts_of(with_noise(pictures, 30)) == truth
    assert cuts_of([np.repeat(rgb[..., 1:2], 3, axis=2) for rgb in pictures]) == truth


def test_a_cut_while_every_fifth_frame_is_repeated() -> None:
    pictures, _ = joined([rgb for n, rgb in enumerate(CAT) for _ in range(1 + (n % 4 == 3))], COFFEE)
    assert cuts_of(pictures) == [37]


@pytest.mark.parametrize("size", [(5, 3), (48, 64), (270, 150), (1080, 1920)])
def test_a_cut_in_pictures_of_any_size(size: tuple[int, int]) -> None:
    small = [np.asarray(Image.fromarray(rgb).resize(size[::-1])) for rgb in (CAT[0], COFFEE[0])]
    assert cuts_of([small[0]] * 8 + [small[1]] * 8) == [8]


# What is none


@pytest.mark.parametrize("photo", PHOTOS)
@pytest.mark.parametrize(
    "windows",
    [
        pytest.param([(0.05 + 0.12 * n, 0.9, 1.0) for n in range(16)], id="fast pan"),
        pytest.param([(1.0, 1.9 - 0.12 * n, 1.0) for n in range(16)], id="fast tilt"),
        pytest.param(
            [(1.0, 1.0, 1.0)] * 8 + [(1.0 - 0.08 * n, 1.0, 1.0) for n in range(12)], id="a pan begins at once"
        ),
        pytest.param([(1.5 - 0.5 * 1.06**n, 1.5 - 0.5 * 1.06**n, 1.06**n) for n in range(18)], id="zoom out"),
        pytest.param([(1.5 - 1.4 * 0.94**n, 1.5 - 1.4 * 0.94**n, 2.8 * 0.94**n) for n in range(24)], id="zoom in"),
        pytest.param(shaken(30), id="shake"),
        pytest.param([(1.0, 1.0, 1.0)] * 30, id="still"),
    ],
)
def test_a_moving_camera_is_no_cut(photo: str, windows: Sequence[Sequence[float]]) -> None:
    assert cuts_of(filmed(photo, windows)) == []


@pytest.mark.parametrize("places", [(10,), (10, 11), (0,), (29,), (8, 14, 20), tuple(range(1, 30, 2))], ids=str)
@pytest.mark.parametrize("level", [0, 255])
def test_a_flash_or_a_black_frame_is_no_cut(places: tuple[int, ...], level: int) -> None:
    assert cuts_of([np.full_like(rgb, level) if n in places else rgb for n, rgb in enumerate(CAT)]) == []


@pytest.mark.parametrize("level", [0, 255])
def test_a_flash_at_a_cut_is_one_cut(level: int) -> None:
    pictures, (begin,) = joined(CAT, COFFEE)
    for place in (begin - 1, begin):
        flashed = [np.full_like(rgb, level) if n == place else rgb for n, rgb in enumerate(pictures)]
        assert cuts_of(flashed) in ([place], [place + 1])


@pytest.mark.parametrize("place", [20, 27, 29, 30, 31, 40])
def test_frames_that_could_not_be_decoded_neither_make_nor_hide_a_cut(place: int) -> None:
    pictures, (begin,) = joined(CAT, COFFEE)
    for count in (1, 3):
        lost = list(range(place, place + count))
        shown = [pictures[place - 1] if n in lost else rgb for n, rgb in enumerate(pictures)]
        first = next(n for n in range(begin, 60) if n not in lost)
        assert cuts_of(shown, lost=lost) == [first]


def test_a_video_that_begins_undecodable() -> None:
    shown = [np.zeros_like(rgb) if n < 10 else rgb for n, rgb in enumerate(CAT)]
    assert cuts_of(shown, lost=range(10)) == []
    assert cuts_of(shown, lost=range(30)) == []


def test_light_that_changes_is_no_cut() -> None:
    up, down = np.linspace(0.2, 1.8, 10), np.linspace(1, 0, 12)
    assert cuts_of([brighter(rgb, f) for rgb, f in zip(CAT, [0.2] * 8 + up.tolist() + [1.8] * 12, strict=True)]) == []
    assert cuts_of([brighter(rgb, f) for rgb, f in zip(CAT, [1] * 8 + down.tolist() + [0] * 10, strict=True)]) == []
    assert cuts_of([brighter(rgb, 1.0 if n % 4 < 2 else 0.5) for n, rgb in enumerate(CAT)]) == []


@pytest.mark.parametrize("speed", [20, 40, 100])
def test_an_object_that_enters_quickly_is_no_cut(speed: int) -> None:
    pictures = []
    for n, rgb in enumerate(CAT):
        reach = min(100, max(0, n - 12) * speed)  # of 256: a third of the picture, at once or in five frames
        shown = rgb.copy()
        shown[10:134, :reach] = COFFEE[0][10:134, 256 - reach :]
        pictures.append(shown)
    assert cuts_of(pictures) == []


def test_noise_is_no_cut() -> None:
    assert cuts_of(with_noise(CAT, 40)) == []
    assert cuts_of(with_noise([np.full((*SIZE, 3), 20, np.uint8)] * 20, 20)) == []
    assert cuts_of([np.zeros((*SIZE, 3), np.uint8)] * 20) == []


def test_objects_that_cross_are_no_cut() -> None:
    for clip in (render(frames=14, motion="rotate", drift=60), two_objects(frames=14)):
        assert cuts_of(clip.frames) == []


# How frames come and go


def test_no_shot_is_shorter_than_the_shortest() -> None:
    pictures, (first, second) = joined(CAT[:12], COFFEE[:7], CAT[12:])
    assert cuts_of(pictures) == [first, second]
    assert cuts_of(pictures, shortest=8) == [first]
    with pytest.raises(ValueError, match="3 frames or more, not 2"):
        CutFinder(shortest=2)


def test_an_answer_waits_for_two_frames_and_the_last_two_get_none() -> None:
    pictures, (begin,) = joined(CAT[:10], COFFEE[:10])
    finder = CutFinder()
    answers = [finder.add(rgb) for rgb in pictures]
    assert answers == [None] * DELAY + [n == begin for n in range(20 - DELAY)]
    taken: list[int] = []

    def coming() -> Iterable[Frame]:
        for frame in as_frames(pictures):
            taken.append(frame.index)
            yield frame

    for frame, _ in marked(coming()):
        assert taken[-1] == min(19, frame.index + DELAY)


def test_a_cut_in_the_last_two_frames_is_missed() -> None:
    assert cuts_of(CAT[:10] + COFFEE[:2]) == []
    assert cuts_of(CAT[:10] + COFFEE[:3]) == [10]


def test_a_new_size_in_the_middle_is_refused() -> None:
    finder = CutFinder()
    finder.add(CAT[0])
    with pytest.raises(ValueError, match="one size"):
        finder.add(CAT[0].transpose(1, 0, 2))


def test_given_cuts_are_marked_at_once() -> None:
    frames = as_frames(CAT[:6])
    assert [frame.index for frame, begins in marked(iter(frames), frozenset({0, 3, 99})) if begins] == [3]
    assert [frame.index for frame, begins in marked(frames[2:], frozenset({2, 4})) if begins] == [4]
    assert not any(begins for _, begins in marked(frames, frozenset()))
    assert list(marked([])) == []


# Lists


def written(folder: Path, content: str | bytes) -> Path:
    path = folder / "cuts.txt"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.mark.parametrize(
    ("content", "cuts"),
    [
        ("12\n40\n", {12, 40}),
        ("\ufeff40\r\n\r\n 12 \r\n40", {12, 40}),
        ("# by hand\n0\n12 # the cat\n007\n", {7, 12}),
        ("", set()),
        ("# none\n", set()),
        (f"Timecode List:,00:00:01.600\n{LISTED}1,1,00:00:00.000,0.000,40\n2,41,00:00:01.600,1.600,80\n", {40}),
        (f"{LISTED}1,251,a,10.0,300\n2,301,b,12.0,350\n\n3,351,c,14.0,400\n", {300, 350}),
        (f"Timecode List:\n{LISTED}1,0,00:00:00.000,0.000,40\n2,40,00:00:01.600,1.600,80\n", {40}),
        (f"\n{LISTED}1,1,a,0,80\n", set()),
        (LISTED, set()),
    ],
)
def test_a_list_of_cuts(tmp_path: Path, content: str, cuts: set[int]) -> None:
    assert read_cuts(written(tmp_path, content)) == cuts
    assert resolve_cuts(str(tmp_path / "cuts.txt"), frame_count=500) == cuts


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("12\n-3\n", r"cuts.txt, line 2: '-3' is no frame"),
        ("1.5\n", "line 1: '1.5' is no frame"),
        ("1e3\n", "line 1: '1e3' is no frame"),
        ("１２\n", "line 1: '１２' is no frame"),
        ("12,40\n", "line 1: '12,40' is no frame"),
        ("00:00:12.000\n", "line 1: '00:00:12.000' is no frame"),
        ("9" * 5000, r"line 1: '9{39}\.\.\. \(5000 characters\) is no frame"),
        ("12\n500\n", "line 2: a cut at frame 500, but the video has 500: 0 to 499"),
        (b"\xff\xfe1\x002\x00", "not a text file in UTF-8"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", "not a text file in UTF-8"),
        ("\x00\x00", r"line 1: '\\x00\\x00' is no frame"),
        (f"{LISTED}1,1\n2\n", "line 3: '' is no frame"),
        (f"{LISTED}1,1\n2,0\n", "line 3: '0' is no frame"),
        (f'{LISTED}1,1\n2,"4', "not a table as PySceneDetect writes it: unexpected end"),
        (f"{LISTED}1,1\n2,{'x' * 200_000}\n", "not a table as PySceneDetect writes it: field larger"),
        ("the start frame is 4\n", "not a table as PySceneDetect writes it"),
    ],
)
def test_what_is_no_list_is_refused_in_one_line(tmp_path: Path, content: str | bytes, message: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        read_cuts(written(tmp_path, content), frame_count=500)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 400 + len(str(tmp_path))


def test_a_list_that_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name, message in (("", "a folder"), ("pipe", "a pipe"), ("none", "no such file"), ("no\0ne", "no such file")):
        with pytest.raises(InputError, match=message):
            resolve_cuts(str(tmp_path / name))
    with pytest.raises(InputError, match="'on': there is no such file .cuts are auto, off or a list in a file"):
        resolve_cuts("on")
    with pytest.raises(InputError, match="are no list of cuts"):
        read_cuts(written(tmp_path, b"1\n" * 2**23 + b"\n"))


def test_auto_and_off() -> None:
    assert resolve_cuts("auto") is None
    assert resolve_cuts("off") == frozenset()


# Real video


@pytest.mark.slow
def test_there_is_no_cut_in_davis(shared_data: Path) -> None:
    for folder in sorted((shared_data / "davis_dev/JPEGImages").glob("*/*")):
        with read_video(folder) as reader:
            assert [frame.index for frame, begins in marked(reader) if begins] == [], folder.name


@pytest.mark.slow
def test_every_cut_between_clips_of_davis_is_found(shared_data: Path) -> None:
    folders = sorted((shared_data / "davis_dev/JPEGImages/480p").iterdir())
    shots = []
    for folder in folders:
        with read_video(folder, end=20) as reader:
            shots.append([np.asarray(Image.fromarray(frame.rgb).resize((854, 480))) for frame in reader])
    pictures, truth = joined(*shots)
    assert cuts_of(pictures) == truth
