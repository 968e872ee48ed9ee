"""JHMDB in its official layout, scored to numbers worked by hand."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from pose_trees import PoseClip, noise, write_jhmdb
from scipy.io import savemat

from propagate.baselines.warp_propagation import identity
from propagate.errors import InputError
from propagate.evaluation.benchmarks.jhmdb import NAMES, SKELETON, Jhmdb
from propagate.evaluation.protocol import Benchmark, BenchmarkSequence, Scores, Tracker


def standing(label: str) -> Tracker:
    assert label == "keypoints"
    return identity


def joints(frames: int, *, step: float) -> np.ndarray:
    """Return (T, 15, 2) joints that move right; their box is 30 x 40, its diagonal 50: PCK's unit is 30 pixels."""
    first = np.stack([np.linspace(5, 35, 15), np.linspace(4, 44, 15)], axis=1)
    return first[None] + step * np.arange(frames)[:, None, None] * np.array([1.0, 0.0])


def moving(frames: int = 5, *, step: float = 2.9, mask: bool = False) -> PoseClip:
    masks = np.zeros((frames, 48, 64), np.uint8)
    masks[:, 10:20, 7:57] = 1  # 50 wide
    return PoseClip(noise(frames), joints(frames, step=step), masks if mask else None)


def test_identity_gets_what_is_worked_by_hand(tmp_path: Path) -> None:
    bench = Jhmdb(write_jhmdb(tmp_path / "data", {"catch/a": moving(mask=True)}))
    [sequence] = bench.list_sequences()
    scores = bench.evaluate(sequence, standing, tmp_path / "out")
    # frames 1 to 4 are off by 2.9, 5.8, 8.7 and 11.6 pixels: .097 .193 .29 .387 of 30, .058 .116 .174 .232 of the mask
    expected = {"PCK@.1": 1 / 4, "PCK@.2": 2 / 4, "PCK@.3": 3 / 4, "PCK@.4": 1.0, "PCK@.5": 1.0}
    expected |= {"PCKmax@.1": 1 / 4, "PCKmax@.2": 3 / 4, "PCKmax@.3": 1.0, "PCKstrict@.1": 1 / 4, "lost": 0.0}
    summary = bench.summary([scores])
    assert {name: summary[name] for name in expected} == pytest.approx(expected)
    assert list(summary) == [measure.name for measure in bench.measures]
    assert scores.frames == (1, 2, 3, 4)
    assert tuple(scores.units) == NAMES
    np.testing.assert_allclose(scores.units["neck"]["instance"], 2.9 * np.arange(1, 5) / 30, atol=1e-4)
    np.testing.assert_array_equal(bench.curves(scores)["PCK@.2"], [1, 1, 0, 0])
    assert scores.notes == ()
    assert scores.seconds > 0
    assert (
        Scores.from_json(scores.to_json()).units["face"]["pixels"].tolist() == scores.units["face"]["pixels"].tolist()
    )


def test_without_a_puppet_mask_the_joints_have_the_box(tmp_path: Path) -> None:
    bench = Jhmdb(write_jhmdb(tmp_path / "data", {"catch/a": moving()}))
    scores = bench.evaluate(bench.list_sequences()[0], standing, tmp_path / "out")
    # the larger side is 40: .0725 .145 .2175 .29
    assert [bench.summary([scores])[f"PCKmax@{at}"] for at in (".1", ".2", ".3")] == pytest.approx([1 / 4, 2 / 4, 1])
    assert scores.notes == ("no puppet mask: PCKmax takes the box around the true joints",)


def test_an_empty_mask_on_one_frame_is_said_and_replaced(tmp_path: Path) -> None:
    clip = moving(mask=True)
    assert clip.masks is not None
    clip.masks[2] = 0
    bench = Jhmdb(write_jhmdb(tmp_path / "data", {"catch/a": clip}))
    scores = bench.evaluate(bench.list_sequences()[0], standing, tmp_path / "out")
    assert "no puppet mask on 1 of 5 frames" in scores.notes[0]
    np.testing.assert_allclose(scores.units["belly"]["max"], [2.9 / 50, 5.8 / 40, 8.7 / 50, 11.6 / 50], atol=1e-4)


def test_all_frames_of_all_clips_are_pooled(tmp_path: Path) -> None:
    clips = {"catch/a": moving(5), "walk/b": moving(3, step=0)}
    bench = Jhmdb(write_jhmdb(tmp_path / "data", clips))
    scores = [bench.evaluate(sequence, standing, tmp_path / "out") for sequence in bench.list_sequences()]
    assert bench.summary(scores)["PCK@.1"] == pytest.approx((1 + 2) / (4 + 2))  # not (1/4 + 1) / 2
    assert bench.summary([*scores, scores[1]])["PCK@.1"] == pytest.approx(5 / 8)


def test_the_test_half_of_the_split_is_taken(tmp_path: Path) -> None:
    clips = {"walk/b": moving(2), "catch/a (1)@x": moving(2), "catch/c": moving(2)}
    root = write_jhmdb(tmp_path / "data", clips, train=["catch/c"])
    assert [sequence.name for sequence in Jhmdb(root).list_sequences()] == ["catch/a (1)@x", "walk/b"]
    assert [sequence.name for sequence in Jhmdb(root, sequences=("b",)).list_sequences()] == ["walk/b"]
    listed = tmp_path / "list.txt"
    listed.write_text(
        "/far/JHMDB/joint_positions/catch/c/joint_positions.mat /far/JHMDB/Rename_Images/catch/c\nwalk/b\n"
    )
    assert [sequence.name for sequence in Jhmdb(root, list=listed).list_sequences()] == ["catch/c", "walk/b"]


def test_a_longer_video_is_scored_on_the_common_frames(tmp_path: Path) -> None:
    clip = moving(5)
    bench = Jhmdb(write_jhmdb(tmp_path / "data", {"catch/a": PoseClip(noise(6), clip.joints)}))
    scores = bench.evaluate(bench.list_sequences()[0], standing, tmp_path / "out")
    assert scores.frames == (1, 2, 3, 4)
    assert scores.notes[0] == "the video has 6 frames and the joints are given for 5: the first 5 count"
    short = Jhmdb(write_jhmdb(tmp_path / "short", {"catch/a": PoseClip(noise(3), clip.joints)}))
    assert short.evaluate(short.list_sequences()[0], standing, tmp_path / "out2").frames == (1, 2)


def test_giving_a_joint_up_is_not_punished_but_told(tmp_path: Path) -> None:
    bench = Jhmdb(write_jhmdb(tmp_path / "data", {"catch/a": moving(3, step=0)}))
    lines = ["frame,name,x,y"]
    for frame in range(3):
        places = zip(NAMES, joints(3, step=0)[frame].tolist(), strict=True)
        lines += [f"{frame},{name},{x},{y}" for name, (x, y) in places if name != "right_elbow"]
    (tmp_path / "out/catch").mkdir(parents=True)
    (tmp_path / "out/catch/a.csv").write_text("\n".join(lines))
    scores = bench.score(bench.list_sequences()[0], tmp_path / "out")
    summary = bench.summary([scores])
    assert summary["PCK@.1"] == 1  # the right elbow is never counted
    assert summary["PCKstrict@.1"] == summary["PCKmax@.1"] == pytest.approx(14 / 15)
    assert summary["lost"] == pytest.approx(1 / 15)
    assert np.isnan(scores.seconds)


def test_a_joint_given_outside_the_picture_is_lost_not_in_the_corner(tmp_path: Path) -> None:
    from propagate.config import resolve
    from propagate.encoders.weights import load_encoder
    from propagate.engine import pipeline

    clip = moving(3, step=0)
    clip.joints[:, 3] = (70.0, 20.0)
    bench = Jhmdb(write_jhmdb(tmp_path / "data", {"catch/a": clip}))
    encoder = load_encoder("rawcolor")

    def engine(label: str) -> Tracker:
        def track(frames, annotations, *, label_type):  # type: ignore[no-untyped-def]
            config = resolve(encoder.preset, {"context": 2})
            return pipeline.run(frames, annotations, label_type=label_type, encoder=encoder, config=config)

        return track

    scores = bench.evaluate(bench.list_sequences()[0], engine, tmp_path / "out")
    assert np.isinf(scores.units["right_shoulder"]["pixels"]).all()
    assert np.isnan(scores.units["right_shoulder"]["instance"]).all()
    others = np.stack([scores.units[name]["pixels"] for name in NAMES if name != "right_shoulder"])
    assert others.max() < 1.5  # a still picture: every other joint stays
    assert bench.summary([scores])["lost"] == pytest.approx(1 / 15)


def test_a_filmstrip_shows_truth_above_prediction(tmp_path: Path) -> None:
    bench = Jhmdb(write_jhmdb(tmp_path / "data", {"catch/a": moving()}))
    [sequence] = bench.list_sequences()
    bench.evaluate(sequence, standing, tmp_path / "out")
    strip = bench.filmstrip(sequence, tmp_path / "out", count=3, height=48)
    assert strip is not None
    assert strip.shape == (2 * 48 + 4, 3 * 64 + 2 * 4, 3)
    assert (strip[:48] != strip[52:]).any()
    assert {end for pair in SKELETON for end in pair} == set(NAMES)


def test_it_can_be_pickled(tmp_path: Path) -> None:
    bench = Jhmdb(tmp_path, split=2)
    again: Benchmark = pickle.loads(pickle.dumps(bench))
    assert again == bench


def _case(root: Path) -> BenchmarkSequence:
    return Jhmdb(root).list_sequences()[0]


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"there is no folder joint_positions in it \(ROOT is the folder"):
        _case(tmp_path)
    root = write_jhmdb(tmp_path / "data", {"catch/a": moving(2)})
    with pytest.raises(InputError, match=r"splits: no file CLASS_test_split3\.txt"):
        Jhmdb(root, split=3).list_sequences()
    with pytest.raises(InputError, match=r"there is no sequence catch/b \(did you mean catch/a\?\)"):
        Jhmdb(root, sequences=("catch/b",)).list_sequences()
    file = root / "splits/catch_test_split1.txt"
    file.write_text("a.avi 2\ngone.avi 2\n")
    with pytest.raises(InputError, match=r"catch_test_split1\.txt lists catch/gone, but .*gone/joint_positions\.mat"):
        _case(root)
    file.write_text("a.avi\n")
    with pytest.raises(InputError, match=r"line 1: 'a\.avi', expected CLIP\.avi and 1 or 2"):
        _case(root)
    file.write_text("a.avi 1\n")
    with pytest.raises(InputError, match="the list holds no sequence"):
        _case(root)
    file.write_text("a.avi 2\n")
    (root / "Rename_Images/catch/a").rename(root / "elsewhere")
    with pytest.raises(InputError, match=r"lists catch/a, but neither the folder .* nor the file .*a\.avi is there"):
        _case(root)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"this is no mat file at all, it is text" * 9, r"not a MATLAB file that can be read"),
        (b"", r"not a MATLAB file that can be read"),
        ({"other": np.zeros(3)}, r"holds no pos_img"),
        ({"pos_img": np.zeros((2, 14, 5))}, r"pos_img is \(2, 14, 5\) float64, expected numbers \(2, 15, frames\)"),
        ({"pos_img": "text"}, r"pos_img is \(1,\) <U4, expected numbers"),
        ({"pos_img": np.zeros((2, 15))}, r"pos_img is \(2, 15\) float64"),
    ],
)
def test_joints_that_are_none_are_refused(tmp_path: Path, content: bytes | dict[str, object], said: str) -> None:
    bench = Jhmdb(write_jhmdb(tmp_path / "data", {"catch/a": moving(2)}))
    path = bench.root / "joint_positions/catch/a/joint_positions.mat"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        savemat(path, content)
    with pytest.raises(InputError, match=r"joint_positions\.mat: .*" + said):
        bench.evaluate(bench.list_sequences()[0], standing, tmp_path / "out")


def test_puppet_masks_of_another_size_are_refused(tmp_path: Path) -> None:
    clip = PoseClip(noise(2), joints(2, step=1), np.ones((2, 24, 32), np.uint8))
    bench = Jhmdb(write_jhmdb(tmp_path / "data", {"catch/a": clip}))
    [sequence] = bench.list_sequences()
    with pytest.raises(
        InputError, match=r"part_mask is \(24, 32, 2\) uint8, expected numbers \(48, 64, frames\) as the"
    ):
        bench.evaluate(sequence, standing, tmp_path / "out")


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (None, "there is no such file"),
        ("0,tail,1,1\n", r"the truth has no point 'tail' \(it has neck, belly,"),
        ("0,neck,1,1\n1,neck,1,1\n", r"no row of frame 2 \(frames 1 to 2 count\)"),
        ("0,neck,1,x\n", "y of neck is not a number"),
    ],
)
def test_results_that_do_not_fit_are_refused(tmp_path: Path, lines: str | None, said: str) -> None:
    bench = Jhmdb(write_jhmdb(tmp_path / "data", {"catch/a": moving(3)}))
    if lines is not None:
        (tmp_path / "out/catch").mkdir(parents=True)
        (tmp_path / "out/catch/a.csv").write_text("frame,name,x,y\n" + lines)
    with pytest.raises(InputError, match=r"a\.csv.*" + said):
        bench.score(bench.list_sequences()[0], tmp_path / "out")


def test_a_frame_on_which_all_is_lost_needs_only_a_row(tmp_path: Path) -> None:
    bench = Jhmdb(write_jhmdb(tmp_path / "data", {"catch/a": moving(3)}))
    (tmp_path / "out/catch").mkdir(parents=True)
    (tmp_path / "out/catch/a.csv").write_text("frame,name,x,y\n00001,neck,5,4\n00002,neck,5,4\n00003,neck,,\n")
    scores = bench.score(bench.list_sequences()[0], tmp_path / "out")  # frames by the stems of Rename_Images, from 1
    np.testing.assert_allclose(scores.units["neck"]["pixels"], [2.9, np.inf])
