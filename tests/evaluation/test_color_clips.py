from __future__ import annotations

import json
import pickle
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from official_trees import SIDE, identities, identity, squares, write_davis, write_frames
from PIL import Image

from propagate.errors import InputError
from propagate.evaluation.benchmarks.color_clips import ColorClips
from propagate.evaluation.benchmarks.colorizing import clusters_of
from propagate.evaluation.benchmarks.sequences import find_clips
from propagate.evaluation.protocol import BenchmarkSequence, Scores
from propagate.labels.protocol import LabelType
from propagate.metrics.color import mean_chroma, mean_delta_e
from propagate.values import Annotation, Frame, Prediction
from rendered import write_clip

AREA = 48 * 64
SHIFTS = 2 * np.arange(1, 6)


def evaluate(benchmark: ColorClips, results: Path, trackers: object = identities) -> list[Scores]:
    return [benchmark.evaluate(sequence, trackers, results) for sequence in benchmark.list_sequences()]  # type: ignore[arg-type]


def grey(frames: Sequence[Frame], annotations: Sequence[Annotation], *, label_type: LabelType) -> Iterator[Prediction]:
    """Yield the frames as they are shown, which is without colour."""
    for frame in frames:
        assert (frame.rgb == frame.rgb[..., :1]).all()
        yield Prediction(frame, frame.rgb, label_type.ids, "propagated")


def test_a_copied_first_frame_is_wrong_where_the_square_has_left_or_come(tmp_path: Path) -> None:
    frames, _ = squares()
    write_frames(tmp_path / "data" / "a", frames, exact=True)
    clips = ColorClips(tmp_path / "data")
    (scores,) = evaluate(clips, tmp_path / "results")
    share = 2 * SIDE * SHIFTS / AREA  # a strip uncovered and a strip covered, `SHIFTS` wide each
    square, ground = (np.full((1, 1, 3), rgb, np.uint8) for rgb in ((200, 40, 30), (40, 60, 110)))
    assert scores.frames == (1, 2, 3, 4, 5)
    assert scores.units["all"]["accuracy"] == pytest.approx(1 - share)
    assert scores.units["all"]["dE2000"] == pytest.approx(share * mean_delta_e(square, ground))
    assert scores.units["all"]["saturation"] == pytest.approx(np.ones(5))  # as much red as before, elsewhere
    assert clips.summary([scores, scores]) == pytest.approx(
        {name: curve.mean() for name, curve in clips.curves(scores).items()}
    )


def test_colours_that_fade_show_in_the_saturation(tmp_path: Path) -> None:
    frames, _ = squares(step=0)
    write_frames(tmp_path / "data" / "a", frames, exact=True)
    (scores,) = evaluate(ColorClips(tmp_path / "data"), tmp_path / "results", lambda label_type: grey)
    assert scores.units["all"]["saturation"] == pytest.approx(np.zeros(5), abs=0.001)
    assert mean_chroma(frames[0]) > 20


def test_a_grey_clip_has_no_saturation_to_keep(tmp_path: Path) -> None:
    write_frames(tmp_path / "data" / "a", np.full((3, 48, 64, 3), 90, np.uint8), exact=True)
    (scores,) = evaluate(ColorClips(tmp_path / "data"), tmp_path / "results")
    assert np.isnan(scores.units["all"]["saturation"]).all()
    json.dumps(scores.to_json(), allow_nan=False)


def test_saved_frames_score_the_same_and_others_are_missed(tmp_path: Path) -> None:
    write_frames(tmp_path / "data" / "a", squares()[0], exact=True)
    results = tmp_path / "results"
    clips = ColorClips(tmp_path / "data", save=True)
    (scores,) = evaluate(clips, results)
    sequence = clips.list_sequences()[0]
    again = clips.score(sequence, results)
    assert again.to_json()["units"] == scores.to_json()["units"]
    (results / "a" / "00000.png").unlink()  # never scored
    clips.score(sequence, results)
    Image.fromarray(np.zeros((10, 10, 3), np.uint8)).save(results / "a" / "00002.png")
    with pytest.raises(InputError, match="00002.png: picture is 10x10 but the video is 64x48"):
        clips.score(sequence, results)
    (results / "a" / "00002.png").unlink()
    with pytest.raises(InputError, match="00002.png: there is no such picture"):
        clips.score(sequence, results)


def test_without_save_a_few_frames_are_kept_for_the_filmstrip(tmp_path: Path) -> None:
    write_frames(tmp_path / "data" / "a", squares(frames=20, step=1)[0])
    clips = ColorClips(tmp_path / "data")
    sequence = clips.list_sequences()[0]
    assert clips.filmstrip(sequence, tmp_path / "none", count=4, height=24) is None
    evaluate(clips, tmp_path / "results")
    assert sorted(path.name for path in (tmp_path / "results" / "a").iterdir()) == ["strip"]
    assert len(list((tmp_path / "results" / "a" / "strip").iterdir())) == 8
    strip = clips.filmstrip(sequence, tmp_path / "results", count=4, height=24)
    assert strip is not None
    assert strip.shape == (2 * 24 + 4, 4 * 32 + 12, 3)


def test_a_video_file_is_seen_in_its_own_luma(tmp_path: Path) -> None:
    write_clip(tmp_path / "clip.mp4", squares()[0])
    clips = ColorClips(tmp_path)
    (scores,) = evaluate(clips, tmp_path / "results", lambda label_type: grey)
    assert [sequence.name for sequence in clips.list_sequences()] == ["clip"]
    assert (scores.units["all"]["saturation"] < 0.01).all()
    assert scores.facts == {"frames": 6}


def test_one_frame_is_too_few(tmp_path: Path) -> None:
    write_frames(tmp_path / "data" / "a", squares(frames=1)[0])
    with pytest.raises(InputError, match="a: 1 frames are too few to score, expected 2 or more"):
        evaluate(ColorClips(tmp_path / "data"), tmp_path / "results")


def test_the_same_clips_give_the_same_clusters(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    paints = rng.integers(0, 256, (40, 3), dtype=np.uint8)
    write_frames(tmp_path / "a", paints[rng.integers(0, 40, (3, 48, 64))], exact=True)
    first, second = (clusters_of([BenchmarkSequence("a", str(tmp_path / "a"))]) for _ in range(2))
    assert first.shape == (16, 2)
    np.testing.assert_array_equal(first, second)


def test_it_can_be_pickled(tmp_path: Path) -> None:
    clips = ColorClips(tmp_path, sequences=("a",))
    assert pickle.loads(pickle.dumps(clips)) == clips


def frames_of(count: int) -> NDArray[np.uint8]:
    return squares(frames=count)[0]


def test_clips_are_files_folders_one_clip_or_a_davis_tree(tmp_path: Path) -> None:
    mixed = tmp_path / "mixed"
    write_frames(mixed / "clip10", frames_of(2))
    write_frames(mixed / "clip9", frames_of(2))
    write_clip(mixed / "film.mp4", frames_of(2))
    (mixed / "notes.txt").write_text("not a clip")
    (mixed / "empty").mkdir()
    assert [sequence.name for sequence in find_clips(mixed)] == ["clip9", "clip10", "film"]
    assert [sequence.name for sequence in find_clips(mixed, ("film", "clip9"))] == ["film", "clip9"]
    assert find_clips(mixed / "clip9") == [BenchmarkSequence("clip9", str(mixed / "clip9"))]
    assert find_clips(mixed / "film.mp4") == [BenchmarkSequence("film", str(mixed / "film.mp4"))]
    tree = write_davis(tmp_path / "davis", {"bear": squares(frames=2)})
    assert find_clips(tree) == [BenchmarkSequence("bear", str(tree / "JPEGImages" / "480p" / "bear"))]


def test_clips_that_are_not_there_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no such file or folder"):
        find_clips(tmp_path / "none")
    with pytest.raises(InputError, match="there is no clip .*expected video files or folders of frames"):
        find_clips(tmp_path)
    write_frames(tmp_path / "bear", frames_of(2))
    with pytest.raises(InputError, match=r"there is no clip bare \(did you mean bear\?\)"):
        find_clips(tmp_path, ("bare",))
    write_clip(tmp_path / "bear.mp4", frames_of(2))
    with pytest.raises(InputError, match=r"bear and bear\.mp4 are both called bear"):
        find_clips(tmp_path)


def test_the_identity_of_the_tests_is_a_tracker() -> None:
    frame = Frame(0, 0.0, np.zeros((4, 4, 3), np.uint8), "00000")
    given = Annotation(0, np.ones((4, 4), np.uint8), (1,))
    from propagate.labels.masks import MaskLabels

    (only,) = identity([frame], [given], label_type=MaskLabels((1,)))
    assert (only.array == 1).all()
