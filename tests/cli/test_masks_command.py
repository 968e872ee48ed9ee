"""`propagate masks` and `keypoints` end to end: results, settings, what is in the way, exit codes."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import av
import numpy as np
import pytest
import yaml
from cli.forked import Forks
from PIL import Image

from propagate.formats.indexed_png import read_mask
from rendered import Clip, write_mask

WORDS = ("masks", "clip.mp4", "mask.png")


def iou(a: np.ndarray, b: np.ndarray) -> float:
    return float((a & b).sum() / (a | b).sum())


def test_the_path_goes_to_stdout_and_the_forms_to_stderr(project: Path, propagate: Forks) -> None:
    result = propagate(*WORDS, cwd=project)
    assert (result.code, result.out) == (0, "clip.masks\n")
    forms, *progress = result.err.splitlines()
    assert forms == "propagate: mask.png: frame 0 (the first), indexed, id 1"
    assert all("frames/s" in line for line in progress)  # on a slow machine


def test_the_object_is_followed(project: Path, clip: Clip, propagate: Forks) -> None:
    propagate(*WORDS, "-o", "followed", cwd=project)
    found = [read_mask(project / f"followed/masks/{n:05d}.png", allow_empty=True).ids > 0 for n in range(12)]
    assert np.array_equal(found[0], clip.masks[0] > 0)
    assert iou(found[11], clip.masks[11] > 0) > 0.3


def test_the_overlay_has_the_videos_frames_and_times(project: Path, propagate: Forks) -> None:
    propagate(*WORDS, "-o", "drawn", "--overlay", "drawn/o.mp4", cwd=project)
    with av.open(str(project / "drawn/o.mp4")) as video, av.open(str(project / "clip.mp4")) as source:
        times = [[frame.time for frame in part.decode(video=0)] for part in (video, source)]
    assert times[0] == pytest.approx(times[1])


def test_json_has_a_line_a_frame_and_a_summary(project: Path, propagate: Forks) -> None:
    words = (*WORDS, "-o", "json", "--json", "-q")
    first, again = propagate(*words, cwd=project), propagate(*words, cwd=project)
    lines = [json.loads(line) for line in first.out.splitlines()]
    assert [line["type"] for line in lines] == ["frame"] * 12 + ["summary"]
    assert (lines[-1]["frames"], lines[-1]["exit"]) == (12, 0)
    assert (again.out, again.err) == (first.out, "")


def test_a_folder_of_masks_of_every_fifth_frame(project: Path, clip: Clip, propagate: Forks) -> None:
    (project / "every").mkdir()
    for place, index in enumerate((0, 5, 10), 1):
        write_mask(project / f"every/{place}.png", clip.masks[index])
    result = propagate("masks", "clip.mp4", "every", "-o", "stepped", "--label-step", "5", cwd=project)
    assert (result.code, "every/3.png: frame 10 (by --label-step 5)" in result.err) == (0, True)
    results = map(json.loads, (project / "stepped/results.jsonl").read_text().splitlines())
    assert [line["index"] for line in results if line["source"] == "annotated"] == [0, 5, 10]
    assert np.array_equal(read_mask(project / "stepped/masks/00010.png").ids > 0, clip.masks[10] > 0)
    assert "finished before" in propagate("masks", "--config", "stepped/run.yaml", "-o", "stepped", cwd=project).err
    refused = propagate("masks", "clip.mp4", "mask.png", "-o", "none", "--label-step", "5", cwd=project)
    assert (refused.code, len(refused.err.splitlines()), (project / "none").exists()) == (2, 1, False)


def test_an_object_that_is_said_to_be_absent(project: Path, propagate: Forks) -> None:
    words = (*WORDS, "-o", "absent", "--absent", "1@3:5", "--absent", "1@7")
    assert propagate(*words, cwd=project).code == 0
    empty = [n for n in range(12) if not read_mask(project / f"absent/masks/{n:05d}.png", allow_empty=True).ids.any()]
    assert empty == [3, 4, 5, 7]
    assert "finished before" in propagate("masks", "--config", "absent/run.yaml", "-o", "absent", cwd=project).err


@pytest.mark.parametrize(
    ("word", "code", "cause"),
    [
        ("1@5:3", 2, "--absent 1@5:3: ends before it begins (write 1@3:5)"),
        ("1@", 2, "--absent 1@: no object and frames"),
        ("7@3", 3, "--absent 7@3: no label has the object 7 (the labels have: 1)"),
        ("1@3:12", 3, "--absent 1@3:12: there is no frame 12, the video has 12 frames, counted from 0"),
        ("1@0", 3, "--absent 1@0: object 1 is drawn on frame 0"),
        ("none.txt", 2, "--absent none.txt: no object and frames"),
    ],
)
def test_an_absence_that_cannot_be_is_refused_in_a_line(
    project: Path, propagate: Forks, word: str, code: int, cause: str
) -> None:
    result = propagate(*WORDS, "-o", "refused", "--absent", word, cwd=project)
    assert (result.code, result.out) == (code, "")
    assert cause in result.err.splitlines()[-1]
    assert not (project / "refused").exists()


def test_a_finished_run_is_not_done_again(project: Path, propagate: Forks) -> None:
    propagate(*WORDS, "-o", "once", cwd=project)
    before = (project / "once/masks/00003.png").stat().st_mtime_ns
    result = propagate(*WORDS, "-o", "once", cwd=project)
    assert (result.code, "finished before" in result.err) == (0, True)
    assert (project / "once/masks/00003.png").stat().st_mtime_ns == before


def test_a_mask_that_a_person_drew_is_kept_and_said(project: Path, propagate: Forks) -> None:
    propagate(*WORDS, "-o", "drawn", cwd=project)
    mask = project / "drawn/masks/00003.png"
    ours = mask.read_bytes()
    mask.write_bytes(b"drawn by hand")
    for words in ((), ("--force",), ()):
        result = propagate(*WORDS, "-o", "drawn", *words, cwd=project)
        assert (result.code, "00003.png is not as a run wrote it: kept as yours" in result.err) == (0, True)
        assert mask.read_bytes() == b"drawn by hand"
    mask.unlink()
    assert propagate(*WORDS, "-o", "drawn", cwd=project).code == 0
    assert mask.read_bytes() == ours


def test_other_settings_are_a_conflict_that_force_solves(project: Path, propagate: Forks) -> None:
    propagate(*WORDS, "-o", "other", "--soft", cwd=project)
    (project / "other/masks/notes.txt").write_text("mine")
    result = propagate(*WORDS, "-o", "other", "--radius", "full", cwd=project)
    assert (result.code, result.out) == (2, "")
    assert "radius is 12 there, None now" in result.err
    assert propagate(*WORDS, "-o", "other", "--radius", "full", "--force", cwd=project).code == 0
    assert not (project / "other/soft").exists()
    assert (project / "other/masks/notes.txt").read_text() == "mine"


def test_files_that_we_did_not_write_are_never_replaced(project: Path, propagate: Forks) -> None:
    (project / "mine/masks").mkdir(parents=True)
    (project / "mine/masks/00000.png").write_text("mine")
    for words in (WORDS, (*WORDS, "--force")):
        result = propagate(*words, "-o", "mine", cwd=project)
        said = (
            "00000.png is not as a run wrote it: kept as yours"
            if "--force" in words
            else "holds other files, such as masks"
        )
        assert (result.code, said in result.err) == (2 * ("--force" not in words), True)
        assert (project / "mine/masks/00000.png").read_text() == "mine"


def test_an_overlay_of_somebody_else_is_never_replaced(project: Path, propagate: Forks) -> None:
    (project / "film.mp4").write_text("mine")
    result = propagate(*WORDS, "-o", "beside", "--overlay", "film.mp4", "--force", cwd=project)
    assert (result.code, (project / "film.mp4").read_text()) == (2, "mine")
    assert not (project / "beside").exists()


def test_a_run_yaml_repeats_the_run(project: Path, propagate: Forks) -> None:
    flags = ("--encoder", "resnet18", "--weights", "random", "--seed", "3", "--topk", "all", "--size", "64")
    assert propagate(*WORDS, "-o", "a", *flags, "--dtype", "float32", cwd=project).code == 0
    assert propagate(*WORDS, "-o", "b", "--config", "a/run.yaml", cwd=project).code == 0
    assert (project / "a/run.yaml").read_text() == (project / "b/run.yaml").read_text()
    assert (project / "a/results.jsonl").read_text() == (project / "b/results.jsonl").read_text()


def test_later_layers_win(project: Path, propagate: Forks) -> None:
    (project / "some.yaml").write_text("context: 2\nradius: 5\ndevice: cpu\n")
    words = (*WORDS, "-o", "layers", "--config", "some.yaml", "--radius", "4")
    assert propagate(*words, cwd=project, env={"PROPAGATE_DEVICE": "cuda:7"}).code == 0
    settings = yaml.safe_load((project / "layers/run.yaml").read_text())["settings"]
    assert (settings["context"], settings["radius"], settings["device"]) == (2, 4, "cpu")
    assert settings["edges"] == 4  # the preset of the weights


def test_the_environment_stands_above_the_preset(project: Path, propagate: Forks) -> None:
    result = propagate(*WORDS, "-o", "env", cwd=project, env={"PROPAGATE_DEVICE": "cuda:7"})
    assert (result.code, "device cuda:7 is not available" in result.err) == (1, True)


def test_the_tools_preset_leaves_a_papers_out(project: Path, propagate: Forks) -> None:
    flags = ("--encoder", "corrflow", "--weights", "random", "--end", "2", "--size", "32")
    for preset in ("tool", "paper"):
        result = propagate(*WORDS, "-o", preset, *flags, "--preset", preset, cwd=project)
        assert result.code == 0, result.err
    context = [yaml.safe_load((project / p / "run.yaml").read_text())["settings"]["context"] for p in ("tool", "paper")]
    assert context == [7, 1]


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        (("--radius", "wide"), "--radius is 'wide'"),
        (("--lab-weight", "much"), "--lab-weight is 'much'"),
        (("--encoder", "resnet81"), "did you mean 'resnet18'?"),
        (("--encoder", "resnet50"), "needs weights"),
        (("--quality", "beste"), "no quality is called 'beste'"),
        (("--config", "none.yaml"), "none.yaml: cannot be read"),
        (("--start", "soon"), "'soon' is no place in a video"),
        (("--start", "40"), "holds no frame"),
        (("--overlay", "o.txt"), "cannot write a video ending in '.txt'"),
        (("--start", "3"), "no label lies in frames 3 to 11"),
    ],
)
def test_a_bad_setting_is_one_line(flags: tuple[str, ...], text: str, project: Path, propagate: Forks) -> None:
    result = propagate(*WORDS, "-o", "bad", *flags, cwd=project)
    assert result.code in (2, 3)
    assert (text in result.err, (project / "bad").exists()) == (True, False), result.err


def test_a_part_of_the_video(project: Path, propagate: Forks) -> None:
    words = ("masks", "clip.mp4", "4=mask.png", "-o", "part", "--start", "0.15s", "--end", "7")
    assert propagate(*words, cwd=project).code == 0
    assert sorted(path.stem for path in (project / "part/masks").iterdir()) == ["00004", "00005", "00006"]


def test_low_confidence_is_five(project: Path, propagate: Forks) -> None:
    result = propagate(*WORDS, "-o", "under", "--fail-under", "1", cwd=project)
    assert (result.code, result.out) == (5, "under\n")


def test_points_come_out_with_confidence(project: Path, clip: Clip, propagate: Forks) -> None:
    words = ("keypoints", "clip.mp4", "points.csv", "-o", "points", "--skeleton", "p0-p1", "--overlay", "points/o.mp4")
    result = propagate(*words, cwd=project)
    rows = list(csv.DictReader((project / "points/keypoints.csv").read_text().splitlines()))
    first = [[float(row["x"]), float(row["y"])] for row in rows[:3]]
    assert (result.code, len(rows)) == (0, 36), result.err
    assert np.allclose(first, clip.points_xy[0, :3], atol=0.002)
    assert "points.csv: csv, 3 points on frame 0: p0, p1, p2" in result.err


@pytest.mark.parametrize(("form", "name"), [("json", "keypoints.json"), ("deeplabcut", "keypoints.csv")])
def test_points_in_other_formats(form: str, name: str, project: Path, propagate: Forks) -> None:
    assert propagate("keypoints", "clip.mp4", "points.csv", "-o", f"as-{form}", "--format", form, cwd=project).code == 0
    assert (project / f"as-{form}" / name).stat().st_size > 0


def test_frames_before_the_first_label_are_labelled_unless_labels_go_forward_only(
    project: Path, propagate: Forks
) -> None:
    propagate("masks", "clip.mp4", "2=mask.png", "-o", "both", cwd=project)
    sources = [json.loads(line)["source"] for line in (project / "both/results.jsonl").read_text().splitlines()]
    assert sources[:4] == ["propagated", "propagated", "annotated", "propagated"]
    with Image.open(project / "both/masks/00000.png") as image:
        assert np.asarray(image).any()
    propagate("masks", "clip.mp4", "2=mask.png", "-o", "late", "--direction", "forward", cwd=project)
    sources = [json.loads(line)["source"] for line in (project / "late/results.jsonl").read_text().splitlines()]
    assert sources[:4] == ["none", "none", "annotated", "propagated"]
    with Image.open(project / "late/masks/00001.png") as image:
        assert not np.asarray(image).any()
