"""Corrections with the truth: which frames are chosen, and what that is worth and costs, worked by hand."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from evaluation.synthetic_benchmark import Synthetic, method, scores_of
from official_trees import SIDE, squares, write_davis
from pose_trees import PoseClip, noise, write_frames, write_jhmdb

from propagate.baselines.warp_propagation import identity
from propagate.errors import InputError
from propagate.evaluation.analysis.bootstrap import RunIntervals
from propagate.evaluation.analysis.effort import effort_curves, effort_differences
from propagate.evaluation.benchmarks.davis import Davis
from propagate.evaluation.benchmarks.jhmdb import Jhmdb
from propagate.evaluation.benchmarks.keypoint_clips import KeypointClips
from propagate.evaluation.corrections import CHOICES, Annotated, Correctable, CorrectedRun, correct
from propagate.evaluation.plan import TrackerMaker, parse_method
from propagate.evaluation.protocol import Scores, Tracker
from propagate.evaluation.report import sections
from propagate.evaluation.report.tables import area_rows, effort_rows
from rendered import two_objects

OVERLAP = (SIDE - 2 * np.arange(6)) / (SIDE + 2 * np.arange(6))  # J of a square that moved 2 pixels a frame since k


def standing(label: str) -> Tracker:
    return identity


class Made:
    """A sequence whose frames have a value of their own until they are annotated; counts how often it is tracked."""

    def __init__(self, values: list[float], *, sure: list[float] | None = None) -> None:
        self.values, self.sure, self.runs = np.array(values), sure or [1.0] * len(values), list[Annotated]()

    def track(self, annotated: Annotated) -> CorrectedRun:
        self.runs.append(annotated)
        values = np.where(np.isin(np.arange(len(self.values)), annotated), 1.0, self.values)
        lines = [
            {
                "index": index,
                "source": "annotated" if index in annotated else "propagated",
                "objects": [
                    {"id": 1, "confidence": sure, "visible": True, "area": 9, "centroid": [0.0, 0.0], "flags": []}
                ],
            }
            for index, sure in enumerate(self.sure)
        ]
        frames = tuple(range(len(self.values)))
        return CorrectedRun(frames, {"J": values[None]}, lines, np.array([values.mean()]))

    def chosen(self, choice: str, *counts: int) -> list[list[int]]:
        seconds = dict.fromkeys(range(len(self.values)), 80.0)
        task = Correctable("made", seconds, "J", self.track)
        return [record["frames"] for record in correct(task, choices=[choice], counts=counts)[choice]]


def test_uniform_is_even_over_the_sequence_its_last_frame_included() -> None:
    made = Made([0.5] * 80)
    expected = [np.linspace(0, 79, number + 1).round().astype(int).tolist() for number in (0, 1, 2, 5)]
    assert made.chosen("uniform", 0, 1, 2, 5) == expected
    assert expected[1] == [0, 79]
    assert len(made.runs) == 4  # no run that nobody asked for


def test_worst_takes_the_worst_frame_that_is_well_apart() -> None:
    values = [0.9] * 40
    values[30], values[29], values[12] = 0.1, 0.2, 0.3
    assert Made(values).chosen("worst", 1, 2) == [[0, 30], [0, 12, 30]]  # 29 is next to 30: three frames are too near


def test_lowest_takes_the_least_confidence_not_the_least_value() -> None:
    values, sure = [0.9] * 40, [0.9] * 40
    values[30], sure[20] = 0.1, 0.5
    assert Made(values, sure=sure).chosen("lowest", 1) == [[0, 20]]


def test_tool_takes_the_middle_of_what_it_doubts() -> None:
    sure = [1.0] * 60
    sure[30:50] = [0.2] * 20
    [[_, frame]] = Made([0.5] * 60, sure=sure).chosen("tool", 1)
    assert 30 <= frame < 50


def test_random_is_the_same_twice_and_nested() -> None:
    first, again = Made([0.5] * 40).chosen("random", 1, 2, 5), Made([0.5] * 40).chosen("random", 1, 2, 5)
    assert first == again
    assert set(first[0]) < set(first[1]) < set(first[2])


def test_choices_share_their_runs() -> None:
    made = Made([0.5] * 40)
    task = Correctable("made", dict.fromkeys(range(40), 80.0), "J", made.track)
    correct(task, choices=list(CHOICES), counts=(0, 1, 2))
    assert len(made.runs) == len(set(made.runs))
    assert made.runs.count((0,)) == 1


def test_too_many_corrections_are_refused() -> None:
    with pytest.raises(InputError, match="made: 6 frames with truth are too few for 5 corrections"):
        Made([0.5] * 6).chosen("uniform", 5)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"corrections": (1, 0)}, "ascending"),
        ({"corrections": (-1,)}, "from 0 on"),
        ({"corrections": (1,), "choose": ("best",)}, "no choice of frames is called 'best'"),
        ({"corrections": (1,), "choose": ("tool", "tool")}, "named once"),
    ],
)
def test_what_cannot_be_asked_is_refused(asked: dict[str, tuple[int, ...]], said: str) -> None:
    for kind in (Davis, KeypointClips, Jhmdb):
        with pytest.raises(ValueError, match=said):
            kind(Path("data"), **asked)  # type: ignore[arg-type]


def test_a_moved_square_is_worth_what_geometry_says(tmp_path: Path) -> None:
    tree = write_davis(tmp_path / "data", {"moving": squares()}, exact=True)
    davis = Davis(tree, corrections=(0, 1, 2))
    scores = davis.evaluate(davis.list_sequences()[0], standing, tmp_path / "results")
    none, one, two = scores.corrections["uniform"]
    assert (one["frames"], two["frames"]) == ([0, 5], [0, 2, 5])  # 2.5 is rounded to even
    assert [each["seconds"] for each in (none, one, two)] == [80, 160, 240]
    assert none["all"]["J"] == pytest.approx(OVERLAP.mean())
    assert none["untouched"]["J"] == pytest.approx(OVERLAP[1:].mean())
    assert one["all"]["J"] == pytest.approx((OVERLAP[:5].sum() + 1) / 6)
    assert one["untouched"]["J"] == pytest.approx(OVERLAP[1:5].mean())
    assert two["untouched"]["J"] == pytest.approx((OVERLAP[1] + OVERLAP[1] + OVERLAP[2]) / 3)
    shift = 2 * np.arange(6)
    assert none["tube"] == pytest.approx((SIDE - shift).sum() / (SIDE + shift).sum())
    assert one["all"]["J&F"] == pytest.approx((one["all"]["J"] + one["all"]["F"]) / 2)
    assert (none["drawn"], none["absent"]) == (0, 0)


def test_the_official_scores_stay_as_they_are_and_all_goes_through_json(tmp_path: Path) -> None:
    tree = write_davis(tmp_path / "data", {"moving": squares(still=True)}, exact=True)
    plain, corrected = Davis(tree), Davis(tree, corrections=(0, 1), choose=("tool", "worst"))
    sequence = plain.list_sequences()[0]
    before = plain.evaluate(sequence, standing, tmp_path / "plain").to_json()
    scores = corrected.evaluate(sequence, standing, tmp_path / "corrected")
    after = scores.to_json()
    assert "corrections" not in before
    assert after["units"] == before["units"]
    assert Scores.from_json(json.loads(json.dumps(after, allow_nan=False))).corrections == scores.corrections
    assert plain.inputs(sequence)[1] != corrected.inputs(sequence)[1]  # other corrections are tracked again


def test_an_object_that_is_gone_costs_a_word_and_is_drawn_until_it_is_said(tmp_path: Path) -> None:
    pictures, masks = squares(step=0, still=True)
    masks[masks == 2] = 0
    masks[0, 30:42, 4:16] = 2  # the second object is on the first frame only; the identity draws it on all
    davis = Davis(write_davis(tmp_path / "data", {"a": (pictures, masks)}, exact=True), corrections=(0, 2))
    none, two = davis.evaluate(davis.list_sequences()[0], standing, tmp_path / "out").corrections["uniform"]
    assert (none["seconds"], two["seconds"]) == (160, 160 + 83 + 83)
    assert (none["drawn"], none["absent"]) == (5, 5)
    assert two["frames"] == [0, 2, 5]
    assert (two["drawn"], two["absent"]) == (1, 5)  # frame 1: from frame 2 on it is known to be absent
    assert none["untouched"]["J"] == pytest.approx((1 + 0) / 2)
    assert two["untouched"]["J"] == pytest.approx((1 + 2 / 3) / 2)


def test_the_engine_keeps_what_is_given_and_draws_no_object_that_is_said_to_be_absent(tmp_path: Path) -> None:
    clip = two_objects(size=(48, 64), frames=8, points=1)
    masks = clip.masks.copy()
    masks[7][masks[7] == 2] = 0  # as a person may say, whatever the picture shows
    tree = write_davis(tmp_path / "data", {"a": (clip.frames, masks)}, exact=True)
    davis = Davis(tree, corrections=(0, 1), choose=("uniform", "tool"))
    made = davis.evaluate(davis.list_sequences()[0], TrackerMaker(parse_method("rawcolor")), tmp_path / "out")
    none, one = made.corrections["uniform"]
    assert one["frames"] == [0, 7]
    for measure in ("J", "F"):  # the annotated frames are what is left, and are right
        assert 8 * one["all"][measure] - 6 * one["untouched"][measure] == pytest.approx(2)
        assert 8 * none["all"][measure] - 7 * none["untouched"][measure] == pytest.approx(1)
    assert (none["drawn"], none["absent"], one["drawn"], one["absent"]) == (1, 1, 0, 1)
    assert "from the nearest annotated one" in list(made.corrections["tool"][1]["why"].values())[1]


def corners(frames: int) -> np.ndarray:
    """Return (T, 4, 2) corners of a box of 30 x 40 that moves by 2.9 a frame: PCK's unit is 30 pixels."""
    box = np.array([[5, 4], [35, 4], [5, 44], [35, 44]], dtype=float)
    return box[None] + 2.9 * np.arange(frames)[:, None, None] * np.array([1.0, 0.0])


def test_points_are_worth_what_is_worked_by_hand(tmp_path: Path) -> None:
    write_frames(tmp_path / "data/walk", noise(10), first=0)
    xy = corners(5)
    xy[4, 0] = np.nan
    np.savez(tmp_path / "data/walk.npz", xy=xy, frames=[0, 2, 4, 6, 8])  # every second frame has truth
    bench = KeypointClips(tmp_path / "data", corrections=(0, 1), choose=("uniform", "worst", "tool"))
    scores = bench.evaluate(bench.list_sequences()[0], standing, tmp_path / "out")
    none, one = scores.corrections["uniform"]
    # 2.9, 5.8, 8.7 and 11.6 pixels off: right at .1 is the labelled frame after an annotated one, at .2 the next too
    assert none["all"]["PCK@.1"] == pytest.approx((2 / 4 + 3 * 2 / 5) / 4)
    assert none["untouched"]["PCK@.2"] == pytest.approx((2 / 3 + 3 * 2 / 4) / 4)
    assert one["frames"] == [0, 8]
    assert one["untouched"]["PCK@.1"] == pytest.approx(1 / 3)
    assert (none["seconds"], one["seconds"]) == (pytest.approx(4 * 2.4), pytest.approx(7 * 2.4))
    assert one["tube"] is None
    assert scores.corrections["worst"][1]["frames"] == [0, 4]  # the first of the equally bad ones
    assert set(scores.corrections["tool"][1]["frames"]) <= {0, 2, 4, 6, 8}


def test_jhmdb_is_corrected_too(tmp_path: Path) -> None:
    first = np.stack([np.linspace(5, 35, 15), np.linspace(4, 44, 15)], axis=1)
    joints = first[None] + 2.9 * np.arange(5)[:, None, None] * np.array([1.0, 0.0])
    tree = write_jhmdb(tmp_path / "data", {"catch/a": PoseClip(noise(5), joints)})
    bench = Jhmdb(tree, corrections=(0, 1))
    none, one = bench.evaluate(bench.list_sequences()[0], standing, tmp_path / "out").corrections["uniform"]
    assert none["all"]["PCK@.1"] == pytest.approx(2 / 5)
    assert one["all"]["PCK@.1"] == pytest.approx(3 / 5)


def corrected(name: str, **curves: list[float]) -> Scores:
    """Return scores of a sequence whose measure J has a value after 0, 1 and 3 corrections."""
    records = {
        choice: [
            {
                "corrections": number,
                "frames": list(range(number + 1)),
                "seconds": 80.0 * (number + 1),
                "all": {"J-Mean": value},
                "untouched": {"J-Mean": None if number == 3 else value / 2},
                "tube": value / 4,
                "drawn": number,
                "absent": 4,
                "why": {},
            }
            for number, value in zip((0, 1, 3), values, strict=True)
        ]
        for choice, values in curves.items()
    }
    plain = scores_of(name, [0.5, 0.5])
    return Scores(name, plain.frames, plain.units, corrections=records)


TWO = [
    corrected("a", tool=[0.6, 0.8, 1.0], uniform=[0.6, 0.7, 0.9]),
    corrected("b", tool=[0.4, 0.9, 1.0], uniform=[0.4, 0.8, 0.9]),
]


def test_area_and_work_needed_by_hand() -> None:
    curves = effort_curves(TWO, headline="J-Mean")
    tool, uniform = curves["tool"], curves["uniform"]
    assert tool.area == pytest.approx((0.5 + 0.85) / 2 / 3 + (0.85 + 1.0) / 2 * 2 / 3)
    assert tool.area_of_seconds == pytest.approx(tool.area)  # here each frame costs the same
    assert tool.needed[0.85] is tool.points[1]
    assert tool.needed[0.9] is tool.points[2]
    assert uniform.needed[0.9] is uniform.points[2]
    assert tool.points[1].untouched["J-Mean"] == pytest.approx(0.425)
    assert np.isnan(tool.points[2].untouched["J-Mean"])
    assert (tool.points[1].drawn, tool.points[1].tube) == (1 / 4, pytest.approx(0.85 / 4))
    rows = area_rows(curves)
    assert rows[1][3:] == ["2 frames, 160 s", "4 frames, 320 s"]
    assert area_rows({"a": effort_curves(TWO[:1], headline="J-Mean")["uniform"]})[1][3] == "4 frames, 320 s"
    assert effort_rows(curves)[2][:5] == ["tool", "2", "160", "0.850", "0.425"]


def test_a_level_that_is_never_reached_needs_more_frames_than_were_given() -> None:
    low = effort_curves([corrected("a", tool=[0.1, 0.2, 0.3])], headline="J-Mean")
    assert area_rows(low)[1][3] == "over 4 frames"


def test_two_choices_are_compared_in_pairs() -> None:
    # The tool is ahead by .1 after 1 and 3 corrections on both sequences: every draw of them says the same.
    found = effort_differences(TWO, headline="J-Mean", resamples=50)
    ahead = 0.1 / 2 / 3 + 0.1 * 2 / 3
    interval = found[("tool", "uniform")]
    assert (interval.value, interval.low, interval.high) == pytest.approx((ahead, ahead, ahead))
    assert effort_differences([corrected("a", tool=[1, 1, 1])], headline="J-Mean", resamples=9) == {}


def test_the_report_has_a_plot_and_both_tables() -> None:
    pytest.importorskip("matplotlib")
    benchmark = Synthetic()
    results = [method("rawcolor", TWO, benchmark), method("flow", [scores_of("a", [0.5, 0.5])], benchmark)]
    intervals = RunIntervals(benchmark, results, resamples=20)
    page = str(sections.corrections(intervals, results))
    assert page.count("<table>") == 2
    assert page.count("data:image/svg+xml") == 1
    assert "tool against uniform: +0.083" in page
    assert "flow" not in page  # it was not corrected
    assert sections.corrections(intervals, results[1:]) == ""
