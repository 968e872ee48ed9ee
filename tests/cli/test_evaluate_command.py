"""`propagate evaluate` from the command line: what is printed, what is written, and with which code it ends."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from cli.forked import Forks
from official_trees import squares, write_davis, write_frames
from PIL import Image
from pose_trees import PoseClip, noise, write_jhmdb

MOVED = (12 - 2 * np.arange(1, 5)) / (12 + 2 * np.arange(1, 5))  # J of a square of 12 that moved 2 pixels a frame


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    clips = {"left": squares(still=True), "right": squares(step=1)}
    write_davis(tmp_path / "DAVIS", clips, exact=True)
    return tmp_path


def evaluate(propagate: Forks, folder: Path, *words: str, benchmark: str = "davis") -> tuple[int, str, str]:
    result = propagate("evaluate", benchmark, *words, "-o", "out", cwd=folder)
    return result.code, result.out, result.err


def test_identity_is_scored_to_values_worked_by_hand(tree: Path, propagate: Forks) -> None:
    code, out, _ = evaluate(propagate, tree, "DAVIS", "-m", "identity", "--sequences", "left", "--json")
    summary = json.loads(out)["methods"][0]["summary"]
    assert code == 0
    assert summary["J"] == pytest.approx((MOVED.mean() + 1) / 2)  # one moves, one stands still; mean over objects
    rows = list(csv.reader((tree / "out/identity/per-sequence_results-chosen.csv").read_text().splitlines()))
    assert rows[1:] == [["left_1", f"{MOVED.mean():.3f}", rows[1][2]], ["left_2", "1.000", "1.000"]]


def test_the_table_and_the_report_name_every_method(tree: Path, propagate: Forks) -> None:
    code, out, err = evaluate(propagate, tree, "DAVIS", "-m", "identity", "-m", "rawcolor", "-m", "flow", "-q")
    lines = out.splitlines()
    assert (code, err) == (0, "")
    assert [line.split()[0] for line in lines[2:5]] == ["identity", "rawcolor", "flow"]
    assert "the best of 5 on this data" in lines[4]
    page = Path(tree / lines[5]).read_text(encoding="utf-8")
    assert all(name in page for name in ("rawcolor", "identity", "published", "Optical Flow (FlowNet2)"))
    assert {path.name for path in (tree / "out/flow").iterdir()} == {
        "global_results-val.csv",
        "per-sequence_results-val.csv",
    }


def test_a_second_run_scores_nothing_again(tree: Path, propagate: Forks) -> None:
    first = evaluate(propagate, tree, "DAVIS", "-m", "identity")
    again = evaluate(propagate, tree, "DAVIS", "-m", "identity")
    assert first[1] == again[1]
    assert "2 of 2 had been scored before" in again[2]


def test_other_results_are_scored_beside_a_method(tree: Path, propagate: Forks) -> None:
    shutil.copytree(tree / "DAVIS/Annotations/480p", tree / "theirs")
    code, out, err = evaluate(propagate, tree, "DAVIS", "--results", "theirs", "-m", "identity")
    assert (code, out.splitlines()[2].split()[:2]) == (0, ["results:theirs", "1.000"])
    assert "J&F of results:theirs against identity" in err
    assert sorted(path.name for path in (tree / "theirs").rglob("*.json")) == []


def test_a_sweep_shows_score_and_cost_of_every_value(tree: Path, propagate: Forks) -> None:
    words = ("DAVIS", "-m", "rawcolor", "--sweep", "radius=1,full", "--limit", "1", "--json")
    code, out, err = evaluate(propagate, tree, *words)
    assert code == 0, err
    points = json.loads(out)["sweep"]
    assert [point["value"] for point in points] == [1.0, "full"]
    assert all(point["seconds"] > 0 and point["memory"] > 1e7 for point in points)


def test_corrections_are_printed_and_kept(tree: Path, propagate: Forks) -> None:
    words = ("DAVIS", "-m", "identity", "--corrections", "0,1", "--choose", "uniform", "--choose", "worst")
    code, out, err = evaluate(propagate, tree, *words)
    assert code == 0
    assert "area under J&F of identity, uniform against worst" in err
    rows = [line.split()[:4] for line in out.splitlines() if line.startswith("identity")]
    work = (["1", "120"], ["2", "240"])  # one object on the left, a still one there too, one on the right: 80 s each
    assert rows[1:5] == [["identity", how, *each] for how in ("uniform", "worst") for each in work]
    [found] = json.loads((tree / "out/results.json").read_text())["methods"]
    assert [curve["choice"] for curve in found["corrections"]] == ["uniform", "worst"]
    kept = json.loads((tree / "out/identity/scores/left.json").read_text())["corrections"]["uniform"]
    assert kept[1]["frames"] == [0, 5]
    assert "What corrections are worth" in (tree / "out/report.html").read_text()
    again = evaluate(propagate, tree, "--config", "out/run.yaml")  # asks for the corrections too
    assert "2 of 2 had been scored before" in again[2]
    assert again[1] == out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--corrections", "one"), "numbers with commas"),
        (("--choose", "tool"), "give --corrections"),
        (("--corrections", "1", "--choose", "best"), "no choice of frames is called 'best'"),
    ],
)
def test_corrections_that_cannot_be_are_refused(
    tree: Path, propagate: Forks, words: tuple[str, ...], said: str
) -> None:
    code, _, err = evaluate(propagate, tree, "DAVIS", "-m", "identity", *words)
    assert code == 2
    assert said in " ".join(err.split())


def test_a_score_below_the_bar_ends_with_five(tree: Path, propagate: Forks) -> None:
    assert evaluate(propagate, tree, "DAVIS", "-m", "identity", "--fail-under", "0.9")[0] == 5
    assert evaluate(propagate, tree, "DAVIS", "-m", "identity", "--fail-under", "0.1")[0] == 0


def test_what_cannot_be_scored_is_one_line_and_an_exit_code(tree: Path, propagate: Forks) -> None:
    for words, code, said in [
        (("DAVIS",), 2, "nothing to score"),
        (("DAVIS", "-m", "identitty"), 2, "no method is called 'identitty'"),
        (("DAVIS", "-m", "flow@raft"), 3, "raft"),
        (("DAVIS", "-m", "resnet18:imagenet"), 3, "ImageNet weights of resnet18 are not on this machine"),
        (("DAVIS", "-m", "resnet50"), 3, "needs weights"),
        (("DAVIS", "-m", "identity", "--sequences", "middle"), 3, "middle"),
        (("DAVIS", "-m", "rawcolor", "--sweep", "radios=1,2"), 2, "did you mean 'radius'"),
        (("nowhere", "-m", "identity"), 3, "no such folder"),
    ]:
        result = evaluate(propagate, tree, *words)
        errors = [line for line in result[2].splitlines() if line.startswith("propagate: error:")]
        assert (result[0], len(errors), "Traceback" in result[2]) == (code, 1, False), result
        assert said in errors[0]
        shutil.rmtree(tree / "out", ignore_errors=True)


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ("missing sequence", "there is no result of the sequence right"),
        ("missing frame", "00002.png"),
        ("other size", "32x24"),
        ("unknown id", "7"),
    ],
)
def test_broken_results_are_refused(tree: Path, propagate: Forks, broken: str, said: str) -> None:
    shutil.copytree(tree / "DAVIS/Annotations/480p", tree / "theirs")
    mask = np.zeros((24, 32) if broken == "other size" else (48, 64), np.uint8)
    mask[3:9, 3:9] = 7 if broken == "unknown id" else 1
    path = tree / "theirs/right/00002.png"
    if broken == "missing sequence":
        shutil.rmtree(path.parent)
    elif broken == "missing frame":
        path.unlink()
    else:
        Image.fromarray(mask).save(path)
    code, _, err = evaluate(propagate, tree, "DAVIS", "--results", "theirs")
    assert (code, said in err.splitlines()[-1]) == (3, True), err


def test_jhmdb_colors_keypoints_and_reconstruction_run_too(tmp_path: Path, propagate: Forks) -> None:
    joints = np.repeat(np.stack([np.linspace(5, 35, 15), np.linspace(4, 44, 15)], 1)[None], 4, 0)
    write_jhmdb(tmp_path / "JHMDB", {"catch/a": PoseClip(noise(4), joints)})
    write_frames(tmp_path / "clips/one", squares(frames=12)[0])
    np.savez(tmp_path / "clips/one.npz", xy=np.full((12, 1, 2), 10.0))
    for benchmark, root, headline, value in [
        ("jhmdb", "JHMDB", "PCK@.1", 1.0),
        ("keypoints", "clips", "PCK@.1", None),
        ("colors", "clips", "dE2000", None),
        ("reconstruction", "clips", "L1@5", None),
    ]:
        code, out, err = evaluate(propagate, tmp_path, root, "-m", "identity", "--json", benchmark=benchmark)
        assert code == 0, err
        found = json.loads(out)["methods"][0]["summary"]
        assert headline in found
        assert value is None or found[headline] == value
        assert (tmp_path / "out/report.html").is_file()
        shutil.rmtree(tmp_path / "out")
