from __future__ import annotations

from pathlib import Path

import pytest
import torch
from public_networks import PICTURE, resnet

from propagate.encoders.library import find_weights
from propagate.encoders.weights import load_encoder
from propagate.errors import WeightsError

V1 = "resnet18-f37072fd.pth"  # torchvision's name of the file


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    return folder


def test_absent_weights_are_named_with_the_place_to_put_them(hub: Path) -> None:
    with pytest.raises(WeightsError, match=rf"not on this machine: .*checkpoints holds neither {V1}.*resnet18:FILE"):
        find_weights("imagenet", encoder="resnet18")


def test_other_networks_have_none(hub: Path) -> None:
    with pytest.raises(WeightsError, match="no ImageNet weights for 'corrflow'"):
        find_weights("imagenet", encoder="corrflow")


def test_weights_in_torchs_cache_are_read_where_they_lie(hub: Path) -> None:
    torch.save(resnet(18).state_dict(), hub / V1)
    cached = load_encoder("resnet18", "imagenet").encode(PICTURE)
    named = load_encoder("resnet18", hub / V1).encode(PICTURE)
    fresh = load_encoder("resnet18", "random").encode(PICTURE)
    assert torch.equal(cached, named)
    assert not torch.allclose(cached, fresh)


def test_a_checkpoint_of_another_network_is_refused(hub: Path) -> None:
    torch.save(resnet(18).state_dict(), hub / V1)
    with pytest.raises(WeightsError, match="holds weights of 'resnet18', not of 'resnet50'"):
        load_encoder("resnet50", hub / V1)
