"""Decoding to small frames, preparing them on disk, and reading them again."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from training.small_footage import colored, counted, numbered, panned, prepare, sources_of
from video.video_clips import cut, make_clip

from propagate.errors import ConflictError, InputError, OutputError
from propagate.training.data import prepared as prepared_room
from propagate.training.data.decoding import DecodedFrames, Keep, Scan, Thinning
from propagate.training.data.footage import Footage, decoded_footage
from propagate.training.data.prepared import FrameFile, open_footage, prepare_videos
from propagate.training.data.sources import Sources
from propagate.video import read_video


@pytest.mark.parametrize(("rate", "kept"), [(None, 50), (25.0, 50), (24.0, 48), (6.0, 12), (60.0, 50), (0.5, 1)])
def test_thinning_keeps_at_most_the_rate(rate: float | None, kept: int) -> None:
    thinning = Thinning(rate)
    assert sum(thinning.keeps(100 + index / 25) for index in range(50)) == kept


@pytest.fixture
def videos(tmp_path: Path) -> Sources:
    """A folder with a cut, a long video of another size, and a file with B-frames."""
    joined = numbered(tmp_path / "a/cut", panned(10, seed=0) + colored(panned(8, seed=1), 40))
    long = numbered(tmp_path / "b/long", panned(80, seed=2, size=(48, 32)))
    return sources_of(joined, long, make_clip(tmp_path / "b/clip.mp4", frames=14))


def everything(footage: Footage) -> list[np.ndarray]:
    return [footage.read(shot, range(shot.frames)) for shot in footage.shots]


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_prepared_footage_is_the_video_itself(videos: Sources, tmp_path: Path) -> None:
    footage = prepare(videos, tmp_path / "small")
    assert [(s.source.name, s.group, s.start, s.frames, s.size) for s in footage.shots] == [
        ("cut", "a", 0, 10, (40, 56)),
        ("cut", "a", 10, 8, (40, 56)),
        ("long", "b", 0, 80, (48, 32)),
        ("clip.mp4", "b", 0, 14, (48, 64)),
    ]
    assert [round(shot.rate, 3) for shot in footage.shots] == [24.0, 24.0, 24.0, 25.0]
    shown = [np.stack([frame.rgb for frame in read_video(video.path)]) for video in videos.videos]
    for found, true in zip(everything(footage), [shown[0][:10], shown[0][10:], *shown[1:]], strict=True):
        assert_array_equal(found, true)
    assert_array_equal(footage.read(footage.shots[2], [70, 3, 3]), shown[1][[70, 3, 3]])


@pytest.mark.parametrize("memory", [0, 1 << 30])
@pytest.mark.parametrize("rate", [None, 7.0])
def test_footage_decoded_on_demand_is_the_prepared_one(
    videos: Sources, tmp_path: Path, memory: int, rate: float | None
) -> None:
    there = prepare(videos, tmp_path / "small", side=32, rate=rate)
    decoded = decoded_footage(videos, side=32, rate=rate, memory=memory)
    assert decoded.shots == there.shots
    assert decoded.digest == there.digest
    for one, other in zip(everything(decoded), everything(there), strict=True):
        assert_array_equal(one, other)


def test_only_as_many_frames_are_kept_in_memory_as_are_allowed(
    videos: Sources, caplog: pytest.LogCaptureFixture
) -> None:
    whole = decoded_footage(videos)
    assert not caplog.messages
    part = decoded_footage(videos, memory=200_000)
    assert "do not fit into 0.0 GiB of memory" in caplog.messages[0]
    store = part.store
    assert isinstance(store, DecodedFrames)
    for _ in range(2):
        everything(part)
        assert sum(block.nbytes for block in store._blocks.values()) == store._held <= 200_000
    for one, other in zip(everything(part), everything(whole), strict=True):
        assert_array_equal(one, other)


def test_frames_are_shrunken_with_antialiasing_and_thinned(tmp_path: Path) -> None:
    stripes = np.zeros((60, 80, 3), np.uint8)
    stripes[:, ::2] = 200
    footage = prepare(sources_of(numbered(tmp_path / "v", [stripes] * 48)), tmp_path / "small", side=15, rate=6)
    (shot,) = footage.shots
    assert (shot.frames, shot.rate, shot.size) == (12, 6.0, (15, 20))
    assert np.abs(footage.read(shot, [3])[0, :, 1:-1].astype(int) - 100).max() <= 15  # aliased: 0 or 200


def test_a_shot_ends_where_frames_are_lost(tmp_path: Path) -> None:
    folder = numbered(tmp_path / "v", panned(12, seed=0))
    (folder / "00005.png").write_bytes(b"broken")
    footage = prepare(sources_of(folder), tmp_path / "small")
    assert [(shot.start, shot.frames) for shot in footage.shots] == [(0, 5), (5, 6)]
    decoded = decoded_footage(sources_of(folder), memory=0)
    for one, other in zip(everything(footage), everything(decoded), strict=True):
        assert_array_equal(one, other)


def test_what_cannot_be_decoded_is_skipped_with_a_reason(
    videos: Sources, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "text.mp4").write_text("this is no video\n" * 40)
    broken = cut(make_clip(tmp_path / "broken.mp4", frames=30, faststart=False), 0.5)
    one = make_clip(tmp_path / "one.mp4", frames=1)
    sound = make_clip(tmp_path / "sound.mp4", frames=1, tone=True)
    bad = sources_of(tmp_path / "text.mp4", broken, one, sound, tmp_path / "gone.mp4")
    found = prepare(Sources((*bad.videos, *videos.videos), ()), tmp_path / "small")
    reasons = {path.name: reason for path, reason in found.skipped}
    assert "not a video that FFmpeg can open" in reasons["text.mp4"]
    assert "cut off" in reasons["broken.mp4"]
    assert reasons["one.mp4"].startswith("one frame only")
    assert reasons["sound.mp4"].startswith("one frame only")
    assert "No such file" in reasons["gone.mp4"]
    assert len(found.shots) == 4
    assert open_footage(tmp_path / "small").skipped == found.skipped
    decoded = decoded_footage(Sources((*bad.videos, *videos.videos), ()))
    assert [path for path, _ in decoded.skipped] == [path for path, _ in found.skipped]
    with pytest.raises(InputError, match=r"no video is left to learn from, 5 skipped: text\.mp4: not a video"):
        prepare(bad, tmp_path / "none")
    with pytest.raises(InputError, match="no video is left to learn from, 5 skipped"):
        decoded_footage(bad)


def test_several_workers_write_the_same_bytes(videos: Sources, tmp_path: Path) -> None:
    prepare(videos, tmp_path / "one")
    seen = [Path(video.source) for video in prepare_videos(videos, tmp_path / "three", workers=3)]
    assert content(tmp_path / "one") == content(tmp_path / "three")
    assert seen == [video.path for video in videos.videos]


def test_a_preparation_that_was_stopped_goes_on_to_the_same_bytes(
    videos: Sources, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(videos, tmp_path / "whole")
    scan = prepared_room.scan
    decoded: list[str] = []
    stopping = True

    def scanning(path: Path, *, side: int, rate: float | None, keep: Keep) -> Scan:
        decoded.append(path.name)

        def keep_some(picture: np.ndarray) -> None:
            if stopping and path.name != "cut":
                raise KeyboardInterrupt
            keep(picture)

        return scan(path, side=side, rate=rate, keep=keep_some)

    monkeypatch.setattr(prepared_room, "scan", scanning)
    with pytest.raises(KeyboardInterrupt):
        prepare(videos, tmp_path / "small")
    half = next(path for path in content(tmp_path / "whole") if path.endswith(".npy"))
    (tmp_path / "small" / f".{half}.partial").write_bytes(b"left by a kill")
    with pytest.raises(InputError, match=r"index\.json is missing \(prepare again: it goes on"):
        open_footage(tmp_path / "small")
    stopping = False
    decoded.clear()
    prepare(videos, tmp_path / "small")
    assert decoded == ["long", "clip.mp4"]
    (tmp_path / "small" / f".{half}.partial").unlink(missing_ok=True)  # of a video that was finished: it stays
    assert content(tmp_path / "small") == content(tmp_path / "whole")
    prepare(videos, tmp_path / "small")
    assert decoded == ["long", "clip.mp4"]


def test_a_changed_video_and_a_cut_off_file_are_prepared_again(videos: Sources, tmp_path: Path) -> None:
    small = tmp_path / "small"
    before = everything(prepare(videos, small))
    shutil.rmtree(videos.videos[1].path)
    numbered(videos.videos[1].path, panned(20, seed=9, size=(48, 32)))
    notes = [json.loads(path.read_text()) for path in small.glob("?*.json") if path.stem not in ("index", "settings")]
    (file,) = (note["file"] for note in notes if note["source"].endswith("clip.mp4"))
    os.truncate(small / file, 2000)
    with pytest.raises(InputError, match=f"{file}: missing or cut off"):
        open_footage(small)
    after = everything(prepare(videos, small))
    for index in (0, 1, 3):
        assert_array_equal(after[index], before[index])
    assert_array_equal(after[2], np.stack(panned(20, seed=9, size=(48, 32))))


def test_the_videos_are_not_needed_once_prepared(videos: Sources, tmp_path: Path) -> None:
    before = everything(prepare(videos, tmp_path / "small"))
    shutil.rmtree(tmp_path / "a")
    shutil.rmtree(tmp_path / "b")
    for one, other in zip(everything(open_footage(tmp_path / "small")), before, strict=True):
        assert_array_equal(one, other)


def test_other_settings_and_other_files_are_refused(videos: Sources, tmp_path: Path) -> None:
    prepare(videos, tmp_path / "small", side=32)
    with pytest.raises(ConflictError, match="holds footage of other settings: side 32, not 24, rate None, not 6"):
        prepare(videos, tmp_path / "small", side=24, rate=6)
    with pytest.raises(ConflictError, match="holds other files, such as clip"):
        prepare(videos, tmp_path / "b")
    assert [path.name for path in (tmp_path / "b").iterdir() if path.suffix == ".json"] == []


def test_a_full_disk_is_said_and_leaves_no_half_file(tmp_path: Path) -> None:
    class Full:
        def write(self, _: object) -> int:
            raise OSError(28, "No space left on device")

        def close(self) -> None:
            return

    def fill() -> None:
        with FrameFile(tmp_path / "x.npy") as file:
            file._file.close()
            file._file = Full()  # type: ignore[assignment]
            file.append(np.zeros((2, 2, 3), np.uint8))

    with pytest.raises(OutputError, match=r"x\.npy: cannot be written: No space left"):
        fill()
    assert not list(tmp_path.iterdir())


def test_files_of_frames_are_plain_npy(videos: Sources, tmp_path: Path) -> None:
    prepare(videos, tmp_path / "small")
    shapes = sorted(np.load(path).shape for path in (tmp_path / "small").glob("*.npy"))
    assert shapes == [(14, 48, 64, 3), (18, 40, 56, 3), (80, 48, 32, 3)]


def test_held_out_videos_are_others_than_those_trained_on(videos: Sources) -> None:
    footage = counted(*[("a", 10)] * 20)
    train, held = footage.split_held_out(0.1, 3)
    assert len(held.shots) == 2
    assert {*train.shots, *held.shots} == {*footage.shots}
    assert not {shot.source for shot in train.shots} & {shot.source for shot in held.shots}
    assert footage.split_held_out(0.1, 3) == (train, held)
    assert footage.split_held_out(0.1, 4)[1] != held
    assert not footage.split_held_out(0.0, 3)[1].shots
    assert len(footage.split_held_out(0.001, 3)[1].shots) == 1
    assert not counted(("a", 10)).split_held_out(0.5, 0)[1].shots


def test_both_shots_of_a_video_stay_together(videos: Sources) -> None:
    footage = decoded_footage(videos)
    for seed in range(6):
        train, held = footage.split_held_out(0.3, seed)
        assert len({shot.source for shot in held.shots}) == 1
        assert len(train.shots) + len(held.shots) == 4
        assert not {shot.source for shot in train.shots} & {shot.source for shot in held.shots}


def test_single_frames_are_sampled_from_all_groups() -> None:
    footage = counted(("a", 200), ("a", 200), ("b", 3))
    frames = footage.sample(60, size=8, seed=0)
    assert tuple(frames.shape) == (60, 3, 8, 8)
    shots = frames[:, 0, 0, 0]
    assert {*shots.tolist()} == {0, 1, 2}
    assert 18 <= int((shots == 2).sum()) <= 42
    assert bool((footage.sample(60, size=8, seed=0) == frames).all())


def test_a_position_outside_a_shot_is_an_error() -> None:
    footage = counted(("a", 5))
    with pytest.raises(ValueError, match="5 frames, but asked for"):
        footage.read(footage.shots[0], [0, 5])
