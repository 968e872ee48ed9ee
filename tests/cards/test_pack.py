"""A training run packed into a file of weights: what it holds, what it says of itself, and what is refused."""

from __future__ import annotations

import dataclasses
import json
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file
from torch import nn
from training.small_footage import numbered, panned, prepare

from propagate.cards.pack import PackRequest, chosen_settings, pack, plain_word, read_run, train_command
from propagate.cards.training_data import data_table
from propagate.commands.train import open_training
from propagate.encoders.build import as_module
from propagate.encoders.weights import describe, load_encoder, open_encoder, save_weights, verify
from propagate.errors import ConfigError, ConflictError, InputError, WeightsError
from propagate.runs.run import StoppedError
from propagate.training.config import TrainConfig, resolve_training
from propagate.training.data.sources import find_videos
from propagate.training.request import TrainRequest

FLAGS = {"size": 32, "batch": 2, "threads": 1, "dtype": "float32", "rate": 24, "steps": 4, "log_every": 1}
ROWS = (
    "file,source_repo,license_tier,seconds\nclip0,a/one,permissive,60\nclip1,b/two,noncommercial,90\nclip2,b/two,,30\n"
)
OPTIONS = ("size", "batch", "steps", "rate", "dtype")  # `validations` stands for those that have no option


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with videos, their manifest, prepared footage, and a run of it."""
    folder = tmp_path_factory.mktemp("pack")
    for seed in range(3):
        numbered(folder / f"videos/clip{seed}", panned(12, seed=seed))
    (folder / "videos/manifest.csv").write_text(ROWS, encoding="utf-8")
    footage = prepare(find_videos([str(folder / "videos")]), folder / "small", side=32)
    train(TrainRequest(footage, folder / "run", flags={**FLAGS, "validations": 2}))
    return folder


def train(request: TrainRequest) -> None:
    with closing(open_training(request)) as training:
        for _ in training:
            pass


def request_of(place: Path, target: Path, **change: object) -> PackRequest:
    whole = PackRequest(place / "run", target, videos=(str(place / "videos"),), license="research only: why")
    return replace(whole, options=OPTIONS, **change)  # type: ignore[arg-type]


def test_a_packed_run_is_float16_and_gives_the_same_features(place: Path, tmp_path: Path) -> None:
    pack(request_of(place, tmp_path / "w.safetensors"))
    assert verify(tmp_path / "w.safetensors").dtype == "float16"
    picture = torch.rand(1, 3, 40, 48, generator=torch.Generator().manual_seed(0))
    packed = load_encoder(weights=tmp_path / "w.safetensors").encode(picture)
    run = load_encoder(weights=place / "run/last.safetensors").encode(picture)
    assert (packed - run).norm() < 2e-3 * run.norm()  # float16 rounds by 2^-11


def test_its_header_says_how_it_came_to_be(place: Path, tmp_path: Path) -> None:
    notes = pack(request_of(place, tmp_path / "w.safetensors", preset={"radius": None, "lab_weight": 240.0}))
    header = describe(tmp_path / "w.safetensors").header
    assert (notes, header.encoder) == ((), "resnet18")
    own = open_encoder(None, place / "run/last.safetensors").preset
    assert header.preset == {**own, "radius": None, "lab_weight": 240.0}
    training = header.training
    assert (training["objective"], training["steps"], training["license"]) == ("pretext", 4, "research only: why")
    assert (training["recipe"], training["minutes"] >= 0) == ("lab:1", True)
    assert ("thread" in training["hardware"], len(training["date"])) == (True, 10)
    assert training["command"].startswith("propagate train videos --size 32 ")
    assert training["command"].endswith("--config settings.yaml --out run")
    assert training["command_settings"] == {"validations": 2}
    assert training["settings"]["steps"] == 4
    assert str(place) not in json.dumps(dataclasses.asdict(header))


def test_its_data_are_counted_by_folder_and_licence(place: Path, tmp_path: Path) -> None:
    pack(request_of(place, tmp_path / "w.safetensors"))
    first = {"folder": "videos", "license_tier": "noncommercial", "clips": 1, "minutes": 1.5, "sources": ["b/two"]}
    data = describe(tmp_path / "w.safetensors").header.training["data"]
    assert data[0] == first
    assert [(row["license_tier"], row["minutes"], row["sources"]) for row in data[1:]] == [
        ("permissive", 1.0, ["a/one"]),
        ("unknown", 0.5, ["b/two"]),
    ]


def test_a_manifest_and_its_folder_are_the_same_data(place: Path) -> None:
    assert data_table([str(place / "videos/manifest.csv")]) == data_table([str(place / "videos")])


def test_prepared_footage_says_what_was_used(place: Path, tmp_path: Path) -> None:
    pack(request_of(place, tmp_path / "w.safetensors", prepared=place / "small"))
    training = describe(tmp_path / "w.safetensors").header.training
    assert [row["clips"] for row in training["data"]] == [1, 1, 1]
    assert {row["minutes"] for row in training["data"]} == {round(12 / 24 / 60, 2)}
    assert (training["footage"]["shots"], training["footage"]["held_out_shots"]) == (2, 1)
    assert "--prepare small --side 32" in training["command"]


def test_other_footage_and_other_videos_are_refused(place: Path, tmp_path: Path) -> None:
    numbered(tmp_path / "other/clip", panned(12, seed=9))
    prepare(find_videos([str(tmp_path / "other")]), tmp_path / "small", side=32)
    request = request_of(place, tmp_path / "w.safetensors", prepared=tmp_path / "small")
    with pytest.raises(ConfigError, match="is not the footage of this run: its digest is"):
        pack(request)
    more = (*request.videos, str(tmp_path / "other"))
    with pytest.raises(ConfigError, match="VIDEOS are not those of .*small: 1 are in one only, such as clip"):
        pack(replace(request, prepared=place / "small", videos=more))
    assert not (tmp_path / "w.safetensors").exists()


def test_packed_twice_the_bytes_are_the_same(place: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        pack(request_of(place, tmp_path / f"{name}.safetensors", hardware="abacus"))
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()
    assert describe(tmp_path / "a.safetensors").header.training["hardware"] == "abacus"


def test_the_best_weights_are_asked_for(place: Path, tmp_path: Path) -> None:
    notes = pack(request_of(place, tmp_path / "w.safetensors", best=True))
    step = describe(tmp_path / "w.safetensors").header.training["step"]
    assert step == describe(place / "run/best.safetensors").header.training["step"]
    assert ("these are the weights of step 2" in " ".join(notes)) == (step == 2)
    packed, best = load_file(tmp_path / "w.safetensors"), load_file(place / "run/best.safetensors")
    assert all(torch.equal(packed[name], best[name].half()) for name in best)


def test_a_file_that_is_there_is_kept(place: Path, tmp_path: Path) -> None:
    (tmp_path / "w.safetensors").write_text("mine", encoding="utf-8")
    with pytest.raises(ConflictError, match=r"w.safetensors: already exists \(give another name, or --force"):
        pack(request_of(place, tmp_path / "w.safetensors"))
    pack(request_of(place, tmp_path / "w.safetensors", force=True))
    assert verify(tmp_path / "w.safetensors").header.encoder == "resnet18"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"preset": {"radios": 1}}, "did you mean 'radius'"),
        ({"preset": {"weights": "other"}}, "weights is not for a file of weights to say"),
        ({"target": Path("w.pth")}, "w.pth: weights are called NAME.safetensors"),
    ],
)
def test_what_cannot_be_packed_is_refused(place: Path, tmp_path: Path, change: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        pack(replace(request_of(place, tmp_path / "w.safetensors"), **change))  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_no_run_is_refused(place: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"run.yaml: cannot be read: No such file.*propagate train -o"):
        pack(request_of(place, tmp_path / "w.safetensors", run=tmp_path))
    (tmp_path / "run.yaml").write_text("{command: masks, inputs: {}, settings: {}}", encoding="utf-8")
    with pytest.raises(InputError, match="is not the record of a training run"):
        pack(request_of(place, tmp_path / "w.safetensors", run=tmp_path))


def test_a_run_of_the_release_before_is_read(place: Path, tmp_path: Path) -> None:
    for name in ("log.jsonl", "checkpoints"):
        (tmp_path / name).symlink_to(place / "run" / name)
    record = yaml.safe_load((place / "run/run.yaml").read_text(encoding="utf-8"))
    record["fingerprint"] = record.pop("inputs")
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(record), encoding="utf-8")
    assert read_run(tmp_path).inputs == record["fingerprint"]


def test_values_beyond_float16_are_refused(place: Path, tmp_path: Path) -> None:
    for name in ("run.yaml", "log.jsonl", "checkpoints"):
        (tmp_path / name).symlink_to(place / "run" / name)
    encoder = open_encoder(None, place / "run/last.safetensors")
    nn.init.constant_(as_module(encoder).get_parameter("trunk.bn1.weight"), 1e5)
    save_weights(tmp_path / "last.safetensors", encoder, training={})
    with pytest.raises(WeightsError, match="beyond float16, or not finite, in trunk.bn1.weight"):
        pack(request_of(place, tmp_path / "w.safetensors", run=tmp_path))
    assert not (tmp_path / "w.safetensors").exists()


def test_an_unfinished_run_is_packed_with_a_word(place: Path, tmp_path: Path) -> None:
    from propagate.training.data.prepared import open_footage

    asked = iter((None, None, None, 15))
    flags = {**FLAGS, "steps": 8, "validations": 4}
    request = TrainRequest(open_footage(place / "small"), tmp_path / "run", flags=flags, stop=lambda: next(asked))
    with pytest.raises(StoppedError):
        train(request)
    notes = pack(PackRequest(tmp_path / "run", tmp_path / "w.safetensors"))
    assert f"{tmp_path / 'run'}: this run is not finished, 50% of it is done" in notes
    assert "the file names no licence: give --license" in notes


def test_the_command_gives_back_the_settings() -> None:
    config = resolve_training({"objective": "corrflow", "radius": None, "cycle": False, "learning_rate": 5e-4})
    chosen = chosen_settings(TrainConfig(**{**dataclasses.asdict(config), "size": 96, "crop_from": 0.25}))
    options = {*TrainConfig.__dataclass_fields__} - {"crop_from"}
    command, rest = train_command(chosen, videos=["a b"], options=options, others={"prepare": None}, out="r")
    assert command.startswith("propagate train ")
    assert "--objective corrflow" in command
    assert "--size 96" in command
    assert "--no-cycle" in command
    assert "--prepare" not in command
    assert rest["crop_from"] == 0.25


def test_words_of_a_command_are_names(tmp_path: Path) -> None:
    assert plain_word(str(tmp_path)) == tmp_path.name
    assert plain_word(str(tmp_path / "some/*.mp4")) == "some/*.mp4"
