"""Files of weights: round trips, names, and every way in which a file can be wrong."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from propagate.encoders import ENCODERS, library
from propagate.encoders.build import as_module, prepare
from propagate.encoders.protocol import Encoder
from propagate.encoders.weights import (
    build_encoder,
    describe,
    find_weights,
    list_weights,
    load_encoder,
    open_encoder,
    save_weights,
    verify,
    whole_preset,
)
from propagate.encoders.weights_file import file_digest, read_header
from propagate.errors import ConfigError, OutputError, WeightsError

PICTURE = torch.rand(1, 3, 40, 48, generator=torch.Generator().manual_seed(0))


@functools.cache
def flow() -> Encoder:
    """Return `corrflow` in its Lab form, with a radius of its own."""
    encoder = build_encoder("corrflow", settings={"color": "lab"}, seed=4)
    encoder.preset = {**encoder.preset, "radius": 12}
    return encoder


@pytest.fixture
def saved(tmp_path: Path) -> tuple[Path, Encoder]:
    """Return a file of the weights of `flow`, and the encoder."""
    encoder = flow()
    save_weights(tmp_path / "flow.safetensors", encoder, training={"steps": 7})
    return tmp_path / "flow.safetensors", encoder


def rewrite(path: Path, *, header: dict[str, Any] | None = None, **tensors: torch.Tensor) -> Path:
    """Change the header or some tensors of a file of weights."""
    content = {**load_file(path), **{key.replace("__", "."): t for key, t in tensors.items()}}
    old = describe(path).header
    metadata = {"encoder": old.encoder, "settings": old.settings, "tensors_sha256": old.tensors_sha256}
    save_file(content, path, metadata={"propagate": json.dumps({**metadata, **(header or {})})})
    return path


def test_a_file_brings_its_encoder_settings_preset_and_values(saved: tuple[Path, Encoder]) -> None:
    path, encoder = saved
    loaded = load_encoder(weights=path)
    assert (loaded.name, loaded.settings, loaded.preset) == ("corrflow", {"color": "lab"}, encoder.preset)
    torch.testing.assert_close(loaded.encode(PICTURE), prepare(encoder).encode(PICTURE), atol=0, rtol=0)


@pytest.mark.parametrize("name", list(ENCODERS))
def test_every_encoder_survives_a_file(name: str, tmp_path: Path) -> None:
    encoder = build_encoder(name, seed=8)
    save_weights(tmp_path / "w.safetensors", encoder, training={})
    again = open_encoder(name, tmp_path / "w.safetensors")
    assert isinstance(again, nn.Module)
    assert isinstance(encoder, nn.Module)
    assert all(torch.equal(a, b) for a, b in zip(again.parameters(), encoder.parameters(), strict=True))
    assert again.preset == encoder.preset


def test_the_whole_preset_is_in_the_header(saved: tuple[Path, Encoder]) -> None:
    header = describe(saved[0]).header
    assert header.preset == saved[1].preset
    assert (header.encoder, header.training, header.version) == ("corrflow", {"steps": 7}, 2)


def test_another_preset_of_the_class_changes_no_file(
    saved: tuple[Path, Encoder], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("propagate.encoders.corrflow.PRESET", {"topk": 3, "patch": 5})
    assert load_encoder(weights=saved[0]).preset == saved[1].preset


def test_a_partial_preset_of_an_old_file_is_laid_over_that_of_the_class(saved: tuple[Path, Encoder]) -> None:
    path = rewrite(saved[0], header={"version": 1, "preset": {"radius": 12}})
    assert load_encoder(weights=path).preset == saved[1].preset == whole_preset(describe(path).header)


def test_float16_is_half_the_size_and_loaded_as_float32(saved: tuple[Path, Encoder], tmp_path: Path) -> None:
    save_weights(tmp_path / "half.safetensors", saved[1], training={}, dtype=torch.float16)
    info = verify(tmp_path / "half.safetensors")
    assert (info.dtype, info.size < 0.51 * saved[0].stat().st_size) == ("float16", True)
    half, full = load_file(tmp_path / "half.safetensors"), load_file(saved[0])
    assert all(torch.equal(half[name], full[name].half()) for name in full)
    loaded = load_encoder(weights=tmp_path / "half.safetensors")
    assert {parameter.dtype for parameter in as_module(loaded).parameters()} == {torch.float32}
    torch.testing.assert_close(loaded.encode(PICTURE), prepare(saved[1]).encode(PICTURE), atol=0.01, rtol=0.01)


def test_damage_to_float16_is_found(saved: tuple[Path, Encoder], tmp_path: Path) -> None:
    save_weights(tmp_path / "half.safetensors", saved[1], training={}, dtype=torch.float16)
    with pytest.raises(WeightsError, match=r"differ from the digest"):
        verify(rewrite(tmp_path / "half.safetensors", project__bias=torch.ones(64, dtype=torch.float16)))


@pytest.mark.parametrize("value", [65520.0, -1e5, float("nan")])
def test_what_float16_cannot_hold_is_refused(value: float, tmp_path: Path) -> None:
    broken = as_module(build_encoder("corrflow"))
    nn.init.constant_(broken.get_parameter("project.bias"), value)
    with pytest.raises(WeightsError, match=r"beyond float16, or not finite, in project.bias"):
        save_weights(tmp_path / "half.safetensors", broken, training={}, dtype=torch.float16)  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())


def test_description_counts_and_digests(saved: tuple[Path, Encoder]) -> None:
    info = describe(saved[0])
    assert info.parameters == 5_291_648
    assert info.size == saved[0].stat().st_size
    assert info.digest == file_digest(saved[0])
    assert verify(saved[0]) == info


def test_bytes_are_the_same_each_time(saved: tuple[Path, Encoder], tmp_path: Path) -> None:
    save_weights(tmp_path / "again.safetensors", saved[1], training={"steps": 7})
    assert file_digest(tmp_path / "again.safetensors") == file_digest(saved[0])
    assert sorted(file.name for file in tmp_path.iterdir()) == ["again.safetensors", "flow.safetensors"]


def test_bfloat16_weights_are_asked_for_by_dtype(saved: tuple[Path, Encoder]) -> None:
    assert load_encoder(weights=saved[0], dtype=torch.bfloat16).encode(PICTURE).dtype == torch.bfloat16


def test_random_weights_are_seeded() -> None:
    one, two, three = (load_encoder("resnet18", "random", seed=seed).encode(PICTURE) for seed in (1, 1, 2))
    assert torch.equal(one, two)
    assert not torch.equal(one, three)


def test_rawcolor_needs_no_weights_and_takes_settings() -> None:
    assert load_encoder("rawcolor", settings={"stride": 4}).stride == 4


def test_a_network_without_weights_is_refused() -> None:
    with pytest.raises(WeightsError, match=r"'resnet50' needs weights .*--weights FILE or --weights random"):
        load_encoder("resnet50")
    with pytest.raises(WeightsError, match=r"no encoder is named"):
        load_encoder(weights="random")


def test_an_unknown_encoder_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"did you mean 'corrflow'"):
        load_encoder("corflow", "random")


def test_weights_of_another_encoder_are_refused(saved: tuple[Path, Encoder]) -> None:
    with pytest.raises(WeightsError, match=r"flow.safetensors: holds weights of 'corrflow', not of 'resnet18'"):
        load_encoder("resnet18", saved[0])
    with pytest.raises(WeightsError, match=r"built with {'color': 'lab'}, not with {'color': 'rgb'}"):
        load_encoder("corrflow", saved[0], settings={"color": "rgb"})


def test_missing_unexpected_and_misshapen_keys_are_named(saved: tuple[Path, Encoder]) -> None:
    path = rewrite(saved[0], extra=torch.zeros(1), project__bias=torch.zeros(3))
    with pytest.raises(WeightsError, match=r"unexpected: extra; of another shape: project.bias \(3,\) for \(64,\)"):
        load_encoder(weights=path)
    rewrite(path, header={"encoder": "resnet50", "settings": {}})
    with pytest.raises(WeightsError, match=r"missing: trunk.layer1.0.conv3.weight.* and \d+ more"):
        load_encoder(weights=path)


def test_damage_and_infinities_are_found(saved: tuple[Path, Encoder]) -> None:
    path = rewrite(saved[0], project__bias=torch.ones(64))
    with pytest.raises(WeightsError, match=r"differ from the digest"):
        verify(path)
    broken = build_encoder("corrflow")
    assert isinstance(broken, nn.Module)
    nn.init.constant_(broken.get_parameter("project.bias"), float("nan"))
    save_weights(path, broken, training={})
    with pytest.raises(WeightsError, match=r"not finite in project.bias"):
        verify(path)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ({"version": 9}, "version 9, this propagate reads 1 and 2"),
        ({"encoder": "vit"}, "does not fit this propagate: no encoder is called 'vit'"),
        ({"settings": {"colour": 1}}, "does not fit this propagate: .*cannot be built"),
        ({"preset": {"radios": 1}}, "does not fit this propagate: no setting is called 'radios'"),
        ({"preset": [1]}, "header cannot be understood: .*must be mappings"),
        ({"unknown": 1}, "header cannot be understood"),
    ],
)
def test_strange_headers_are_refused(saved: tuple[Path, Encoder], header: dict[str, Any], message: str) -> None:
    path = rewrite(saved[0], header=header)
    with pytest.raises(WeightsError, match=message):
        load_encoder(weights=path)


def test_files_that_are_not_ours_are_refused(saved: tuple[Path, Encoder], tmp_path: Path) -> None:
    save_file({"a": torch.zeros(1)}, tmp_path / "foreign.safetensors")
    with pytest.raises(WeightsError, match=r"without the header 'propagate'"):
        describe(tmp_path / "foreign.safetensors")
    saved[0].write_bytes(saved[0].read_bytes()[:1000])
    with pytest.raises(WeightsError, match=r"not a whole safetensors file"):
        load_encoder(weights=saved[0])
    torch.save({"a": torch.zeros(1)}, tmp_path / "public.pth")
    with pytest.raises(WeightsError, match=r"cannot be imported: its keys are not of a known layout"):
        load_encoder(weights=str(tmp_path / "public.pth"))


def test_a_folded_encoder_is_not_saved(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"do not fit the network: missing: trunk.bn1.weight"):
        save_weights(tmp_path / "w.safetensors", prepare(build_encoder("resnet18")), training={})
    assert not list(tmp_path.iterdir())


def test_a_missing_folder_is_an_output_error(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"cannot be written"):
        save_weights(tmp_path / "nowhere" / "w.safetensors", build_encoder("rawcolor"), training={})


def test_names_are_looked_up_in_the_package_then_the_checkout(
    saved: tuple[Path, Encoder], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package, checkout = tmp_path / "_weights", tmp_path
    monkeypatch.setattr(library, "weights_folders", lambda: (package, checkout))
    assert find_weights("flow") == saved[0]
    assert load_encoder(weights="flow").name == "corrflow"
    assert [info.path for info in list_weights()] == [saved[0]]
    with pytest.raises(WeightsError, match=r"no weights are called 'flaw' .*did you mean 'flow'"):
        find_weights("flaw")
    package.mkdir()
    (package / "flow.safetensors").write_bytes(saved[0].read_bytes())
    assert find_weights("flow") == package / "flow.safetensors"


def test_a_value_with_a_slash_or_suffix_is_a_path() -> None:
    for value in ("./flow", "flow.safetensors"):
        with pytest.raises(WeightsError, match=f"^{value}: there is no such file"):
            find_weights(value)


def test_the_checkout_that_holds_the_package_is_looked_in() -> None:
    root = Path(__file__).parents[2]
    assert library.weights_folders() == (root / "propagate" / "_weights", root / "weights")


def front(table: object) -> bytes:
    text = table if isinstance(table, bytes) else json.dumps(table).encode()
    return len(text).to_bytes(8, "little") + text


ONE = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x01",
        (2**63).to_bytes(8, "little") + b"{}",
        front(b"[" * 100_000 + b"]" * 100_000),
        front({"__metadata__": {}, "a": {**ONE, "x": [[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]}}) + bytes(4),
        front({"a": ONE}),
        front({"a": ONE}) + bytes(5),
        front({"a": {**ONE, "shape": [10**30]}}) + bytes(4),
        front({"a": {**ONE, "shape": [-1]}}) + bytes(4),
        front({"a": {**ONE, "dtype": "F99"}}) + bytes(4),
        front({"a": {**ONE, "dtype": ["F32"]}}) + bytes(4),
        front({"a": {"dtype": "F32"}}) + bytes(4),
        front([1, 2]),
        front(b'{"a": NaN}'),
        front(b'{"a": ' + b"9" * 5000 + b"}"),
        front(b"\xff\xfe"),
    ],
    ids=range(16),
)
def test_a_front_that_cannot_be_is_refused_before_torch_sees_it(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "dm.safetensors"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match="is not a whole safetensors file"):
        read_header(path)


def test_a_header_nested_without_end_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "deep.safetensors"
    path.write_bytes(front({"__metadata__": {"propagate": "[" * 100_000}, "a": ONE}) + bytes(4))
    with pytest.raises(WeightsError, match="its header cannot be understood"):
        read_header(path)


def test_what_may_not_be_read_is_said_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "secret.safetensors"
    path.write_bytes(b"x")

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(WeightsError, match="secret.safetensors: cannot be read: Permission denied"):
        read_header(path)


def test_damaged_weights_are_not_run(saved: tuple[Path, Encoder], tmp_path: Path) -> None:
    data = saved[0].read_bytes()
    for name, damaged in (
        ("zeros", data[:-4000] + bytes(4000)),
        ("numbers", data[:-4000] + bytes(range(250)) * 16),
        ("nan", data[:-4] + b"\x00\x00\xc0\x7f"),
    ):
        path = tmp_path / f"{name}.safetensors"
        path.write_bytes(damaged)
        with pytest.raises(WeightsError, match="damaged|not finite"):
            load_encoder(None, path)


def test_weights_are_found_by_their_former_name() -> None:
    assert library.find_weights("propagate") == library.find_weights("dropped_channel")
