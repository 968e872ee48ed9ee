"""A training run: stopped and resumed to the same weights, refused, diverged."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file
from training.small_footage import numbered, panned

from propagate.commands.train import open_training
from propagate.encoders.build import as_module, build_encoder
from propagate.encoders.weights import open_encoder, save_weights
from propagate.errors import ConfigError, ConflictError
from propagate.render.plots import can_plot
from propagate.runs.folder import RunFolder
from propagate.runs.run import StoppedError
from propagate.training.data.footage import Footage, decoded_footage
from propagate.training.data.sources import find_videos
from propagate.training.folder import BEST, claim_run, place, place_picture, scratch
from propagate.training.loop import DivergedError
from propagate.training.request import TrainInputs, TrainRequest

FLAGS = {"objective": "colorization", "size": 32, "batch": 2, "threads": 1, "dtype": "float32", "rate": None}


@pytest.fixture(scope="module")
def footage(tmp_path_factory: pytest.TempPathFactory) -> Footage:
    folder = tmp_path_factory.mktemp("videos")
    for seed in range(3):
        numbered(folder / f"clip{seed}", panned(12, seed=seed))
    return decoded_footage(find_videos([str(folder)]))


def after(steps: int) -> Callable[[], int | None]:
    """Return what asks a run to stop after so many steps."""
    asked: Iterator[int] = iter(range(1, 1000))
    return lambda: signal.SIGTERM if next(asked) >= steps else None


def trained(request: TrainRequest) -> dict[str, torch.Tensor]:
    with closing(open_training(request)) as training:
        for _ in training:
            pass
    return dict(load_file(request.out / "last.safetensors"))


def test_a_run_that_was_stopped_ends_with_the_weights_of_one_left_alone(footage: Footage, tmp_path: Path) -> None:
    request = TrainRequest(footage, tmp_path / "alone", flags={**FLAGS, "steps": 5})
    alone = trained(request)
    again = replace(request, out=tmp_path / "stopped", stop=after(2))
    with pytest.raises(StoppedError, match="stopped after 2 of 5 steps"):
        trained(again)
    with pytest.raises(StoppedError, match="stopped after 4 of 5 steps"):
        trained(replace(again, stop=after(2)))
    resumed = trained(replace(again, stop=lambda: None))
    assert alone.keys() == resumed.keys()
    assert all(torch.equal(alone[name], resumed[name]) for name in alone)
    for name in ("last.safetensors", "best.safetensors"):  # header included: nothing of the clock is in it
        assert (tmp_path / "alone" / name).read_bytes() == (tmp_path / "stopped" / name).read_bytes()


def test_the_log_has_a_line_a_step_and_the_weights_can_be_used(footage: Footage, tmp_path: Path) -> None:
    from propagate.encoders.weights import load_encoder

    request = TrainRequest(footage, tmp_path / "run", flags={**FLAGS, "steps": 3, "log_every": 1, "validations": 1})
    trained(request)
    lines = [json.loads(line) for line in (tmp_path / "run/log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3]
    assert lines[-1]["validation"]["L1"] > 0
    assert all(np.isfinite(line["loss"]) for line in lines)
    encoder = load_encoder(weights=tmp_path / "run/best.safetensors")
    assert encoder.name == "colorization"
    assert len(list((tmp_path / "run/pictures").iterdir())) == 1
    assert (tmp_path / "run/curve.svg").exists() == can_plot()


def test_a_finished_run_is_not_done_again(footage: Footage, tmp_path: Path) -> None:
    request = TrainRequest(footage, tmp_path / "run", flags={**FLAGS, "steps": 2})
    trained(request)
    with closing(open_training(request)) as training:
        assert training.finished


def test_what_cannot_be_is_refused(footage: Footage, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nothing ends this run"):
        open_training(TrainRequest(footage, tmp_path / "a", flags=FLAGS))
    with pytest.raises(ConfigError, match="did you mean 'steps'"):
        open_training(TrainRequest(footage, tmp_path / "a", flags={"step": 3}))
    with pytest.raises(ConfigError, match="jitter_crops is a setting of colorization, not of timecycle"):
        open_training(
            TrainRequest(footage, tmp_path / "a", flags={"objective": "timecycle", "steps": 2, "jitter_crops": 8})
        )
    request = TrainRequest(footage, tmp_path / "b", flags={**FLAGS, "steps": 2})
    trained(request)
    with pytest.raises(ConflictError, match="learning_rate"):
        open_training(replace(request, flags={**FLAGS, "steps": 2, "learning_rate": 0.5}))


def test_a_loss_that_is_not_finite_names_the_step_and_the_clips(footage: Footage, tmp_path: Path) -> None:
    request = TrainRequest(footage, tmp_path / "run", flags={**FLAGS, "steps": 3})
    with closing(open_training(request)) as training:
        parameter = next(iter(training.optimizer.param_groups[0]["params"]))
        with torch.no_grad():
            parameter.fill_(float("nan"))
        with pytest.raises(DivergedError, match=r"step 1: the loss is .*nan.*, with the clips .*clip"):
            list(training)


def test_weights_to_go_on_from_are_the_first_weights(footage: Footage, tmp_path: Path) -> None:
    trained(TrainRequest(footage, tmp_path / "first", flags={**FLAGS, "steps": 2}))
    flags = {**FLAGS, "steps": 2, "init": str(tmp_path / "first/last.safetensors")}
    with closing(open_training(TrainRequest(footage, tmp_path / "second", flags=flags))) as training:
        before = load_file(tmp_path / "first/last.safetensors")
        state = dict(training.objective.encoder.state_dict())  # type: ignore[attr-defined]
        assert all(torch.equal(state[name], before[name]) for name in before)


def test_padding_is_that_of_the_weights_that_come_out(footage: Footage, tmp_path: Path) -> None:
    flags = {**FLAGS, "objective": "timecycle", "encoder": "timecycle-r18", "size": 48, "steps": 1, "frames": 2}
    trained(TrainRequest(footage, tmp_path / "run", flags={**flags, "padding": "reflect"}))
    encoder = open_encoder(None, str(tmp_path / "run/last.safetensors"))
    assert encoder.settings["padding"] == "reflect"
    assert all(m.padding_mode == "reflect" for m in as_module(encoder).modules() if getattr(m, "padding", 0) == (1, 1))
    with pytest.raises(ConfigError, match="corrflow"):
        open_training(
            TrainRequest(footage, tmp_path / "no", flags={"encoder": "corrflow", "padding": "reflect", "steps": 1})
        )


def test_weights_to_go_on_from_bring_their_encoder_and_their_preset(footage: Footage, tmp_path: Path) -> None:
    encoder = build_encoder("resnet18", settings={"padding": "reflect"})
    encoder.preset = {**encoder.preset, "topk": 5}
    save_weights(tmp_path / "own.safetensors", encoder, training={})
    flags = {"objective": "corrflow", "init": str(tmp_path / "own.safetensors"), "size": 32, "batch": 2, "steps": 1}
    request = TrainRequest(footage, tmp_path / "run", flags={**flags, "threads": 1, "rate": None})
    with pytest.raises(ConfigError, match="padding is zeros"):
        open_training(replace(request, flags={**request.flags, "padding": "zeros"}))
    trained(request)
    found = open_encoder(None, str(tmp_path / "run/last.safetensors"))
    assert (found.name, found.settings["padding"], found.preset["topk"]) == ("resnet18", "reflect", 5)


def test_without_anything_to_validate_on_the_last_weights_are_the_best(
    footage: Footage, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    flags = {**FLAGS, "steps": 2, "validations": 2, "held_out": 0.0}
    last = trained(TrainRequest(footage, tmp_path / "run", flags=flags))
    assert "nothing is validated" in caplog.text
    best = load_file(tmp_path / "run/best.safetensors")
    assert all(torch.equal(best[name], last[name]) for name in last)


def test_a_stop_saves_without_validating(footage: Footage, tmp_path: Path) -> None:
    flags = {**FLAGS, "steps": 4, "validations": 4}
    with pytest.raises(StoppedError):
        trained(TrainRequest(footage, tmp_path / "run", flags=flags, stop=after(1)))
    assert not (tmp_path / "run/last.safetensors").exists()
    assert len(list((tmp_path / "run/checkpoints").iterdir())) == 1


def test_a_validation_that_a_stop_put_off_is_made_on_the_same_weights(footage: Footage, tmp_path: Path) -> None:
    flags = {**FLAGS, "steps": 4, "validations": 2, "held_out": 0.3, "learning_rate": 0.1}
    request = TrainRequest(footage, tmp_path / "alone", flags=flags)
    trained(request)
    stopped = replace(request, out=tmp_path / "stopped", stop=after(2))  # where the first of the two is due
    with pytest.raises(StoppedError):
        trained(stopped)
    assert not (tmp_path / "stopped/pictures").exists()
    trained(replace(stopped, stop=lambda: None))
    names = [sorted(path.name for path in (tmp_path / run / "pictures").iterdir()) for run in ("alone", "stopped")]
    assert names[0] == names[1] == ["step-000002.png", "step-000004.png"]
    for name in names[0]:
        assert (tmp_path / "alone/pictures" / name).read_bytes() == (tmp_path / "stopped/pictures" / name).read_bytes()
    alone, again = (load_file(tmp_path / run / "best.safetensors") for run in ("alone", "stopped"))
    assert all(torch.equal(alone[name], again[name]) for name in alone)


def test_force_removes_what_a_run_wrote_and_nothing_else(footage: Footage, tmp_path: Path) -> None:
    request = TrainRequest(footage, tmp_path / "run", flags={**FLAGS, "steps": 2, "validations": 2, "held_out": 0.3})
    trained(request)
    mine = [
        tmp_path / "run" / name for name in ("notes.txt", "pictures/mine.png", "checkpoints/kept.pt", "tensorboard/a")
    ]
    for path in mine:
        path.parent.mkdir(exist_ok=True)
        path.write_text("mine", encoding="utf-8")
    with closing(open_training(replace(request, flags={**FLAGS, "steps": 1}, force=True))) as training:
        assert training.first_step == 0
    assert [path.read_text(encoding="utf-8") for path in mine] == ["mine"] * len(mine)
    left = {path.relative_to(tmp_path / "run").as_posix() for path in (tmp_path / "run").rglob("*") if path.is_file()}
    assert {name for name in left if not name.startswith(".state/")} - {"run.yaml"} == {
        path.relative_to(tmp_path / "run").as_posix() for path in mine
    }


def test_force_writes_beside_files_of_others_but_not_over_them(footage: Footage, tmp_path: Path) -> None:
    request = TrainRequest(footage, tmp_path / "run", flags={**FLAGS, "steps": 1})
    (tmp_path / "run").mkdir()
    (tmp_path / "run/notes.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(ConflictError, match="holds other files"):
        open_training(request)
    (tmp_path / "run/best.safetensors").write_text("mine", encoding="utf-8")
    with pytest.raises(ConflictError, match=r"best\.safetensors: is there already, and was not written"):
        open_training(replace(request, force=True))
    (tmp_path / "run/best.safetensors").unlink()
    trained(replace(request, force=True))
    assert (tmp_path / "run/notes.txt").read_text(encoding="utf-8") == "mine"


def test_a_second_training_in_a_folder_is_told_who_works_there(footage: Footage, tmp_path: Path) -> None:
    request = TrainRequest(footage, tmp_path / "run", flags={**FLAGS, "steps": 1})
    with closing(open_training(request)):
        for other in (request, replace(request, flags={**FLAGS, "steps": 2}, force=True)):
            with pytest.raises(ConflictError, match=rf"another run \(process {os.getpid()} on .*\) is at work here"):
                open_training(other)
    open_training(request).close()


def test_a_file_that_somebody_changed_is_never_replaced(tmp_path: Path) -> None:
    folder = RunFolder.folder(tmp_path)
    record = {"command": "train", "version": "1", "inputs": {"footage": "a"}, "settings": {"steps": 1}}
    claim_run(folder, record, force=False)
    for name in (BEST, "pictures/step-000001.png", "pictures/step-000002.png"):
        scratch(folder, name).write_text(f"made {name}", encoding="utf-8")
        place(folder, scratch(folder, name), name)
    (tmp_path / "pictures/step-000002.png").write_text("mine", encoding="utf-8")
    scratch(folder, "new.png").write_text("new", encoding="utf-8")
    place_picture(folder, scratch(folder, "new.png"), "pictures/step-000002.png")
    folder.close()
    other = {**record, "settings": {"steps": 2}}
    (tmp_path / BEST).write_text("mine, which is longer than it was", encoding="utf-8")
    with pytest.raises(ConflictError, match=r"best\.safetensors: was changed since a run wrote it"):
        claim_run(RunFolder.folder(tmp_path), other, force=True)
    (tmp_path / BEST).unlink()
    claim_run(RunFolder.folder(tmp_path), other, force=True)
    assert [path.name for path in (tmp_path / "pictures").iterdir()] == ["step-000002.png"]
    assert (tmp_path / "pictures/step-000002.png").read_text(encoding="utf-8") == "mine"


def test_force_replaces_a_training_run_of_the_release_before(tmp_path: Path) -> None:
    former = {"command": "train", "version": "0.1.0", "fingerprint": {"footage": "a"}, "settings": {"steps": 1}}
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(former), encoding="utf-8")
    for name in (BEST, "notes.txt"):
        (tmp_path / name).write_text("there", encoding="utf-8")
    record = {"command": "train", "version": "1", "inputs": {"footage": "a"}, "settings": {"steps": 1}}
    with pytest.raises(ConflictError, match="holds another run"):
        claim_run(RunFolder.folder(tmp_path), record, force=False)
    claim_run(RunFolder.folder(tmp_path), record, force=True)
    assert {path.name for path in tmp_path.iterdir()} == {".state", "checkpoints", "notes.txt", "run.yaml"}


def test_inputs_are_recorded_as_seen_from_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    given = TrainInputs(("videos/*.mp4", str(tmp_path / "more")), Path("small"), 64, None)
    record = given.record(tmp_path / "runs/one")
    assert record == {
        "videos": ["../../videos/*.mp4", "../../more"],
        "prepare": "../../small",
        "side": 64,
        "validation": None,
    }
    (tmp_path / "runs/one").mkdir(parents=True)
    (tmp_path / "runs/one/run.yaml").write_text(yaml.safe_dump({"inputs": record, "settings": {}}), encoding="utf-8")
    assert TrainInputs.read(Path("runs/one/run.yaml")) == replace(given, videos=("videos/*.mp4", "more"))
    (tmp_path / "bad.yaml").write_text("inputs: {videos: 3}", encoding="utf-8")
    with pytest.raises(ConfigError, match="are not those of a training run"):
        TrainInputs.read(tmp_path / "bad.yaml")
