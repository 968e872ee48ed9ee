from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import shots
from propagate.formats.indexed_png import read_mask
from propagate.video import read_video


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shots, "FRAMES", 3)


def test_the_view_from_the_right_camera_is_what_it_saw() -> None:
    left, right, disparity = shots._stereo_pair()
    seen = np.s_[20:-20, 80:-80]  # where both cameras look
    np.testing.assert_allclose(shots._view_between(left, right, disparity, at=0.0), left, atol=1e-9)
    made = shots._view_between(left, right, disparity, at=1.0)
    assert np.abs(made - right)[seen].mean() < 0.3 * np.abs(left - right)[seen].mean()


def test_pixels_move_by_their_flow() -> None:
    photo = np.zeros((9, 9, 3))
    photo[4, 3] = 1
    moved = shots._displace(photo, np.full((9, 9, 2), [2.0, -1.0]))
    assert moved[3, 5, 0] == pytest.approx(1)
    assert moved.sum() == pytest.approx(3)


@pytest.mark.parametrize("name", ["cat", "astronaut"])
def test_a_shot_moves(name: str) -> None:
    frames = getattr(shots, name)()
    assert frames.shape == (3, *shots.SIZE, 3)
    assert frames.dtype == np.uint8
    assert np.abs(frames[0].astype(int) - frames[-1]).mean() > 5


def test_the_demos_clip_and_its_first_mask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["shots.py", str(tmp_path)])
    shots.main()
    mask = read_mask(tmp_path / "first_mask.png")
    assert mask.objects == (1,)
    assert 0.15 < (mask.ids == 1).mean() < 0.4
    with read_video(tmp_path / "clip.mp4") as video:
        assert [frame.size for frame in video] == [mask.ids.shape] * 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clip.mp4", "first_mask.png"]
