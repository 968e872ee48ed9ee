"""What is true of every encoder: its grid, where its cells lie, its channels, its seed, its speed-ups, its preset."""

from __future__ import annotations

import copy
import functools

import pytest
import torch
from torch import Tensor, nn

from propagate.config import resolve
from propagate.encoders import ENCODERS
from propagate.encoders.build import build_encoder, build_on_meta, fold_batch_norm, prepare
from propagate.encoders.protocol import Encoder
from propagate.errors import ConfigError

FIELDS = {
    "size",
    "context",
    "keep_annotated",
    "radius",
    "window",
    "topk",
    "temperature",
    "similarity",
    "label_scale",
    "feedback",
}
every_encoder = pytest.mark.parametrize("name", list(ENCODERS))


@functools.cache
def ready(name: str) -> Encoder:
    """Return an encoder prepared once for all tests that leave it alone."""
    return prepare(build_encoder(name))


def picture(height: int, width: int, *, batch: int = 1) -> Tensor:
    return torch.rand(batch, 3, height, width, generator=torch.Generator().manual_seed(1))


def features(encoder: Encoder, rgb: Tensor) -> Tensor:
    """Return (T, C, h, w) of a whole stack of as many frames as the encoder wants."""
    with torch.no_grad():
        stack = encoder.encode(rgb)
        frames = encoder.temporal + 1
        return encoder.embed(stack if len(stack) == frames else stack[:1].expand(frames, -1, -1, -1))


def visual(encoder: Encoder, rgb: Tensor) -> Tensor:
    """Return what `encode` says of the picture itself, without the location channels of `colorization`."""
    encoded = encoder.encode(rgb)
    return encoded[:, :-2] if encoder.temporal else encoded


def randomise_norms(module: nn.Module) -> None:
    """Give every batch norm statistics and weights of a trained network's kind."""
    torch.manual_seed(3)
    for norm in module.modules():
        if isinstance(norm, nn.BatchNorm2d | nn.BatchNorm3d):
            norm.running_mean = torch.randn(norm.num_features) * 0.1
            norm.running_var = torch.rand(norm.num_features) + 0.5
            nn.init.uniform_(norm.weight, 0.5, 1.5)
            nn.init.normal_(norm.bias, std=0.1)


@every_encoder
def test_is_an_encoder_of_its_own_name(name: str) -> None:
    encoder = build_on_meta(name, {})
    assert isinstance(encoder, Encoder)
    assert encoder.name == name
    assert build_on_meta(name, encoder.settings).settings == encoder.settings


@every_encoder
@pytest.mark.parametrize(("height", "width"), [(64, 80), (57, 83)])
def test_grid_is_size_over_stride_rounded_up(name: str, height: int, width: int) -> None:
    encoder = ready(name)
    s = encoder.stride
    found = features(encoder, picture(height, width))
    assert found.shape == (encoder.temporal + 1, encoder.channels, -(-height // s), -(-width // s))


@every_encoder
def test_geometry_is_symmetric_about_the_offset(name: str) -> None:
    """With mirrored kernels a mirrored picture gives mirrored features, exactly if cells lie at s * c + offset."""
    encoder = copy.deepcopy(ready(name))
    height, width = (round(encoder.stride * (cells - 1) + 1 + 2 * encoder.offset) for cells in (5, 7))
    rgb = picture(height, width)
    plain = visual(encoder, rgb)
    mirror_kernels(encoder)
    torch.testing.assert_close(visual(encoder, rgb.flip(-1, -2)).flip(-1, -2), plain, atol=1e-3, rtol=1e-3)


def mirror_kernels(encoder: Encoder) -> None:
    assert isinstance(encoder, nn.Module)
    for conv in encoder.modules():
        if isinstance(conv, nn.Conv2d):
            conv.weight.data = conv.weight.data.flip(-1, -2)


@every_encoder
def test_an_impulse_is_seen_from_the_cell_at_its_place(name: str) -> None:
    """The input that the middle cell depends on has its centre of mass at the cell's pixel."""
    encoder = copy.deepcopy(ready(name))
    even_kernels(encoder)
    rgb = (1 - 0.01 * picture(97, 113)).requires_grad_()
    found = visual(encoder, rgb)
    row, column = found.shape[2] // 2, found.shape[3] // 2
    found[:, :1, row, column].sum().backward()
    assert rgb.grad is not None
    mass = rgb.grad.abs().sum((0, 1))
    y = (mass.sum(1) @ torch.arange(97.0)) / mass.sum()
    x = (mass.sum(0) @ torch.arange(113.0)) / mass.sum()
    assert abs(y - (encoder.stride * row + encoder.offset)) < 0.5
    assert abs(x - (encoder.stride * column + encoder.offset)) < 0.5


def even_kernels(encoder: Encoder) -> None:
    """Make every kernel an average, so that a cell's dependence on the input is the network's geometry alone."""
    assert isinstance(encoder, nn.Module)
    for conv in encoder.modules():
        if isinstance(conv, nn.Conv2d):
            nn.init.constant_(conv.weight, 1 / conv.weight[0].numel())


@every_encoder
def test_same_seed_same_features(name: str) -> None:
    again = features(prepare(build_encoder(name, seed=0)), picture(64, 80))
    torch.testing.assert_close(features(ready(name), picture(64, 80)), again, atol=0, rtol=0)


@pytest.mark.parametrize("name", [name for name in ENCODERS if name != "rawcolor"])
def test_another_seed_gives_other_weights(name: str) -> None:
    one, two = ready(name), prepare(build_encoder(name, seed=6))
    assert not torch.allclose(one.encode(picture(32, 32)), two.encode(picture(32, 32)), atol=1e-2)


def test_building_leaves_the_random_state_alone() -> None:
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    build_encoder("resnet18", seed=9)
    assert torch.equal(torch.rand(3), expected)


@every_encoder
def test_prepared_equals_plain_and_bfloat16_is_close(name: str) -> None:
    encoder = build_encoder(name)
    assert isinstance(encoder, nn.Module)
    randomise_norms(encoder)
    rgb = picture(64, 80, batch=encoder.temporal + 1)
    plain = features(encoder.eval(), rgb)
    torch.testing.assert_close(features(prepare(encoder), rgb), plain, atol=5e-3, rtol=1e-3)
    half = features(prepare(encoder, dtype=torch.bfloat16), rgb)
    assert half.dtype == (torch.float32 if encoder.exact else torch.bfloat16)
    assert (half - plain).norm() / plain.norm() < 0.03


@every_encoder
def test_prepared_has_no_norms_and_no_gradients(name: str) -> None:
    encoder = ready(name)
    assert isinstance(encoder, nn.Module)
    assert not any(isinstance(m, nn.BatchNorm2d | nn.BatchNorm3d) for m in encoder.modules())
    assert not any(p.requires_grad for p in encoder.parameters())
    assert not encoder.training


def test_preparing_leaves_the_original_trainable() -> None:
    encoder = build_encoder("timecycle-r18")
    prepare(encoder, dtype=torch.bfloat16)
    assert isinstance(encoder, nn.Module)
    assert encoder.training
    assert all(p.requires_grad and p.dtype == torch.float32 for p in encoder.parameters())


def test_float16_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"float32 or bfloat16, not float16"):
        prepare(build_encoder("resnet18"), dtype=torch.float16)


def test_folding_wants_a_module() -> None:
    with pytest.raises(ValueError, match=r"not dict"):
        fold_batch_norm({})


@every_encoder
@pytest.mark.parametrize("rgb", [torch.zeros(3, 8, 8), torch.zeros(1, 1, 8, 8), torch.zeros(1, 3, 8, 8).byte()])
def test_wrong_pictures_are_refused(name: str, rgb: Tensor) -> None:
    with pytest.raises(ValueError, match=r"rgb must be \(B, 3, H, W\) floating"):
        ready(name).encode(rgb)


@every_encoder
def test_preset_is_whole_and_resolves(name: str) -> None:
    preset = build_on_meta(name, {}).preset
    assert set(preset) - {"patch"} == FIELDS
    assert resolve(preset).similarity == preset["similarity"]


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("colorization", {"size": "256x256", "context": 3, "keep_annotated": False, "radius": None, "topk": None}),
        ("colorization", {"temperature": 0.5, "similarity": "dot", "feedback": "soft"}),  # Vondrick 3.3
        ("corrflow", {"context": 1, "keep_annotated": False, "radius": 6, "window": "square", "topk": None}),
        ("corrflow", {"temperature": 1.0, "similarity": "dot", "feedback": "hard", "size": 480}),
        ("timecycle", {"size": "320x320", "context": 7, "keep_annotated": True, "radius": None, "topk": 5}),
        ("timecycle", {"temperature": 512**-0.5, "similarity": "cosine"}),
        ("timecycle-r18", {"size": "320x320", "context": 7, "topk": 5, "temperature": 512**-0.5}),
        ("resnet18", {"size": 480, "context": 7, "keep_annotated": True, "radius": 12, "window": "circle", "topk": 10}),
        ("resnet18", {"temperature": 0.07, "similarity": "cosine"}),
        ("rawcolor", {"size": 240, "context": 10, "keep_annotated": True, "radius": 12, "window": "circle", "topk": 5}),
        ("rawcolor", {"temperature": 1 / 480, "similarity": "distance", "patch": 3}),
    ],
)
def test_presets_are_the_papers(name: str, settings: dict[str, object]) -> None:
    preset = build_on_meta(name, {}).preset
    assert {key: preset[key] for key in settings} == settings


@pytest.mark.parametrize(
    ("name", "stride", "channels", "parameters"),
    [
        ("corrflow", 4, 64, 5_291_648),
        ("resnet18", 8, 256, 2_782_784),
        ("resnet50", 8, 1024, 8_543_296),
        ("timecycle", 8, 512, 8_543_296 + 1024 * 512),
        ("timecycle-r18", 8, 512, 2_782_784 + 256 * 512),
        ("rawcolor", 4, 3, 0),
    ],
)
def test_layers_have_the_papers_shapes(name: str, stride: int, channels: int, parameters: int) -> None:
    encoder = build_on_meta(name, {})
    assert isinstance(encoder, nn.Module)
    assert (encoder.stride, encoder.channels) == (stride, channels)
    assert sum(p.numel() for p in encoder.parameters()) == parameters


def test_unknown_settings_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"'corrflow' cannot be built with .*colour"):
        build_encoder("corrflow", settings={"colour": "lab"})
    with pytest.raises(ConfigError, match=r"corrflow takes color='rgb' or 'lab', not 'hsv'"):
        build_encoder("corrflow", settings={"color": "hsv"})
    with pytest.raises(ConfigError, match=r"layers=5"):
        build_encoder("resnet18", settings={"layers": 5})
