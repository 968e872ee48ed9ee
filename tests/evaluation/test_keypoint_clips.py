"""Labelled clips of one's own, scored to numbers worked by hand."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from pose_trees import noise, write_frames

from propagate.baselines.warp_propagation import identity
from propagate.errors import InputError
from propagate.evaluation.benchmarks.keypoint_clips import KeypointClips
from propagate.evaluation.protocol import Tracker
from rendered import render, write_clip


def standing(label: str) -> Tracker:
    assert label == "keypoints"
    return identity


def corners(frames: int, *, step: float = 0.0, at: tuple[float, float] = (5, 4)) -> np.ndarray:
    """Return (T, 4, 2) corners of a box of 30 x 40 that moves right: PCK's unit is 30 pixels, PCKmax's 40."""
    box = np.array([[0, 0], [30, 0], [0, 40], [30, 40]]) + np.array(at)
    return box[None] + step * np.arange(frames)[:, None, None] * np.array([1.0, 0.0])


def clip(folder: Path, name: str = "walk", *, length: int = 5, **truth: object) -> Path:
    write_frames(folder / name, noise(length), first=0)
    np.savez(folder / f"{name}.npz", **{"xy": corners(length, step=2.9), **truth})
    return folder


def test_identity_gets_what_is_worked_by_hand(tmp_path: Path) -> None:
    bench = KeypointClips(clip(tmp_path / "data"))
    [sequence] = bench.list_sequences()
    scores = bench.evaluate(sequence, standing, tmp_path / "out")
    # off by 2.9, 5.8, 8.7 and 11.6: .097 .193 .29 .387 of 30, .0725 .145 .2175 .29 of 40
    expected = {"PCK@.1": 1 / 4, "PCK@.2": 2 / 4, "PCK@.3": 3 / 4, "PCK@.4": 1.0, "PCKmax@.2": 2 / 4, "PCKmax@.3": 1.0}
    expected |= {"PCKstrict@.1": 1 / 4, "lost": 0.0, "pixels": (2.9 + 5.8 + 8.7 + 11.6) / 4}
    summary = bench.summary([scores])
    assert {name: summary[name] for name in expected} == pytest.approx(expected, abs=1e-4)
    assert list(summary) == [measure.name for measure in bench.measures]
    assert tuple(scores.units) == ("0", "1", "2", "3")
    assert scores.facts == {"objects": 1, "points": 4}


def test_several_animals_have_a_box_each(tmp_path: Path) -> None:
    near, far = corners(3), corners(3, step=2.0, at=(20, 4))
    far = 20 + (far - 20) / 10  # a small one: the unit is 3 pixels, and it moves by .2 a frame
    both = np.stack([near, far], axis=1)  # (T, 2, 4, 2)
    bench = KeypointClips(clip(tmp_path / "data", length=3, xy=both, names=["nose", "tail", "wing", "leg"]))
    scores = bench.evaluate(bench.list_sequences()[0], standing, tmp_path / "out")
    assert list(scores.units)[3:5] == ["1/leg", "2/nose"]
    np.testing.assert_allclose(scores.units["1/nose"]["instance"], [0, 0])
    np.testing.assert_allclose(scores.units["2/nose"]["instance"], [0.2 / 3, 0.4 / 3], atol=1e-3)
    np.testing.assert_allclose(scores.units["2/nose"]["max"], [0.2 / 4, 0.4 / 4], atol=1e-3)
    assert bench.summary([scores])["PCK@.1"] == pytest.approx((4 * 1 + 4 * 1 / 2) / 8)
    assert scores.facts == {"objects": 2, "points": 8}


def test_every_clip_counts_the_same(tmp_path: Path) -> None:
    clip(tmp_path / "data", "long")
    clip(tmp_path / "data", "short", length=2, xy=corners(2)[:, :3])
    bench = KeypointClips(tmp_path / "data")
    scores = [bench.evaluate(sequence, standing, tmp_path / "out") for sequence in bench.list_sequences()]
    assert bench.summary(scores)["PCK@.1"] == pytest.approx((1 / 4 + 1) / 2)
    assert bench.summary(scores)["pixels"] == pytest.approx((7.25 + 0) / 2, abs=1e-4)


def test_labels_may_be_sparse_partly_hidden_and_start_late(tmp_path: Path) -> None:
    xy = corners(3, step=2.9)
    visible = np.ones((3, 4), dtype=bool)
    visible[0, 3] = False  # not given: never scored
    visible[2, 0] = False  # unknown there
    bench = KeypointClips(clip(tmp_path / "data", length=8))
    np.savez(tmp_path / "data/walk.npz", xy=xy, visible=visible, frames=[2, 4, 6], size=(64, 48))
    scores = bench.evaluate(bench.list_sequences()[0], standing, tmp_path / "out")
    assert scores.frames == (4, 6)
    assert tuple(scores.units) == ("0", "1", "2")
    assert scores.notes == ("1 of 4 points are not on the first labelled frame: they are not scored",)
    np.testing.assert_allclose(scores.units["0"]["pixels"], [2.9, np.nan], atol=1e-3)
    np.testing.assert_allclose(scores.units["1"]["pixels"], [2.9, 5.8], atol=1e-3)
    first = (tmp_path / "out/walk.csv").read_text().splitlines()[1]
    assert first.startswith("2,00002,")  # nothing before the first labelled frame is looked at


def test_only_the_first_frames_can_be_asked_for(tmp_path: Path) -> None:
    root = clip(tmp_path / "data")
    bench = KeypointClips(root, frames=3)
    assert bench.evaluate(bench.list_sequences()[0], standing, tmp_path / "out").frames == (1, 2)
    bench = KeypointClips(root, frames=1)
    with pytest.raises(InputError, match="no second labelled frame among the first 1 frames"):
        bench.evaluate(bench.list_sequences()[0], standing, tmp_path / "out")


def test_csv_truth_and_a_video_in_another_place(tmp_path: Path) -> None:
    data, videos = tmp_path / "data", tmp_path / "videos"
    data.mkdir()
    write_frames(videos / "walk", noise(2), first=0)
    lines = [f"{frame},{name},{x},10" for frame in (0, 1) for name, x in (("nose", 3 + frame), ("tail", 43 + frame))]
    (data / "walk.csv").write_text("\n".join(["frame,name,x,y", *lines]))
    with pytest.raises(InputError, match=r"walk\.csv: there is no video walk in .*data \(a file, or a folder"):
        KeypointClips(data).list_sequences()
    bench = KeypointClips(data, videos=videos)
    scores = bench.evaluate(bench.list_sequences()[0], standing, tmp_path / "out")
    np.testing.assert_allclose(scores.units["nose"]["max"], [1 / 40])
    np.testing.assert_allclose(scores.units["tail"]["strict"], [1 / 24])


def test_a_truth_file_may_name_its_video(tmp_path: Path) -> None:
    root = clip(tmp_path / "data", "walk", video="../films/w1")
    with pytest.raises(InputError, match=r"walk\.npz: its video .*films/w1 is not there"):
        KeypointClips(root).list_sequences()
    write_frames(tmp_path / "films/w1", noise(5), first=0)
    assert KeypointClips(root).list_sequences()[0].video.endswith("films/w1")


def test_a_rendered_film_is_followed_better_than_by_standing_still(tmp_path: Path) -> None:
    from propagate.config import resolve
    from propagate.encoders.weights import load_encoder
    from propagate.engine import pipeline

    film = render(size=(96, 128), frames=6, points=5, occluder=False, likeness=0.3)
    (tmp_path / "data").mkdir()
    write_clip(tmp_path / "data/film.mp4", film.frames)
    np.savez(tmp_path / "data/film.npz", xy=film.points_xy, visible=film.points_visible)
    bench = KeypointClips(tmp_path / "data")
    encoder = load_encoder("rawcolor")

    def engine(label: str) -> Tracker:
        def track(frames, annotations, *, label_type):  # type: ignore[no-untyped-def]
            return pipeline.run(
                frames, annotations, label_type=label_type, encoder=encoder, config=resolve(encoder.preset)
            )

        return track

    [sequence] = bench.list_sequences()
    still = bench.summary([bench.evaluate(sequence, standing, tmp_path / "still")])
    found = bench.summary([bench.evaluate(sequence, engine, tmp_path / "found")])
    assert found["pixels"] < 0.3 * still["pixels"]
    strip = bench.filmstrip(sequence, tmp_path / "found", count=3, height=60)
    assert strip is not None
    assert strip.shape == (124, 3 * 80 + 8, 3)


@pytest.mark.parametrize(
    ("truth", "said"),
    [
        ({"xy": np.zeros((5, 4))}, r"xy is \(5, 4\) float64, expected numbers \(frames, points, 2\)"),
        ({"xy": np.zeros((9, 4, 2))}, r"there is no frame 8, the video has 5, counted from 0"),
        ({"frames": [0, 1]}, r"frames is \(2,\), expected \(5,\) to fit xy"),
        ({"frames": [0, 2, 1, 3, 4]}, "frames must be ascending whole numbers"),
        ({"frames": [-1, 0, 1, 2, 3]}, "there is no frame -1"),
        ({"visible": np.zeros((5, 4))}, "0 labelled frames; the first is given, so at least one more is needed"),
        ({"names": ["a", "a", "b", "c"]}, "two points have the same name"),
        ({"size": (320, 240)}, "for frames of 320x240, but the video is 64x48"),
    ],
)
def test_a_truth_that_does_not_fit_is_refused(tmp_path: Path, truth: dict[str, object], said: str) -> None:
    bench = KeypointClips(clip(tmp_path / "data", **truth))
    with pytest.raises(InputError, match=r"walk\.npz: " + said):
        bench.evaluate(bench.list_sequences()[0], standing, tmp_path / "out")


def test_files_that_are_no_truth_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no such folder"):
        KeypointClips(tmp_path / "none").list_sequences()
    with pytest.raises(InputError, match=r"there is no truth in it \(expected CLIP\.npz or CLIP\.csv"):
        KeypointClips(tmp_path).list_sequences()
    root = clip(tmp_path / "data")
    (root / "walk.csv").write_text("frame,name,x,y\n")
    with pytest.raises(InputError, match=r"walk\.csv and walk\.npz are both the truth of walk"):
        KeypointClips(root).list_sequences()
    (root / "walk.csv").unlink()
    with pytest.raises(InputError, match=r"there is no sequence run \(1 sequences, the first are walk\)"):
        KeypointClips(root, sequences=("run",)).list_sequences()
    np.savez(root / "walk.npz", points=np.zeros(3))
    [sequence] = KeypointClips(root).list_sequences()
    with pytest.raises(InputError, match=r"walk\.npz: holds no xy \(it holds points\)"):
        KeypointClips(root).evaluate(sequence, standing, tmp_path / "out")
    array = io.BytesIO()
    np.save(array, np.zeros(3))
    for content in (b"", b"PK\x03\x04 broken", b"text", array.getvalue()):
        (root / "walk.npz").write_bytes(content)
        with pytest.raises(InputError, match=r"walk\.npz: not a \.npz file that can be read"):
            KeypointClips(root).list_sequences()


def test_identity_on_the_real_clips(shared_data: Path, tmp_path: Path) -> None:
    davis = shared_data / "davis_dev/JPEGImages/480p"
    bench = KeypointClips(
        shared_data / "keypoints_dev", videos=davis, sequences=("goal_keeping", "horsejump-low"), frames=16
    )
    for sequence in bench.list_sequences():
        scores = bench.evaluate(sequence, standing, tmp_path)
        with np.load(shared_data / f"keypoints_dev/{sequence.name}.npz") as data:
            xy, seen = data["xy"], data["visible"] > 0
            kept = [place for place, frame in enumerate(data["frames"]) if 0 < frame < 16]
        both = seen[0] & seen[kept]
        errors = np.linalg.norm(xy[kept] - xy[0], axis=2)[both]  # worked here again, without the package
        assert bench.summary([scores])["pixels"] == pytest.approx(errors.mean(), abs=1e-3)
        assert bench.summary([scores])["lost"] == 0
    assert [len(scores.frames), len(scores.units)] == [3, int(seen[0].sum())]
