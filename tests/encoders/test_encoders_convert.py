"""Files of each public layout, written here, become encoders with the source network's features."""

from __future__ import annotations

import argparse
import copy
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from public_networks import (
    PICTURE,
    State,
    corrflow,
    corrflow_features,
    imagenet,
    prefixed,
    reflecting,
    resnet,
    to_layer,
)
from torch import Tensor
from torch.nn import functional as F

from propagate.encoders.build import build_encoder
from propagate.encoders.import_checkpoint import import_checkpoint
from propagate.encoders.weights import describe, import_weights, load_encoder
from propagate.errors import WeightsError
from propagate.ops.color import rgb_to_lab


def check(path: Path, content: object, expected: Tensor, *, source: str, encoder: str) -> tuple[str, ...]:
    """Import a file of `content`, hold its features equal to `expected`, and return the keys that were dropped."""
    torch.save(content, path)
    report = import_weights(path, path.with_suffix(".safetensors"))
    assert (report.source, report.encoder) == (source, encoder)
    loaded = load_encoder(encoder, path.with_suffix(".safetensors"))
    torch.testing.assert_close(loaded.encode(PICTURE), expected, atol=2e-3, rtol=2e-3)
    return report.dropped


@pytest.mark.parametrize("explicit", [True, False])
def test_crw(tmp_path: Path, explicit: bool) -> None:
    network = reflecting(copy.deepcopy(resnet(18)))
    state = prefixed(network.state_dict(), "encoder.model.")
    if not explicit:
        state = {key.replace(".1.weight", ".weight") if ".conv" in key else key: t for key, t in state.items()}
    head = {"selfsim_fc.0.weight": torch.zeros(128, 256), "selfsim_fc.0.bias": torch.zeros(128)}
    content = {"model": state | head, "optimizer": {"state": {}}, "epoch": 3, "args": argparse.Namespace(lr=1e-4)}
    expected = to_layer(network, imagenet(PICTURE), last=3)
    dropped = check(tmp_path / "a.pth", content, expected, source="CRW", encoder="resnet18")
    assert {"optimizer", "epoch", "args", "selfsim_fc.0.weight", "encoder.model.fc.weight"} <= set(dropped)
    assert all("layer4" in key or "fc" in key for key in dropped if "." in key)
    assert describe(tmp_path / "a.safetensors").header.preset == {
        **build_encoder("resnet18").preset,
        "context": 20,
        "annotated_radius": None,
        "temperature": 0.05,
    }


def test_corrflow(tmp_path: Path) -> None:
    network = corrflow()
    content = {"state_dict": prefixed(network.state_dict(), "module."), "optimizer": {}, "epoch": 1}
    expected = corrflow_features(network, PICTURE)
    dropped = check(tmp_path / "a.pt", content, expected, source="CorrFlow", encoder="corrflow")
    assert dropped == ("optimizer", "epoch")


def test_mast(tmp_path: Path) -> None:
    network = corrflow()
    scale = torch.tensor([50.0, 127.0, 127.0]).view(3, 1, 1)
    lab = (rgb_to_lab(PICTURE) - torch.tensor([50.0, 0.0, 0.0]).view(3, 1, 1)) / scale
    content = {"state_dict": network.state_dict()}
    check(tmp_path / "a.pt", content, corrflow_features(network, lab), source="MAST", encoder="corrflow")
    assert load_encoder(weights=tmp_path / "a.safetensors").preset["radius"] == 12


def test_a_source_can_be_said_when_keys_cannot_tell(tmp_path: Path) -> None:
    torch.save({"state_dict": prefixed(corrflow().state_dict(), "module.")}, tmp_path / "a.pt")
    encoder, report = import_checkpoint(tmp_path / "a.pt", source="mast")
    assert (report.source, encoder.settings) == ("MAST", {"color": "lab"})
    assert "--source" in report.note
    with pytest.raises(WeightsError, match="not of UVC"):
        import_checkpoint(tmp_path / "a.pt", source="UVC")


@pytest.mark.parametrize(("depth", "name", "width"), [(50, "timecycle", 1024), (18, "timecycle-r18", 256)])
def test_timecycle(tmp_path: Path, depth: int, name: str, width: int) -> None:
    network, project = resnet(depth), torch.randn(512, width, 1, 1) * 0.03
    state = {key: t.unsqueeze(2) if t.ndim == 4 else t for key, t in network.state_dict().items()}
    state = {key: t for key, t in state.items() if not key.endswith("num_batches_tracked")}  # older than that
    content = prefixed(prefixed(state, "encoderVideo."), "module.")
    content["module.afterconv1.weight"] = project.unsqueeze(2)
    content["module.afterconv3_trans.weight"] = torch.zeros(128, 900, 4, 4)
    content["module.linear2.bias"] = torch.zeros(6)
    expected = F.conv2d(to_layer(network, imagenet(PICTURE), last=3), project).relu()
    dropped = check(tmp_path / "a.tar", {"state_dict": content}, expected, source="TimeCycle", encoder=name)
    assert {"afterconv3_trans.weight", "linear2.bias"} <= set(dropped)


def test_uvc(tmp_path: Path) -> None:
    network = resnet(18)
    state = prefixed(network.state_dict(), "module.gray_encoder.")
    state = {key: t for key, t in state.items() if ".fc." not in key}
    state |= {"module.rgb_encoder.conv1.weight": torch.zeros(3, 3, 1, 1), "module.normalize.mean": torch.zeros(3)}
    grey = (rgb_to_lab(PICTURE)[:, :1] * 2.55 / 256).expand(-1, 3, -1, -1)
    content = {"state_dict": state, "epoch": 2, "best_loss": 0.1}
    expected = to_layer(network, imagenet(grey), last=4)
    dropped = check(tmp_path / "a.tar", content, expected, source="UVC", encoder="resnet18")
    assert dropped == ("epoch", "best_loss", "rgb_encoder.conv1.weight", "normalize.mean")
    assert load_encoder(weights=tmp_path / "a.safetensors").channels == 512


def mmaction(key: str) -> str:
    """Return mmaction's name of one of torchvision's keys."""
    for i in (1, 2, 3):
        key = key.replace(f"conv{i}.", f"conv{i}.conv.").replace(f"bn{i}.", f"conv{i}.bn.")
    return key.replace("downsample.0.", "downsample.conv.").replace("downsample.1.", "downsample.bn.")


@pytest.mark.parametrize("depth", [18, 50])
def test_vfs(tmp_path: Path, depth: int) -> None:
    network = resnet(depth)
    state = prefixed({mmaction(key): t for key, t in network.state_dict().items()}, "backbone.")
    state["img_head.predictor.weight"] = torch.zeros(2)
    content = {"state_dict": state, "meta": {"epoch": 100}}
    expected = to_layer(network, imagenet(PICTURE), last=3)
    dropped = check(tmp_path / "a.pth", content, expected, source="VFS", encoder=f"resnet{depth}")
    assert "img_head.predictor.weight" in dropped


@pytest.mark.parametrize("depth", [18, 50])
def test_torchvision(tmp_path: Path, depth: int) -> None:
    network = resnet(depth)
    expected = to_layer(network, imagenet(PICTURE), last=3)
    content = network.state_dict()
    dropped = check(tmp_path / "a.pth", content, expected, source="torchvision", encoder=f"resnet{depth}")
    assert {"fc.weight", "fc.bias"} <= set(dropped)
    record = describe(tmp_path / "a.safetensors").header.training
    assert (record["imported_from"], record["file"], len(record["sha256"])) == ("torchvision", "a.pth", 64)


def keys(*names: str) -> State:
    return {name: torch.zeros(1) for name in names}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"teacher": keys("module.backbone.blocks.0.attn.qkv.weight")}, "vision transformer"),
        (keys("cls_token", "patch_embed.proj.weight"), "vision transformer"),
        (keys("conv1.weight", "conv6.weight"), "UVC's colour auto-encoder .*checkpoint_latest.pth.tar"),
        (keys("upsample.1.weight", "conv11.weight"), "UVC's colour auto-encoder"),
        ({"state_dict": keys("module.encoder_q.conv1.weight")}, "MoCo"),
        ({"model": keys("encoder.model.layer1.0.conv3.weight")}, "ResNet-50"),
        (keys("up.weight", "down.weight"), r"not of a known layout: down.weight, up.weight.* imports CRW, CorrFlow"),
        ({"state_dict": {"weight": "text"}}, "expected only tensors in it, found weight"),
        ({}, "found nothing"),
        ([1, 2], "holds a list, expected a dictionary of tensors"),
        ({"state_dict": keys("a"), "other_net": keys("b")}, "tensors beside 'state_dict'.*other_net"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(tmp_path: Path, content: object, message: str) -> None:
    torch.save(content, tmp_path / "a.pth")
    with pytest.raises(WeightsError, match=message):
        import_checkpoint(tmp_path / "a.pth")


def change_unknown(state: State) -> None:
    state["layer3.0.extra.weight"] = torch.zeros(1)


def change_missing(state: State) -> None:
    del state["layer2.0.bn1.running_mean"]


def change_shape(state: State) -> None:
    state["conv1.weight"] = torch.zeros(64, 1, 7, 7)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (change_unknown, r"torchvision's resnet18: .*unexpected: trunk\.layer3\.0\.extra\.weight"),
        (change_missing, r"missing: trunk\.layer2\.0\.bn1\.running_mean"),
        (change_shape, r"trunk\.conv1\.weight \(64, 1, 7, 7\) for \(64, 3, 7, 7\)"),
    ],
)
def test_no_key_is_ignored(tmp_path: Path, change: Callable[[State], None], message: str) -> None:
    state = dict(resnet(18).state_dict())
    change(state)
    torch.save(state, tmp_path / "a.pth")
    with pytest.raises(WeightsError, match=message):
        import_checkpoint(tmp_path / "a.pth")


class Evil:
    """Runs code when unpickled."""

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        import os

        return os.system, ("touch evil",)


def test_code_in_a_file_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"state_dict": Evil()}, "a.pth")
    with pytest.raises(WeightsError, match="cannot be loaded without running its code"):
        import_checkpoint("a.pth")
    assert not Path("evil").exists()


def test_damaged_and_missing_files_are_refused(tmp_path: Path) -> None:
    torch.save(keys("a"), tmp_path / "whole.pth")
    (tmp_path / "half.pth").write_bytes((tmp_path / "whole.pth").read_bytes()[:200])
    (tmp_path / "text.pth").write_text("version https://git-lfs.github.com/spec/v1")
    for name in ("half.pth", "text.pth"):
        with pytest.raises(WeightsError, match=name):
            import_checkpoint(tmp_path / name)
    with pytest.raises(WeightsError, match="there is no such checkpoint"):
        import_checkpoint(tmp_path / "none.pth")


@pytest.mark.parametrize("data", [b"hello world" * 10, b"\x80\x02}q\x00.", bytes(1000), b"PK\x03\x04" + bytes(50), b""])
def test_junk_is_refused_in_our_own_words(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "junk.pth").write_bytes(data)
    with pytest.raises(WeightsError) as caught:
        import_checkpoint(tmp_path / "junk.pth")
    assert "junk.pth" in str(caught.value)
    assert "weights_only" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("prefix", ["backbone.", "module.encoder.", "model."])
def test_a_trainers_prefix_is_taken_off(prefix: str, tmp_path: Path) -> None:
    network = copy.deepcopy(resnet(18))
    content = {"state_dict": prefixed(network.state_dict(), prefix)}
    check(
        tmp_path / "a.pth",
        content,
        to_layer(network, imagenet(PICTURE), last=3),
        source="torchvision",
        encoder="resnet18",
    )
