"""The same code on a GPU: the same masks, everything there, and too little memory is survived."""

from __future__ import annotations

import gc
from dataclasses import replace

import numpy as np
import pytest
import torch
from textured import frame, overlap

from propagate.config import PropagateConfig, resolve
from propagate.encoders.build import as_module
from propagate.encoders.weights import load_encoder
from propagate.engine.pipeline import run
from propagate.engine.pointer import Pointer, Reference
from propagate.engine.propagation import Propagation
from propagate.labels.masks import MaskLabels
from propagate.values import Annotation
from rendered import render

pytestmark = pytest.mark.gpu


@pytest.fixture(scope="module")
def clip():
    """Return the first frames of a clip on which even random weights follow the object."""
    whole = render(occluder=False, likeness=0, points=1)
    return replace(whole, frames=whole.frames[:8], masks=whole.masks[:8])


class Bare:
    """Features that are given."""

    temporal, shape, similarity = 0, (120, 426), "cosine"

    def embed(self, stack):
        return stack


def propagation(clip, device, *, encoder="rawcolor", weights=None, dtype=torch.float32, pictures=None, **settings):
    network = load_encoder(encoder, weights, device=device, dtype=dtype)
    config = resolve(network.preset, settings)
    given = [Annotation(0, clip.masks[0].astype(int), (1,))]
    return Propagation(
        given, label_type=MaskLabels((1,)), encoder=network, config=config, device=device, pictures=pictures
    )


def carried(moving, clip):
    return [moving.step(frame(index, rgb)) for index, rgb in enumerate(clip.frames)]


def mean_overlap(found, other):
    return np.mean([overlap(a.array > 0, b.array > 0) for a, b in zip(found, other, strict=True)])


@pytest.fixture
def little_memory():
    """Return a function that leaves so many bytes free to torch; all are given back afterwards."""
    gc.collect()
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(0).total_memory

    def leave(free: int) -> None:
        torch.cuda.empty_cache()
        torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + free) / total)

    yield leave
    torch.cuda.set_per_process_memory_fraction(1.0)
    torch.cuda.empty_cache()


@pytest.mark.parametrize(
    ("encoder", "weights", "dtype", "radius", "least"),
    [
        ("rawcolor", None, torch.float32, 12, 0.99),
        ("rawcolor", None, torch.float32, None, 0.99),
        ("resnet18", "random", torch.float32, 12, 0.99),
        ("resnet18", "random", torch.float32, None, 0.99),
        ("resnet18", "random", torch.bfloat16, 12, 0.98),  # bfloat16 against float32 on one CPU is 0.993
    ],
)
def test_cuda_masks_are_those_of_the_cpu(clip, encoder, weights, dtype, radius, least):
    on_cpu, on_cuda = (
        carried(propagation(clip, device, encoder=encoder, weights=weights, dtype=dtype, radius=radius), clip)
        for device in ("cpu", "cuda")
    )
    assert all((one.array > 0).any() for one in on_cpu)
    assert mean_overlap(on_cuda, on_cpu) >= least


def test_the_network_over_time_runs_on_cuda(clip):
    found = carried(propagation(clip, "cuda", encoder="colorization", weights="random", size="64x64"), clip)
    assert all(torch.isfinite(one.labels.soft).all() for one in found)


def test_everything_lives_on_the_device(clip):
    moving = propagation(clip, "cuda", encoder="resnet18", weights="random")
    found = carried(moving, clip)
    tensors = [one.labels.soft for one in found] + list(as_module(moving.encoder).parameters())
    for kept in moving.groups[0].window.references():
        tensors += [kept.trunk, kept.labels, kept.origin, *kept.prepared.values()]
    assert {tensor.device.type for tensor in tensors} == {"cuda"}


def test_a_broken_run_continues_on_cuda(clip):
    frames = [frame(index, rgb) for index, rgb in enumerate(clip.frames)]
    whole, first, second = (propagation(clip, "cuda", pictures=frames.__getitem__, context=3) for _ in range(3))
    expected = [whole.step(one) for one in frames]
    states = []
    for one in frames[:5]:
        first.step(one)
        states.append(first.state())
    left = [tensor for state in states for group in state.groups for tensor in (state.soft, group.soft, group.origin)]
    assert {tensor.device.type for tensor in left} == {"cpu"}
    second.restore(5, states.__getitem__)
    assert mean_overlap([second.step(one) for one in frames[5:]], expected[5:]) > 0.999


@pytest.mark.parametrize(("radius", "free"), [(12, 90 << 20), (None, 300 << 20)])
def test_running_out_of_memory_is_survived_with_the_same_labels(little_memory, radius, free):
    torch.manual_seed(0)
    frames, labels = torch.randn(8, 32, 120, 426, device="cuda"), torch.rand(120 * 426, 2, device="cuda")
    origin = torch.zeros(120 * 426, 2, dtype=torch.int64, device="cuda")
    references = [Reference(index, keys, labels, origin, False) for index, keys in enumerate(frames)]
    pointer = Pointer(Bare(), PropagateConfig(radius=radius))
    plain = pointer.point(frames[0] + 0.1, references).labels
    for search in pointer._searches.values():
        search.release()
    little_memory(free)  # less than one strip takes: 113 MB of a local search, 697 MB of a full one
    found = pointer.point(frames[0] + 0.1, references).labels
    assert pointer.share < 1
    torch.testing.assert_close(found, plain, atol=1e-4, rtol=0)


def test_run_chooses_cuda_itself(clip):
    encoder = load_encoder("rawcolor", device="cuda")
    given = [Annotation(0, clip.masks[0].astype(int), (1,))]
    frames = (frame(index, rgb) for index, rgb in enumerate(clip.frames))
    found = list(run(frames, given, label_type=MaskLabels((1,)), encoder=encoder))
    assert {one.labels.soft.device.type for one in found} == {"cuda"}
