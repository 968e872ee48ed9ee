"""VIP in its official layout, scored to numbers worked by hand."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pose_trees import PartVideo, noise, write_vip

from propagate.baselines.warp_propagation import identity
from propagate.errors import InputError
from propagate.evaluation.benchmarks.vip import CLASSES, Carried, Vip, resized, write_instances
from propagate.evaluation.protocol import Scores, Tracker

CLOTHES = 5
PIXELS = 48 * 64
FIRST, SECOND, THIRD = "000000000001", "000000000026", "000000000051"


def standing(label: str) -> Tracker:
    assert label == "masks"
    return identity


def square(frames: int = 3, *, step: int = 5, labelled: tuple[int, ...] | None = None) -> PartVideo:
    """Return a square of 20 x 20 that moves right: against the first it overlaps by 400, 300 and 200 pixels."""
    categories = np.zeros((frames, 48, 64), np.uint8)
    for index in range(frames):
        categories[index, 10:30, 10 + step * index : 30 + step * index] = CLOTHES
    return PartVideo(noise(frames), categories, np.where(categories > 0, 7, 0).astype(np.uint8), {7: CLOTHES}, labelled)


def tree(folder: Path, video: PartVideo | None = None) -> Path:
    return write_vip(folder / "VIP_Fine", {"videos12": video or square()})


def test_identity_gets_what_is_worked_by_hand(tmp_path: Path) -> None:
    bench = Vip(tree(tmp_path))
    [sequence] = bench.list_sequences()
    scores = bench.evaluate(sequence, standing, tmp_path / "out")
    # the clothes: shared 400 + 300 + 200, union 400 + 500 + 600; the background: what is outside the unions
    clothes, back = 900 / 1500, (3 * PIXELS - 1500) / (3 * PIXELS - 900)
    summary = bench.summary([scores])
    assert summary["mIoU"] == pytest.approx((clothes + back) / 2)
    assert list(summary) == [measure.name for measure in bench.measures]
    np.testing.assert_allclose(scores.units["upper-clothes"]["IoU"], [1, 300 / 500, 200 / 600])
    assert np.isnan(scores.units["hat"]["IoU"]).all()
    backs = [(PIXELS - union) / (PIXELS - shared) for shared, union in ((400, 400), (300, 500), (200, 600))]
    expected = [(one + two) / 2 for one, two in zip([1, 0.6, 1 / 3], backs, strict=True)]
    np.testing.assert_allclose(bench.curves(scores)["mIoU"], expected)
    assert scores.frames == (0, 1, 2)
    assert scores.facts == {"objects": 1}
    assert scores.seconds > 0
    again = Scores.from_json(json.loads(json.dumps(scores.to_json())))
    assert bench.summary([again]) == summary
    assert bench.summary([scores.take([1, 1])])["AP@.5"] == 1  # a bootstrap's draw of frames reaches every number
    assert bench.summary([scores.take([0, 0])])["mIoU"] == 1


def test_average_precision_is_that_of_the_official_script(tmp_path: Path) -> None:
    bench = Vip(tree(tmp_path))
    scores = bench.evaluate(bench.list_sequences()[0], standing, tmp_path / "out")
    summary = bench.summary([scores])
    # one class; overlaps 1, .6 and .333 of equal score: all three, then two, then one of three are right
    assert summary["AP@.3"] == pytest.approx(1)
    assert summary["AP@.5"] == pytest.approx(2 / 3 * 2 / 3)
    assert summary["AP@.7"] == pytest.approx(1 / 3 * 1 / 3)
    assert summary["APvol"] == pytest.approx((3 * 1 + 2 * 4 / 9 + 4 * 1 / 9) / 9)  # .6 is not above .6


def test_the_given_frame_can_be_left_out(tmp_path: Path) -> None:
    bench = Vip(tree(tmp_path), first=False)
    scores = bench.evaluate(bench.list_sequences()[0], standing, tmp_path / "out")
    clothes, back = 500 / 1100, (2 * PIXELS - 1100) / (2 * PIXELS - 500)
    assert bench.summary([scores])["mIoU"] == pytest.approx((clothes + back) / 2)
    assert bench.summary([scores])["AP@.5"] == pytest.approx(1 / 2 * 1 / 2)
    assert scores.frames == (1, 2)


def test_one_confusion_matrix_holds_all_videos(tmp_path: Path) -> None:
    root = write_vip(tmp_path / "VIP_Fine", {"videos2": square(), "videos10": square(2, step=0)})
    bench = Vip(root)
    sequences = bench.list_sequences()
    assert [sequence.name for sequence in sequences] == ["videos2", "videos10"]
    scores = [bench.evaluate(sequence, standing, tmp_path / "out") for sequence in sequences]
    clothes, back = (900 + 800) / (1500 + 800), (5 * PIXELS - 2300) / (5 * PIXELS - 1700)
    assert bench.summary(scores)["mIoU"] == pytest.approx((clothes + back) / 2)
    assert bench.summary(scores)["AP@.5"] == pytest.approx(4 / 5 * 4 / 5)


def test_void_is_passed_over_and_never_carried(tmp_path: Path) -> None:
    video = square(2, step=0)
    video.categories[:, 40:] = 255
    bench = Vip(tree(tmp_path, video))
    [sequence] = bench.list_sequences()
    scores = bench.evaluate(sequence, standing, tmp_path / "out")
    assert bench.summary([scores])["mIoU"] == 1
    assert np.sum([frame["confusion"] for frame in scores.totals["frames"].values()]) == 2 * 40 * 64
    written = np.array(Image.open(tmp_path / f"out/parts/videos12/{SECOND}.png"))
    assert set(np.unique(written).tolist()) == {0, CLOTHES}


def test_frames_without_a_map_are_not_scored(tmp_path: Path) -> None:
    bench = Vip(tree(tmp_path, square(4, labelled=(0, 2))))
    scores = bench.evaluate(bench.list_sequences()[0], standing, tmp_path / "out")
    assert scores.frames == (0, 2)
    assert sorted(path.name for path in (tmp_path / "out/parts/videos12").iterdir()) == [f"{FIRST}.png", f"{THIRD}.png"]


def test_results_are_as_the_official_evaluator_takes_them(tmp_path: Path) -> None:
    bench = Vip(tree(tmp_path))
    bench.evaluate(bench.list_sequences()[0], standing, tmp_path / "out")
    folder = tmp_path / "out/instances/videos12"
    assert set(np.unique(np.array(Image.open(folder / f"{SECOND}.png"))).tolist()) == {0, 1}  # 7 became line 1
    kind, score = (folder / f"{SECOND}.txt").read_text().split()
    assert (kind, 0 <= float(score) <= 1) == ("5", True)


def test_instances_are_numbered_anew_on_every_frame(tmp_path: Path) -> None:
    ids = np.array([[0, 3, 3, 9]])
    carried = [Carried("a", ids, {3: 0.5, 9: 0.25}), Carried("b", ids[:, 3:], {9: 0.25}), Carried("c", ids * 0, {})]
    write_instances(tmp_path / "v", carried, stems=("a", "b", "c"), classes={3: 13, 4: 2, 9: 19})
    assert np.array(Image.open(tmp_path / "v/a.png")).tolist() == [[0, 1, 1, 2]]
    assert (tmp_path / "v/a.txt").read_text() == "13 0.500000\n19 0.250000\n"
    assert np.array(Image.open(tmp_path / "v/b.png")).tolist() == [[1]]
    assert (tmp_path / "v/b.txt").read_text() == "19 0.250000\n"
    assert (tmp_path / "v/c.txt").read_text() == ""


def test_without_text_files_the_categories_give_the_classes(tmp_path: Path) -> None:
    root = tree(tmp_path)
    for path in (root / "Annotations/Instance_ids/videos12").glob("*.txt"):
        path.unlink()
    bench = Vip(root)
    scores = bench.evaluate(bench.list_sequences()[0], standing, tmp_path / "out")
    assert bench.summary([scores])["AP@.5"] == pytest.approx(4 / 9)


def test_a_tool_with_categories_only_and_another_size_is_scored(tmp_path: Path) -> None:
    bench = Vip(tree(tmp_path, square(2, step=0)))
    folder = tmp_path / "uvc/videos12"
    folder.mkdir(parents=True)
    for stem in (FIRST, SECOND):
        twice = np.zeros((96, 128), np.uint8)
        twice[20:60, 20:60] = CLOTHES
        Image.fromarray(twice).save(folder / f"{stem}.png")
    scores = bench.score(bench.list_sequences()[0], tmp_path / "uvc")
    summary = bench.summary([scores])
    assert summary["mIoU"] == 1
    assert np.isnan(summary["AP@.5"])
    assert np.isnan(summary["APvol"])
    assert scores.notes == (f"no {tmp_path / 'uvc/instances'}: no average precision",)


def test_nearest_neighbour_takes_pixel_centres() -> None:
    assert resized(np.array([[1, 2, 3, 4]]), (2, 2)).tolist() == [[2, 4], [2, 4]]
    assert resized(np.array([[1, 2]]), (1, 4)).tolist() == [[1, 1, 2, 2]]


def test_nothing_given_is_nothing_found(tmp_path: Path) -> None:
    video = square(2)
    video.categories[0] = video.instances[0] = 0
    bench = Vip(tree(tmp_path, video))
    scores = bench.evaluate(bench.list_sequences()[0], standing, tmp_path / "out")
    assert scores.units["upper-clothes"]["IoU"][1] == 0
    assert bench.summary([scores])["AP@.3"] == 0


def test_a_filmstrip_shows_truth_above_prediction(tmp_path: Path) -> None:
    bench = Vip(tree(tmp_path))
    [sequence] = bench.list_sequences()
    bench.evaluate(sequence, standing, tmp_path / "out")
    strip = bench.filmstrip(sequence, tmp_path / "out", count=2, height=48)
    assert strip is not None
    assert strip.shape == (2 * 48 + 4, 2 * 64 + 4, 3)
    assert (strip[:48, :64] == strip[52:, :64]).all()  # the given frame
    assert (strip[:48, 68:] != strip[52:, 68:]).any()


def test_both_trees_and_both_lists_are_taken(tmp_path: Path) -> None:
    root = tree(tmp_path)
    assert Vip(tmp_path).list_sequences()[0].name == "videos12"  # the folder that holds VIP_Fine
    (root / "lists/val_videos.txt").unlink()
    (root / "lists/val_id.txt").write_text(f"videos12/{FIRST}\nvideos12/{SECOND}\n")
    assert [sequence.name for sequence in Vip(root).list_sequences()] == ["videos12"]
    for part in ("Category_ids", "Instance_ids"):  # ATEN's own tree
        (root / "Annotations" / part).rename(root / part)
    bench = Vip(root)
    assert bench.summary([bench.evaluate(bench.list_sequences()[0], standing, tmp_path / "out")])[
        "AP@.3"
    ] == pytest.approx(1)
    assert pickle.loads(pickle.dumps(bench)) == bench
    assert len(CLASSES) == 20


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"there is no folder Images in it \(ROOT is the folder VIP_Fine"):
        Vip(tmp_path).list_sequences()
    root = tree(tmp_path)
    with pytest.raises(InputError, match=r"no list test_videos\.txt or test_id\.txt"):
        Vip(root, list="test").list_sequences()
    (root / "lists/val_videos.txt").write_text("videos12\nvideos13\n")
    with pytest.raises(InputError, match=r"val_videos\.txt lists videos13, but the folder .*videos13 is not there"):
        Vip(root).list_sequences()
    (root / "lists/val_videos.txt").write_text("videos12\n")
    (root / "Annotations/Instance_ids").rename(root / "elsewhere")
    with pytest.raises(InputError, match=r"no folder Annotations/Instance_ids"):
        Vip(root).list_sequences()


def test_a_truth_that_cannot_be_used_is_refused(tmp_path: Path) -> None:
    root = tree(tmp_path, square(2))
    bench = Vip(root)
    [sequence] = bench.list_sequences()
    categories = root / "Annotations/Category_ids/videos12"
    good = (categories / f"{SECOND}.png").read_bytes()
    Image.fromarray(np.zeros((24, 32), np.uint8)).save(categories / f"{SECOND}.png")
    with pytest.raises(InputError, match=SECOND + r"\.png: map is 32x24 but the video is 64x48"):
        bench.evaluate(sequence, standing, tmp_path / "out")
    Image.fromarray(np.full((48, 64, 3), 9, np.uint8)).save(categories / f"{SECOND}.png")
    with pytest.raises(InputError, match=r"a colour picture, expected the ids themselves"):
        bench.evaluate(sequence, standing, tmp_path / "out")
    (categories / f"{SECOND}.png").unlink()
    with pytest.raises(InputError, match=r"only the first frame of videos12 has a map"):
        bench.evaluate(sequence, standing, tmp_path / "out")
    (categories / f"{SECOND}.png").write_bytes(good)
    text = root / f"Annotations/Instance_ids/videos12/{SECOND}.txt"
    text.write_text("3 5\n")
    with pytest.raises(InputError, match=r"\.txt: gives none of the 1 instances in .* a class of 1 to 19"):
        bench.evaluate(sequence, standing, tmp_path / "out")
    text.write_text("7\n")
    with pytest.raises(InputError, match=r"line 1: '7', expected 2 numbers"):
        bench.evaluate(sequence, standing, tmp_path / "out")
    (categories / f"{FIRST}.png").unlink()
    with pytest.raises(InputError, match=FIRST + r"\.png: the map of the first frame is not there"):
        bench.evaluate(sequence, standing, tmp_path / "out")


def test_results_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    bench = Vip(tree(tmp_path, square(2)))
    [sequence] = bench.list_sequences()
    bench.evaluate(sequence, standing, tmp_path / "out")
    parts, instances = (tmp_path / "out" / kind / "videos12" for kind in ("parts", "instances"))
    good = (instances / f"{SECOND}.txt").read_text()
    (instances / f"{SECOND}.txt").write_text("")
    with pytest.raises(InputError, match=r"\.txt: the file is empty"):
        bench.score(sequence, tmp_path / "out")
    (instances / f"{SECOND}.txt").write_text("20 0.5\n")
    with pytest.raises(InputError, match=r"class 20 is none of VIP's parts, 1 to 19"):
        bench.score(sequence, tmp_path / "out")
    (instances / f"{SECOND}.txt").write_text(good)
    Image.fromarray(np.full((48, 64), 2, np.uint8)).save(instances / f"{SECOND}.png")
    with pytest.raises(InputError, match=r"the instance 2, but 000000000026\.txt has 1 lines CLASS SCORE"):
        bench.score(sequence, tmp_path / "out")
    Image.fromarray(np.full((48, 64), 27, np.uint8)).save(parts / f"{SECOND}.png")
    with pytest.raises(InputError, match=r"class 27 is none of VIP's, which are 0 to 19"):
        bench.score(sequence, tmp_path / "out")
    (parts / f"{SECOND}.png").unlink()
    with pytest.raises(InputError, match=r"there is no such file"):
        bench.score(sequence, tmp_path / "out")
