from __future__ import annotations

import json
import pickle
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from official_trees import SIDE, identities, squares, write_frames

from propagate.errors import InputError
from propagate.evaluation.benchmarks.reconstruction import Reconstruction
from propagate.evaluation.protocol import Scores
from propagate.labels.protocol import LabelType
from propagate.values import Annotation, Frame, Prediction

CONTRAST = (160 + 20 + 80) / 3  # between the square's colour and the ground's, mean over R, G, B
AREA = 48 * 64


def evaluate(benchmark: Reconstruction, results: Path, trackers: object = identities) -> Scores:
    (sequence,) = benchmark.list_sequences()
    return benchmark.evaluate(sequence, trackers, results)  # type: ignore[arg-type]


def clip(folder: Path, *, frames: int = 8, step: int = 2) -> Path:
    write_frames(folder / "a", squares(frames=frames, step=step)[0], exact=True)
    return folder


def test_a_copied_frame_differs_by_the_squares_way(tmp_path: Path) -> None:
    reconstruction = Reconstruction(clip(tmp_path / "data"), gaps=(2, 5))
    scores = evaluate(reconstruction, tmp_path / "results")
    # The square goes 2 pixels a frame; what it leaves and what it covers is SIDE high.
    by_two, by_five = (2 * SIDE * 2 * gap / AREA * CONTRAST for gap in (2, 5))
    assert scores.frames == (0, 1, 2, 3, 4, 5)
    assert scores.units["all"]["L1@2"] == pytest.approx(np.full(6, by_two))
    assert scores.units["all"]["L1@5"] == pytest.approx([by_five] * 3 + [np.nan] * 3, nan_ok=True)
    assert reconstruction.summary([scores]) == pytest.approx({"L1@2": by_two, "L1@5": by_five})
    assert [measure.name for measure in reconstruction.measures] == ["L1@2", "L1@5"]
    assert Scores.from_json(json.loads(json.dumps(scores.to_json(), allow_nan=False))).frames == scores.frames


def test_the_tracker_is_shown_two_frames_and_may_err_by_one_level(tmp_path: Path) -> None:
    shown = []

    def brighter(
        frames: Sequence[Frame], given: Sequence[Annotation], *, label_type: LabelType
    ) -> Iterator[Prediction]:
        pair = list(frames)
        shown.append([(frame.index, int(frame.stem)) for frame in pair])
        assert label_type.kind == "value"
        assert given[0].array.dtype == np.float32
        for frame in pair:
            yield Prediction(frame, given[0].array + 1, label_type.ids, "propagated")

    reconstruction = Reconstruction(clip(tmp_path / "data", frames=4, step=0), gaps=(1, 2))
    scores = evaluate(reconstruction, tmp_path / "results", lambda label_type: brighter)
    assert sorted(shown) == [[(0, 0), (1, 1)], [(0, 0), (1, 2)], [(0, 1), (1, 2)], [(0, 1), (1, 3)], [(0, 2), (1, 3)]]
    assert reconstruction.summary([scores]) == {"L1@1": 1.0, "L1@2": 1.0}


def test_pairs_with_a_damaged_frame_are_left_out(tmp_path: Path) -> None:
    data = clip(tmp_path / "data", frames=6)
    path = data / "a" / "00002.png"
    path.write_bytes(path.read_bytes()[:120])
    scores = evaluate(Reconstruction(data, gaps=(1,)), tmp_path / "results")
    assert np.isnan(scores.units["all"]["L1@1"]).tolist() == [False, True, True, False, False]
    assert scores.notes == ("a frame cannot be decoded and is left out: 2",)


def test_fewer_starts_on_demand(tmp_path: Path) -> None:
    data = clip(tmp_path / "data", frames=12)
    assert evaluate(Reconstruction(data, gaps=(1,), every=4), tmp_path / "r").frames == (0, 4, 8)
    assert evaluate(Reconstruction(data, gaps=(1,), limit_starts=3), tmp_path / "r").frames == (0, 5, 10)


def test_results_of_another_tool_score_the_same(tmp_path: Path) -> None:
    reconstruction = Reconstruction(clip(tmp_path / "data"), gaps=(2, 5), save=True)
    scores = evaluate(reconstruction, tmp_path / "results")
    (sequence,) = reconstruction.list_sequences()
    folder = tmp_path / "results" / "a"
    assert sorted(path.name for path in (folder / "5").iterdir()) == ["00005.png", "00006.png", "00007.png"]
    assert reconstruction.score(sequence, tmp_path / "results").to_json()["units"] == scores.to_json()["units"]
    (folder / "5" / "00006.png").unlink()
    with pytest.raises(InputError, match=r"5/00006\.png: there .* \(frame 6 rebuilt from 5 frames before"):
        reconstruction.score(sequence, tmp_path / "results")


def test_a_few_frames_are_kept_for_the_filmstrip(tmp_path: Path) -> None:
    reconstruction = Reconstruction(clip(tmp_path / "data", frames=16), gaps=(1, 2))
    (sequence,) = reconstruction.list_sequences()
    assert reconstruction.filmstrip(sequence, tmp_path / "results", count=3, height=24) is None
    evaluate(reconstruction, tmp_path / "results")
    assert [path.name for path in (tmp_path / "results" / "a").iterdir()] == ["strip"]
    assert len(list((tmp_path / "results" / "a" / "strip" / "2").iterdir())) == 8
    strip = reconstruction.filmstrip(sequence, tmp_path / "results", count=3, height=24)
    assert strip is not None
    assert strip.shape == (2 * 24 + 4, 3 * 32 + 8, 3)


def test_a_clip_shorter_than_every_gap_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="a: 5 frames are too few to score, expected 6 or more"):
        evaluate(Reconstruction(clip(tmp_path / "data", frames=5)), tmp_path / "results")


@pytest.mark.parametrize("options", [{"gaps": ()}, {"gaps": (0,)}, {"gaps": (5, 5)}, {"every": 0}, {"limit_starts": 0}])
def test_options_that_mean_nothing(tmp_path: Path, options: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="must be"):
        Reconstruction(tmp_path, **options)  # type: ignore[arg-type]


def test_it_can_be_pickled(tmp_path: Path) -> None:
    reconstruction = Reconstruction(tmp_path, gaps=(3,))
    assert pickle.loads(pickle.dumps(reconstruction)) == reconstruction
