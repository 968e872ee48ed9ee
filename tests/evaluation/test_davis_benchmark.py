from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from official_trees import SIDE, identities, squares, write_davis
from PIL import Image

from propagate.errors import InputError
from propagate.evaluation.benchmarks.davis import Davis
from propagate.evaluation.protocol import Scores
from propagate.formats.indexed_png import write_mask
from rendered import two_objects

SHIFTS = np.array([2, 4, 6, 8])  # pixels that the square has moved on the scored frames 1 to 4 of 6
# A shifted square overlaps the old one on SIDE - k of SIDE + k columns.
J = (SIDE - SHIFTS) / (SIDE + SHIFTS)
# The boundary of a square is a ring of 4 * SIDE pixels, SIDE + 1 on a side. The tolerance is ceil(.008 * 80) = 1 pixel:
# of the upper and the lower side SIDE + 2 - k pixels each lie within one pixel of the other ring, of the vertical sides
# the two next to the other's corners' row. Precision and recall are equal by symmetry.
F = (2 * (SIDE + 2 - SHIFTS) + 2) / (4 * SIDE)
# Two squares, one of them still: as one object, or each on its own.
J_MERGED = (2 * SIDE - SHIFTS) / (2 * SIDE + SHIFTS)
F_MERGED = (2 * (SIDE + 2 - SHIFTS) + 2 + 4 * SIDE) / (8 * SIDE)


def benchmark(root: Path, **options: object) -> Davis:
    return Davis(write_davis(root, {"moving": squares()}), **options)  # type: ignore[arg-type]


def evaluate(benchmark: Davis, results: Path) -> Scores:
    return benchmark.evaluate(benchmark.list_sequences()[0], identities, results)  # type: ignore[arg-type]


def test_a_moved_square_scores_what_geometry_says(tmp_path: Path) -> None:
    davis = benchmark(tmp_path / "data")
    scores = evaluate(davis, tmp_path / "results")
    assert scores.frames == (1, 2, 3, 4)  # neither the first nor the last
    assert scores.units["1"]["J"] == pytest.approx(J)
    assert scores.units["1"]["F"] == pytest.approx(F)
    assert davis.curves(scores)["J&F"] == pytest.approx((J + F) / 2)


def test_recall_and_decay_by_hand(tmp_path: Path) -> None:
    davis = benchmark(tmp_path / "data")
    summary = davis.summary([evaluate(davis, tmp_path / "results")])
    assert summary == pytest.approx(
        {
            "J&F": (J.mean() + F.mean()) / 2,
            "J": J.mean(),
            "J-Recall": 1 / 4,  # 10/14, then exactly .5, which is not above it
            "J-Decay": (10 / 14 + 8 / 16) / 2 - (6 / 18 + 4 / 20) / 2,  # the quarters share their edges: 0..1 and 2..3
            "F": F.mean(),
            "F-Recall": 1 / 4,  # 26/48, then 22/48
            "F-Decay": (26 + 22) / 2 / 48 - (18 + 14) / 2 / 48,
        }
    )
    assert list(summary) == [measure.name for measure in davis.measures]


def test_the_years_differ_in_what_an_object_is(tmp_path: Path) -> None:
    tree = write_davis(tmp_path / "data", {"two": squares(still=True)})
    apart, merged = Davis(tree), Davis(tree, year=2016)
    each, one = evaluate(apart, tmp_path / "apart"), evaluate(merged, tmp_path / "merged")
    assert {unit: curves["J"].mean() for unit, curves in each.units.items()} == pytest.approx({"1": J.mean(), "2": 1.0})
    assert apart.summary([each])["F"] == pytest.approx((F.mean() + 1) / 2)
    assert one.units["1"]["J"] == pytest.approx(J_MERGED)
    assert one.units["1"]["F"] == pytest.approx(F_MERGED)


def test_means_run_over_objects_not_sequences(tmp_path: Path) -> None:
    clips = {"two": squares(still=True), "still": squares(step=0)}
    davis = Davis(write_davis(tmp_path / "data", clips))
    scores = [davis.evaluate(sequence, identities, tmp_path / "results") for sequence in davis.list_sequences()]  # type: ignore[arg-type]
    assert davis.summary(scores)["J"] == pytest.approx((J.mean() + 1 + 1) / 3)
    assert davis.summary([scores[1], scores[1]])["J"] == 1.0


def test_results_have_the_official_layout_and_score_the_same(tmp_path: Path) -> None:
    davis = Davis(write_davis(tmp_path / "data", {"two": squares(still=True)}))
    scores = evaluate(davis, tmp_path / "results")
    written = sorted((tmp_path / "results" / "two").iterdir())
    assert [path.name for path in written] == [f"{place:05d}.png" for place in range(6)]
    with Image.open(written[3]) as image:
        assert image.mode == "P"
    again = davis.score(davis.list_sequences()[0], tmp_path / "results")
    assert json.dumps(again.to_json()["units"]) == json.dumps(scores.to_json()["units"])
    assert again.facts == scores.facts
    assert np.isnan(again.seconds)
    assert scores.seconds >= 0


def test_grey_masks_of_2016_and_lists_of_frames(tmp_path: Path) -> None:
    lines = "".join(f"/JPEGImages/480p/a/{n:05d}.jpg /Annotations/480p/a/{n:05d}.png\n" for n in range(6))
    tree = write_davis(tmp_path / "data", {"a": squares()}, lists={"480p/val": lines}, grey=True)
    scores = evaluate(Davis(tree), tmp_path / "results")
    assert scores.units["1"]["J"] == pytest.approx(J)
    assert scores.notes == ()


def test_facts_of_a_square_that_leaves_and_changes_shape(tmp_path: Path) -> None:
    frames, masks = squares(step=0)
    masks[2] = 0
    masks[2, 6:18, 7:13] = 1  # half as wide, about the same centre: J 1/2 against the first
    masks[3] = 0
    masks[3, 6:18, 0:12] = 1  # at the border, its shape kept
    masks[4] = 0
    scores = evaluate(Davis(write_davis(tmp_path / "data", {"a": (frames, masks)})), tmp_path / "results")
    share = SIDE * SIDE / (48 * 64)
    assert scores.facts == {
        "objects": 1,
        "frames": 6,
        "size": [64, 48],
        "first_area": {"1": pytest.approx(share)},
        "areas": {"1": pytest.approx([share, share / 2, share, 0])},
        "border": {"1": [False, False, True, False]},
        "shape": {"1": pytest.approx([0, 0.5, 0, 0])},
    }
    json.dumps(scores.to_json(), allow_nan=False)
    assert Scores.from_json(scores.to_json()).facts == scores.facts


def test_a_rendered_clip_scored_against_itself_and_against_nothing(tmp_path: Path) -> None:
    clip = two_objects(size=(48, 64), frames=6, points=1)
    davis = Davis(write_davis(tmp_path / "data", {"rendered": (clip.frames, clip.masks)}))
    sequence = davis.list_sequences()[0]
    truth = tmp_path / "data" / "Annotations" / "480p"
    perfect = davis.summary([davis.score(sequence, truth)])
    assert list(perfect.values()) == [1, 1, 1, 0, 1, 1, 0]
    (tmp_path / "empty" / "rendered").mkdir(parents=True)
    for path in (truth / "rendered").iterdir():
        write_mask(tmp_path / "empty" / "rendered" / path.name, np.zeros((48, 64), np.uint8))
    assert set(davis.summary([davis.score(sequence, tmp_path / "empty")]).values()) == {0.0}


def test_a_sequence_with_its_first_truth_only_is_tracked_not_scored(tmp_path: Path) -> None:
    davis = benchmark(tmp_path / "data")
    for path in sorted((tmp_path / "data" / "Annotations" / "480p" / "moving").iterdir())[1:]:
        path.unlink()
    scores = evaluate(davis, tmp_path / "results")
    assert len(list((tmp_path / "results" / "moving").glob("*.png"))) == 6
    assert (scores.frames, scores.units) == ((), {})
    assert scores.notes == ("truth on the first frame only: masks are written, nothing is scored",)
    assert davis.curves(scores) == {}
    assert np.isnan(davis.summary([scores])["J&F"])
    with pytest.raises(InputError, match="truth on the first frame only, nothing can be scored"):
        davis.score(davis.list_sequences()[0], tmp_path / "results")


def test_colours_inside_the_true_mask_are_kept_beside_j_and_f(tmp_path: Path) -> None:
    davis = Davis(write_davis(tmp_path / "data", {"moving": squares()}, exact=True), colors=True)
    scores = evaluate(davis, tmp_path / "results")
    # The tracker copies frame 0: inside the true square only the part that overlaps has the object's colour.
    assert scores.units["1"]["color"] == pytest.approx((SIDE - SHIFTS) / SIDE)
    assert len(list((tmp_path / "results" / "moving" / "colors").glob("*.png"))) == 6
    again = davis.score(davis.list_sequences()[0], tmp_path / "results")
    assert again.units["1"]["J"].tolist() == scores.units["1"]["J"].tolist()
    strip = davis.color_filmstrip(davis.list_sequences()[0], tmp_path / "results", count=3, height=24)
    assert strip is not None
    assert strip.shape == (3 * 24 + 8, 3 * 32 + 8, 3)


def test_the_filmstrip_shows_what_there_is(tmp_path: Path) -> None:
    davis = benchmark(tmp_path / "data")
    sequence = davis.list_sequences()[0]
    assert davis.filmstrip(sequence, tmp_path / "results", count=4, height=24) is None
    evaluate(davis, tmp_path / "results")
    strip = davis.filmstrip(sequence, tmp_path / "results", count=4, height=24)
    assert strip is not None
    assert strip.shape == (2 * 24 + 4, 4 * 32 + 12, 3)
    assert davis.color_filmstrip(sequence, tmp_path / "results", count=4, height=24) is None


def test_it_can_be_pickled(tmp_path: Path) -> None:
    davis = benchmark(tmp_path / "data")
    assert davis.list_sequences() == pickle.loads(pickle.dumps(davis)).list_sequences()


@pytest.mark.slow
def test_identity_on_davis_dev_equals_the_figures_of_its_readme(tmp_path: Path, shared_data: Path) -> None:
    davis = Davis(shared_data / "davis_dev")
    scores = [davis.evaluate(sequence, identities, tmp_path) for sequence in davis.list_sequences()]  # type: ignore[arg-type]
    each = {one.sequence: one.units["1"]["J"].mean() for one in scores}
    assert each == pytest.approx(
        {
            "breakdance-flare": 0.3208,
            "car-turn": 0.1976,
            "dance-jump": 0.4306,
            "horsejump-low": 0.3086,
            "soccerball": 0.0228,
            "tennis": 0.1896,
        },
        abs=0.0005,
    )
    summary = davis.summary(scores)
    assert (summary["J"], summary["F"]) == pytest.approx((0.2450, 0.2192), abs=0.0005)


@pytest.mark.slow
def test_identity_on_seven_schoolgirls(tmp_path: Path, shared_data: Path) -> None:
    davis = Davis(shared_data / "davis_dev", year=2017, sequences=("schoolgirls",), resolution="240p")
    scores = evaluate(davis, tmp_path)
    assert len(scores.units) == 7
    summary = davis.summary([scores])
    assert (summary["J"], summary["F"]) == pytest.approx((0.2629, 0.5130), abs=0.0005)
