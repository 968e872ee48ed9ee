"""Devices and number formats: what is there is taken, what is not is said."""

from __future__ import annotations

import typing

import pytest
import torch

from propagate.config import PropagateConfig
from propagate.device import choose_device, choose_dtype, fast_bfloat16, use_threads
from propagate.errors import DeviceError

CPU = torch.device("cpu")


@pytest.fixture
def bare(monkeypatch):
    """Pretend that there is only a CPU."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)


@pytest.mark.usefixtures("bare")
@pytest.mark.parametrize("name", ["auto", "cpu"])
def test_the_cpu_is_always_there(name):
    assert choose_device(name) == CPU


@pytest.mark.usefixtures("bare")
@pytest.mark.parametrize("name", ["cuda", "cuda:1", "mps"])
def test_a_device_that_is_missing_is_said(name):
    with pytest.raises(DeviceError, match=f"device {name} is not available on this machine .*--device auto or cpu"):
        choose_device(name)


@pytest.mark.parametrize("name", ["gpu", "cuda:x", "meta", ""])
def test_a_device_that_does_not_exist_is_said(name):
    with pytest.raises(DeviceError, match=f"no device is called '{name}' .*auto, cpu, cuda, cuda:1 or mps"):
        choose_device(name)


def test_auto_takes_cuda_first(bare, monkeypatch):
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert choose_device("auto").type == "mps"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert choose_device("auto").type == "cuda"


def test_a_second_gpu_needs_two(bare, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert choose_device("cuda:0").index == 0
    with pytest.raises(DeviceError, match="cuda:1 is not available"):
        choose_device("cuda:1")


def test_float16_is_never_offered():
    choices = typing.get_args(typing.get_type_hints(PropagateConfig)["dtype"])
    assert set(choices) == {"auto", "float32", "bfloat16"}
    assert {choose_dtype(name, CPU) for name in choices} <= {torch.float32, torch.bfloat16}


@pytest.mark.parametrize(
    ("capabilities", "dtype"),
    [({}, torch.float32), ({"avx512_bf16": True}, torch.bfloat16), ({"amx_bf16": True}, torch.bfloat16)],
)
def test_bfloat16_where_the_processor_is_fast_at_it(monkeypatch, capabilities, dtype):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    assert choose_dtype("auto", CPU) == dtype
    assert choose_dtype("float32", CPU) == torch.float32


@pytest.mark.parametrize(("major", "fast"), [(7, False), (8, True), (9, True)])
def test_bfloat16_on_cuda_from_ampere_on(monkeypatch, major, fast):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (major, 0))
    assert fast_bfloat16(torch.device("cuda")) is fast
    assert fast_bfloat16(torch.device("mps")) is False


def test_threads(monkeypatch):
    given = []
    monkeypatch.setattr(torch, "set_num_threads", given.append)
    use_threads(None)
    use_threads(2)
    assert given == [2]


@pytest.mark.parametrize("name", ["cuda:256", "cuda:999", "cuda:-1", "cuda:", " cpu", "meta", "", "x" * 5000])
def test_no_device_but_those_that_are_there_is_taken(name: str) -> None:
    with pytest.raises(DeviceError, match="no device is called") as caught:
        choose_device(name)
    assert len(str(caught.value)) < 200
