"""What did not change is not computed again: labels, outputs and damage, each against a run made at once."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from propagate.commands.masks import MaskOptions, open_masks
from propagate.engine.group import mirrored
from propagate.engine.propagation import Propagation
from propagate.errors import ConflictError, InputError
from propagate.runs.finished import FinishedRun
from propagate.runs.request import Request
from propagate.runs.run import StoppedError
from propagate.runs.settings import SettingLayers
from propagate.values import Frame
from propagate.video import read_video

Tree = dict[str, bytes]
FRAMES = 9
LAYERS = SettingLayers(flags={"encoder": "rawcolor", "context": 3})


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Return a folder of pictures in which a square moves over noise, with masks of frames 0, 4 and 7 beside it."""
    noise = np.random.default_rng(0).integers(0, 100, (48, 64, 3), dtype=np.uint8)
    (tmp_path / "frames").mkdir()
    for index in range(FRAMES):
        picture = noise.copy()
        picture[8:32, 4 * index : 4 * index + 24] = (220, 30, 20)
        Image.fromarray(picture).save(tmp_path / f"frames/{index}.png")
        mask = np.zeros((48, 64), np.uint8)
        mask[8:32, 4 * index : 4 * index + 24] = 255
        Image.fromarray(mask).save(tmp_path / f"mask{index}.png")
    return tmp_path


class Computed(dict[str, list[int]]):
    """The frames that the network computes on each way, in order."""

    def __init__(self) -> None:
        super().__init__(forward=[], backward=[])

    def clear(self) -> None:
        self.update(forward=[], backward=[])


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> Computed:
    """Return the frames that the network computes on each way."""
    seen = Computed()
    advance = Propagation.advance

    def counted(self: Propagation, frame: Frame) -> object:
        way = "forward" if frame.index < FRAMES else "backward"
        seen[way].append(frame.index if way == "forward" else mirrored(frame.index))
        return advance(self, frame)

    monkeypatch.setattr(Propagation, "advance", counted)
    return seen


NOTHING: dict[str, list[int]] = {"forward": [], "backward": []}


def do(
    project: Path, name: str, labels: Sequence[int] = (0,), *, options: MaskOptions | None = None, **more: object
) -> Tree:
    words = [f"{index}={project / f'mask{index}.png'}" for index in labels]
    request = Request(str(project / "frames"), project / name, **{"layers": LAYERS, **more})  # type: ignore[arg-type]
    run = open_masks(request, words, options=options)
    list(run)
    run.close()
    return tree(project / name)


def tree(folder: Path) -> Tree:
    files = [path for path in folder.rglob("*") if path.is_file() and ".state" not in path.parts]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files if path.name != "run.yaml"}


def times(folder: Path) -> dict[str, int]:
    """Return when each mask was written."""
    return {path.name: path.stat().st_mtime_ns for path in (folder / "masks").iterdir()}


def drift(project: Path) -> None:
    """Let the masks of frames 4 and 7 be other than what comes to these frames: only the upper half of the square."""
    for index in (4, 7):
        mask = np.zeros((48, 64), np.uint8)
        mask[8:20, 4 * index : 4 * index + 24] = 255
        Image.fromarray(mask).save(project / f"mask{index}.png")


def test_a_label_more_computes_its_span_both_ways(project: Path, computed: Computed) -> None:
    drift(project)
    before = do(project, "grown", (0, 4))
    written = times(project / "grown")
    computed.clear()
    grown = do(project, "grown", (0, 4, 7))
    assert computed == {"forward": [4, 5, 6, 7, 8], "backward": [7, 6, 5, 4]}
    assert all(grown[f"masks/{index}.png"] == before[f"masks/{index}.png"] for index in range(5))
    assert grown["masks/8.png"] != before["masks/8.png"]
    assert [
        name for name, time in times(project / "grown").items() if name[0] in "01234" and written[name] != time
    ] == []
    assert do(project, "whole", (0, 4, 7)) == grown


def test_a_label_in_a_span_leaves_the_frames_outside_as_they_are(project: Path, computed: Computed) -> None:
    drift(project)
    before = do(project, "grown", (0, 7))
    written = times(project / "grown")
    computed.clear()
    grown = do(project, "grown", (0, 4, 7))
    assert computed == {"forward": [0, 1, 2, 3, 4, 5, 6], "backward": [6, 5, 4, 3, 2, 1, 0]}
    for name in ("0.png", "7.png", "8.png"):
        assert grown[f"masks/{name}"] == before[f"masks/{name}"]
        assert times(project / "grown")[name] == written[name]
    assert grown["masks/3.png"] != before["masks/3.png"]  # which is looked at from frame 4 now
    assert do(project, "whole", (0, 4, 7)) == grown


def test_a_label_less_computes_its_span_both_ways(project: Path, computed: Computed) -> None:
    drift(project)
    before = do(project, "shrunk", (0, 4, 7))
    written = times(project / "shrunk")
    computed.clear()
    shrunk = do(project, "shrunk", (0, 4))
    assert computed["forward"][:5] == [4, 5, 6, 7, 8]
    assert computed["backward"] == [4]  # frames before it are labelled from it as before
    assert shrunk["masks/8.png"] != before["masks/8.png"]
    assert [
        name for name, time in times(project / "shrunk").items() if name[0] in "01234" and written[name] != time
    ] == []
    assert shrunk == do(project, "whole", (0, 4))


def test_a_label_in_the_middle_fills_the_frames_before_it(project: Path, computed: Computed) -> None:
    found = do(project, "middle", (4,))
    assert computed == {"forward": [4, 5, 6, 7, 8], "backward": [4, 3, 2, 1, 0]}
    for index in range(FRAMES):
        mask = np.asarray(Image.open(project / f"middle/masks/{index}.png")) > 0
        truth = np.asarray(Image.open(project / f"mask{index}.png")) > 0
        assert (mask & truth).sum() > 0.8 * (mask | truth).sum()
    computed.clear()
    assert do(project, "middle", (4,)) == found
    assert computed == NOTHING


@pytest.mark.parametrize(("direction", "labelled"), [("forward", range(4, 9)), ("backward", range(5))])
def test_labels_go_one_way_where_that_is_asked_for(
    direction: str, labelled: range, project: Path, computed: Computed
) -> None:
    do(project, "out", (4,), layers=SettingLayers(flags={**LAYERS.flags, "direction": direction}))
    assert sorted(computed[direction]) == list(labelled)
    assert sum(map(len, computed.values())) == len(labelled)
    shown = [np.asarray(Image.open(project / f"out/masks/{index}.png")).any() for index in range(FRAMES)]
    assert shown == [index in labelled for index in range(FRAMES)]


def test_a_frame_that_cannot_be_decoded_may_lie_alone_between_two_labels(project: Path) -> None:
    (project / "frames/1.png").write_bytes(b"no picture")
    found = do(project, "out", (0, 2, 4))
    assert f"masks/{FRAMES - 1}.png" in found


@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(st.sets(st.integers(0, FRAMES - 1), min_size=1, max_size=4), min_size=2, max_size=4),
    odd=st.sets(st.integers(0, FRAMES - 1)),
)
def test_what_comes_out_does_not_depend_on_the_way_there(project: Path, steps: list[set[int]], odd: set[int]) -> None:
    shutil.rmtree(project / "grown", ignore_errors=True)
    shutil.rmtree(project / "whole", ignore_errors=True)
    for index in range(FRAMES):  # some show one object, some two, some the second alone
        picture = np.zeros((48, 64), np.uint8)
        if index % 3 < 2:
            picture[8 : 20 if index in odd else 32, 4 * index : 4 * index + 24] = 1
        if index % 3 > 0:
            picture[36:, 40:56] = 2
        Image.fromarray(picture).save(project / f"mask{index}.png")
    for labels in steps:
        grown = do(project, "grown", sorted(labels))
    assert do(project, "whole", sorted(steps[-1])) == grown


def test_outputs_that_are_wanted_later_need_no_network(
    project: Path, computed: Computed, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = MaskOptions(overlay=project / "later/o.mp4", soft=True)
    do(project, "later")
    computed.clear()
    with monkeypatch.context() as without:
        without.setattr("propagate.runs.request.load_model", lambda *_, **__: pytest.fail("a network is loaded"))
        later = do(project, "later", options=options)
    assert computed == NOTHING
    whole = do(project, "whole", options=MaskOptions(overlay=project / "whole/o.mp4", soft=True))
    assert later == whole
    computed.clear()
    assert do(project, "later", (0, 7)).keys() == later.keys()  # an output once wanted is kept up to date
    assert computed == {"forward": list(range(9)), "backward": list(range(7, -1, -1))}


@pytest.mark.parametrize("name", ["masks/3.png", "soft/5.npz", "o.mp4", "results.jsonl"])
@pytest.mark.parametrize("harm", ["missing", "empty", "cut", "zeroed"])
def test_what_was_damaged_is_made_again_without_the_network(
    name: str, harm: str, project: Path, computed: Computed
) -> None:
    options = MaskOptions(overlay=project / "out/o.mp4", soft=True)
    whole = do(project, "out", options=options)
    path = project / "out" / name
    data = path.read_bytes()
    harmed = {"empty": b"", "cut": data[: len(data) // 2], "zeroed": bytes(len(data))}
    path.unlink() if harm == "missing" else path.write_bytes(harmed[harm])
    computed.clear()
    assert do(project, "out", options=options) == whole
    assert computed == NOTHING


@pytest.mark.parametrize("harm", ["missing", "cut", "zeroed"])
@pytest.mark.parametrize("way", ["forward", "backward"])
def test_a_damaged_state_is_computed_again(way: str, harm: str, project: Path, computed: Computed) -> None:
    whole = do(project, "out", (0, 7))
    path = project / f"out/.state/{way}/000003.npz"
    data = path.read_bytes()
    path.unlink() if harm == "missing" else path.write_bytes(data[:40] if harm == "cut" else bytes(len(data)))
    (project / "out/masks/5.png").unlink()  # else the run is finished, and needs no state
    computed.clear()
    assert do(project, "out", (0, 7)) == whole
    assert computed == {**NOTHING, way: [3]}
    assert path.read_bytes() == data


def test_a_finished_run_is_recognised(project: Path, computed: Computed) -> None:
    do(project, "out")
    words = [f"0={project / 'mask0.png'}"]
    request = Request(str(project / "frames"), project / "out", layers=LAYERS)
    again = open_masks(request, words)
    assert isinstance(again, FinishedRun)
    assert [line["index"] for line in again.lines()] == list(range(FRAMES))
    (project / "frames/5.png").write_bytes((project / "frames/6.png").read_bytes())
    with pytest.raises(ConflictError, match="the video is not the same"):
        open_masks(request, words)


def test_more_frames_are_added_and_none_taken_away(project: Path, computed: Computed) -> None:
    do(project, "out", end="5")
    computed.clear()
    assert do(project, "out") == do(project, "whole")
    assert computed["forward"][:4] == [5, 6, 7, 8]  # what follows is of the other run
    with pytest.raises(ConflictError, match="holds a longer run"):
        do(project, "out", end="5")


def test_labels_that_lie_among_the_results_stay(project: Path) -> None:
    do(project, "out")
    drawn = (project / "mask4.png").read_bytes()
    (project / "out/masks/4.png").write_bytes(drawn)
    request = Request(str(project / "frames"), project / "out", layers=LAYERS, force=True)
    run = open_masks(request, [f"0={project / 'mask0.png'}", f"4={project / 'out/masks/4.png'}"])
    list(run)
    run.close()
    assert (project / "out/masks/4.png").read_bytes() == drawn


def test_without_its_state_a_run_keeps_what_is_there_unless_forced(project: Path) -> None:
    before, wanted = do(project, "out"), do(project, "whole", (0, 4))
    shutil.rmtree(project / "out/.state")
    assert do(project, "out") == before
    shutil.rmtree(project / "out/.state")
    kept = do(project, "out", (0, 4))
    assert [name for name in wanted if "masks/" in name and kept[name] != wanted[name]]  # nobody knows whose they are
    assert do(project, "out", (0, 4), force=True) == kept
    shutil.rmtree(project / "out/.state")
    assert do(project, "out", (0, 4), force=True) == wanted


def test_a_label_on_a_picture_that_cannot_be_read_is_refused(project: Path) -> None:
    (project / "frames/4.png").write_bytes(b"no picture")
    with pytest.raises(InputError, match="frame 4 cannot be decoded, and no other frame has a label"):
        do(project, "out", (4,))


def test_a_label_less_takes_its_objects_with_it(project: Path) -> None:
    picture = np.zeros((48, 64), np.uint8)
    picture[8:32, 16:40], picture[40:, :8] = 1, 2
    Image.fromarray(picture).save(project / "mask4.png")
    Image.fromarray((picture == 1).astype(np.uint8)).save(project / "mask0.png")
    before = do(project, "out", (0,))
    do(project, "out", (0, 4))
    assert do(project, "out", (0,)) == before


def test_settings_of_a_run_that_was_broken_off_are_not_taken_for_those_of_the_finished_one(project: Path) -> None:
    do(project, "out")
    other = SettingLayers(flags={**LAYERS.flags, "topk": 1})
    words = [f"0={project / 'mask0.png'}"]
    request = Request(str(project / "frames"), project / "out", layers=other, force=True, stop=lambda: 2)
    run = open_masks(request, words)
    with pytest.raises(StoppedError):
        list(run)
    run.close()
    with pytest.raises(ConflictError, match="topk is 1 there, 5 now"):
        do(project, "out")


def test_a_persons_overlay_is_never_lost(project: Path) -> None:
    options = MaskOptions(overlay=project / "o.mp4")
    do(project, "out", options=options)
    longer = (project / "o.mp4").read_bytes() + b"by hand"
    (project / "o.mp4").write_bytes(longer)
    do(project, "out", (0, 4), options=options)
    assert (project / "o.mp4").read_bytes() == longer
    (project / "o.mp4").write_bytes(b"trimmed by hand")
    do(project, "out", (0, 7), options=options)
    assert (project / "o.edited.mp4").read_bytes() == b"trimmed by hand"


def test_a_video_in_the_place_of_one_that_a_stopped_run_would_have_made_is_refused(project: Path) -> None:
    options, words = MaskOptions(overlay=project / "o.mp4"), [f"0={project / 'mask0.png'}"]
    request = Request(str(project / "frames"), project / "out", layers=LAYERS, stop=lambda: 2)
    run = open_masks(request, words, options=options)
    with pytest.raises(StoppedError):
        list(run)
    run.close()
    (project / "o.mp4").write_bytes(b"a person's")
    with pytest.raises(ConflictError, match="was not written by a run of this name"):
        do(project, "out", options=options)
    assert (project / "o.mp4").read_bytes() == b"a person's"


@pytest.mark.parametrize("line", [b'{"loss": 0.3}\n', b"a note\n"])
def test_results_of_another_program_are_moved_aside(line: bytes, project: Path) -> None:
    (project / "out").mkdir()
    (project / "out/results.jsonl").write_bytes(line)
    assert do(project, "out", force=True)["results.edited.jsonl"] == line
    with (project / "out/results.jsonl").open("ab") as file:
        file.write(line)
    assert do(project, "out")["results.edited1.jsonl"].endswith(line)


def test_an_overlay_does_not_go_further_than_its_run(project: Path) -> None:
    options, words = MaskOptions(overlay=project / "o.mp4"), [f"0={project / 'mask0.png'}"]
    layers = SettingLayers(flags={**LAYERS.flags, "checkpoint": 2})
    signals = iter([None] * 6)
    request = Request(str(project / "frames"), project / "out", layers=layers, stop=lambda: next(signals, 2))
    run = open_masks(request, words, options=options)
    with pytest.raises(StoppedError):
        list(run)
    run.close()
    shorter = Request(str(project / "frames"), project / "out", layers=layers, end="3", force=True)
    run = open_masks(shorter, words, options=options)
    list(run)
    run.close()
    with read_video(str(project / "o.mp4")) as reader:
        assert len(reader) == 3
