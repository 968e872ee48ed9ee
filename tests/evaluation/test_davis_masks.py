from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from official_trees import SIDE, identities, squares, write_davis
from PIL import Image

from propagate.errors import InputError
from propagate.evaluation.benchmarks.davis import Davis
from propagate.evaluation.protocol import Scores
from propagate.formats.indexed_png import write_mask

SHIFTS = np.array([2, 4, 6, 8])  # pixels that the square has moved on the scored frames 1 to 4 of 6
J = (SIDE - SHIFTS) / (SIDE + SHIFTS)  # of the square copied from frame 0


def benchmark(root: Path) -> Davis:
    return Davis(write_davis(root, {"moving": squares()}))


def evaluate(benchmark: Davis, results: Path) -> Scores:
    return benchmark.evaluate(benchmark.list_sequences()[0], identities, results)  # type: ignore[arg-type]


def recolored(path: Path, mode: str) -> None:
    with Image.open(path) as image:
        changed = image.convert(mode)
    changed.save(path)


def test_an_empty_truth_mask_is_right_when_predicted_empty(tmp_path: Path) -> None:
    frames, masks = squares(step=0)
    masks[2:4] = 0
    davis = Davis(write_davis(tmp_path / "data", {"a": (frames, masks)}))
    scores = evaluate(davis, tmp_path / "results")
    assert scores.units["1"]["J"].tolist() == [1, 0, 0, 1]
    assert "empty truth mask on frame 00002 and on 1 more (object 1): right when predicted empty" in scores.notes
    write_mask(tmp_path / "results" / "a" / "00002.png", masks[2])
    assert davis.score(davis.list_sequences()[0], tmp_path / "results").units["1"]["F"].tolist() == [1, 1, 0, 1]


def test_void_and_late_objects_are_left_out_as_officially(tmp_path: Path) -> None:
    frames, masks = squares(step=0)
    masks[:, 40:, 40:] = 255
    masks[2, 30:34, 30:34] = 2
    scores = evaluate(Davis(write_davis(tmp_path / "data", {"a": (frames, masks)})), tmp_path / "results")
    assert list(scores.units) == ["1"]
    assert scores.units["1"]["J"].tolist() == [1, 1, 1, 1]
    assert "objects that come after the first frame are not scored: 2" in scores.notes
    assert "void (255) counts as background, as in the official code: frame 00000 and on 5 more" in scores.notes


def test_truth_without_a_picture_is_said(tmp_path: Path) -> None:
    davis = benchmark(tmp_path / "data")
    for place in (4, 5):
        (tmp_path / "data" / "JPEGImages" / "480p" / "moving" / f"{place:05d}.jpg").unlink()
    scores = evaluate(davis, tmp_path / "results")
    assert scores.units["1"]["J"] == pytest.approx(J[:2])
    assert scores.notes == ("a truth mask without a picture is not scored: frame 00004 and on 1 more",)


def test_a_damaged_picture_is_said_and_its_frame_still_scored(tmp_path: Path) -> None:
    davis = benchmark(tmp_path / "data")
    path = tmp_path / "data" / "JPEGImages" / "480p" / "moving" / "00003.jpg"
    path.write_bytes(path.read_bytes()[:200])
    scores = evaluate(davis, tmp_path / "results")
    assert scores.units["1"]["J"] == pytest.approx(J)
    assert scores.notes == ("a frame cannot be decoded, the picture before stands for it: 00003",)


def test_grey_ids_beside_void_are_ids(tmp_path: Path) -> None:
    frames, masks = squares(still=True)
    masks[:, 40:, 40:] = 255
    davis = Davis(write_davis(tmp_path / "data", {"a": (frames, masks)}))
    for path, mask in zip(sorted((tmp_path / "data" / "Annotations" / "480p" / "a").iterdir()), masks, strict=True):
        Image.fromarray(mask).save(path)
    scores = evaluate(davis, tmp_path / "results")
    assert scores.units["1"]["J"] == pytest.approx(J)
    assert scores.units["2"]["J"].tolist() == [1, 1, 1, 1]


def test_an_id_that_the_first_frame_skips_counts_as_officially(tmp_path: Path) -> None:
    frames, masks = squares(step=0)
    davis = Davis(write_davis(tmp_path / "data", {"a": (frames, masks * 2)}))
    scores = evaluate(davis, tmp_path / "results")
    assert {unit: curves["J"].tolist() for unit, curves in scores.units.items()} == {"1": [1] * 4, "2": [1] * 4}
    assert scores.notes == ("object 1 is not on the first frame; the official code counts it",)


def test_an_opaque_mask_of_mode_la_is_read_and_said(tmp_path: Path) -> None:
    davis = Davis(write_davis(tmp_path / "data", {"bear": squares()}, grey=True), year=2016)
    path = tmp_path / "data" / "Annotations" / "480p" / "bear" / "00002.png"
    recolored(path, "LA")
    scores = evaluate(davis, tmp_path / "results")
    assert scores.units["1"]["J"] == pytest.approx(J)
    assert scores.notes == ("a grey mask with an opaque alpha channel (mode LA) is read as one object: frame 00002",)


def la(path: Path) -> None:
    pixels = np.zeros((48, 64, 2), np.uint8)
    pixels[:10, :10] = (255, 90)
    Image.fromarray(pixels).save(path)


def larger(path: Path) -> None:
    write_mask(path, np.ones((96, 128), np.uint8))


def damaged(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:60])


def soft(path: Path) -> None:
    Image.fromarray(np.linspace(0, 255, 48 * 64).reshape(48, 64).astype(np.uint8)).save(path)


def foreign_colors(path: Path) -> None:
    Image.fromarray(np.full((48, 64, 3), (1, 2, 3), np.uint8)).save(path)


BROKEN = [
    (larger, "00003.png: truth is 128x96 but the video is 64x48"),
    (la, "00003.png: a mask of mode LA that is ambiguous"),
    (damaged, "00003.png: .*(damaged|not a picture)"),
    (soft, "00003.png: 2.. grey values up to 255 are no ids"),
    (foreign_colors, "00003.png: colours that are not of the DAVIS palette"),
    (Path.unlink, "00003.png: there is no such file"),
]


@pytest.mark.parametrize(("spoil", "message"), BROKEN)
def test_truth_that_cannot_be_used_is_named(tmp_path: Path, spoil: object, message: str) -> None:
    davis = benchmark(tmp_path / "data")
    spoil(tmp_path / "data" / "Annotations" / "480p" / "moving" / "00003.png")  # type: ignore[operator]
    with pytest.raises(InputError, match=message):
        evaluate(davis, tmp_path / "results")
    assert not (tmp_path / "results").exists()  # nothing was tracked in vain


def test_a_first_mask_without_object_is_refused(tmp_path: Path) -> None:
    frames, masks = squares()
    masks[0] = 0
    tree = write_davis(tmp_path / "data", {"a": (frames, masks)})
    with pytest.raises(InputError, match=r"00000\.png: the first mask has no object"):
        evaluate(Davis(tree), tmp_path / "results")


def other_id(path: Path) -> None:
    write_mask(path, np.full((48, 64), 3, np.uint8))


BROKEN_RESULTS = [
    (Path.unlink, "00003.png: there is no such file"),
    (larger, "00003.png: result is 128x96 but the video is 64x48"),
    (other_id, r"00003.png: there is an object 3 that the truth lacks \(the first true mask has the ids 1 to 1\)"),
    (damaged, "00003.png: .*(damaged|not a picture)"),
    (lambda path: shutil.rmtree(path.parent), "there is no result of the sequence moving"),
]


@pytest.mark.parametrize(("spoil", "message"), BROKEN_RESULTS)
def test_results_that_cannot_be_scored_are_named(tmp_path: Path, spoil: object, message: str) -> None:
    davis = benchmark(tmp_path / "data")
    evaluate(davis, tmp_path / "results")
    spoil(tmp_path / "results" / "moving" / "00003.png")  # type: ignore[operator]
    with pytest.raises(InputError, match=message):
        davis.score(davis.list_sequences()[0], tmp_path / "results")


def test_results_may_be_colours_and_lack_first_last_and_objects(tmp_path: Path) -> None:
    davis = Davis(write_davis(tmp_path / "data", {"two": squares(still=True)}))
    evaluate(davis, tmp_path / "results")
    folder = tmp_path / "results" / "two"
    for name in ("00000.png", "00005.png"):
        (folder / name).unlink()
    recolored(folder / "00001.png", "RGB")
    write_mask(folder / "00002.png", np.zeros((48, 64), np.uint8))
    units = davis.score(davis.list_sequences()[0], tmp_path / "results").units
    assert units["1"]["J"] == pytest.approx([J[0], 0, *J[2:]])
    assert units["2"]["J"].tolist() == [1, 0, 1, 1]
