"""Visualize from file to file: features as colours, and where a pixel looks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from propagate.commands.visualize import (
    attention_of,
    draw_pointing,
    extractor_of,
    features_of,
    open_embedding,
    parse_point,
)
from propagate.engine.pipeline import load_label_type, run
from propagate.errors import ConfigError
from propagate.runs.request import Request
from propagate.runs.run import StoppedError
from propagate.runs.settings import SettingLayers
from propagate.values import Annotation
from propagate.video import probe, read_video
from rendered import render, write_clip

FLAGS = {"size": 96, "context": 2, "topk": 5}
LAYERS = SettingLayers(flags=FLAGS)


def do(request):
    work = open_embedding(request)
    try:
        return list(work)
    finally:
        work.close()


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    folder = tmp_path_factory.mktemp("visualize")
    clip = render(size=(96, 128), frames=7, occluder=False, drift=0)
    write_clip(folder / "clip.mp4", clip.frames)
    return folder / "clip.mp4", clip


def test_a_video_of_features(project, tmp_path):
    video, _ = project
    assert do(Request(str(video), tmp_path / "out.mp4", layers=LAYERS)) == list(range(7))
    info = probe(tmp_path / "out.mp4")
    assert (info.frames, info.size, info.pts) == (7, (96, 128), probe(video).pts)
    with read_video(tmp_path / "out.mp4") as reader:
        assert next(iter(reader)).rgb.std() > 20  # colours, spread over their range


def test_a_stopped_run_ends_with_the_same_bytes(project, tmp_path):
    request = Request(str(project[0]), tmp_path / "whole.mp4", layers=SettingLayers(flags={**FLAGS, "checkpoint": 2}))
    do(request)
    broken, count = replace(request, out=tmp_path / "broken.mp4"), iter(range(99))
    with pytest.raises(StoppedError, match=r"after 5 of 7 frames \(the same command continues after 4 frames\)"):
        do(replace(broken, stop=lambda: 2 if next(count) == 4 else None))
    assert do(broken) == [4, 5, 6]  # two whole segments were kept
    assert broken.out.read_bytes() == request.out.read_bytes()
    assert do(broken) == []


def test_features_have_length_one_under_cosine(project, tmp_path):
    request = Request(
        str(project[0]),
        layers=SettingLayers(flags={**FLAGS, "encoder": "resnet18", "weights": "random", "dtype": "float32"}),
    )
    with request.open_video() as reader:
        extractor = extractor_of(request.load_model(), reader.info.size, learned_only=True)
        features = features_of(next(iter(reader)), extractor)
    np.testing.assert_allclose(features.square().sum(0), 1, atol=1e-4)


def test_a_strip_of_pictures(project, tmp_path):
    request = Request(str(project[0]), tmp_path / "out.png", layers=LAYERS)
    assert draw_pointing(request, (40, 50), frame=5) == tmp_path / "out.png"
    with Image.open(tmp_path / "out.png") as strip:
        assert strip.size == (4 * 128 + 3 * 4, 96)  # the target, frame 0 and two recent ones
    first = (tmp_path / "out.png").read_bytes()
    draw_pointing(request, (40, 50), frame=5)
    assert (tmp_path / "out.png").read_bytes() == first


def test_a_pixel_looks_at_its_own_surface(project):
    video, clip = project
    request = Request(str(video), layers=SettingLayers(flags={**FLAGS, "patch": 3, "temperature": 1 / 480}))
    settled = request.load_model()
    with request.open_video() as reader:
        frames = list(reader)
    features = extractor_of(settled, frames[0].size)
    grid = features.grid
    still = np.argwhere((clip.masks == 0).all(0) & (np.arange(128) > 20))[500]
    x, y = float(still[1]), float(still[0])
    attention = attention_of([frames[0], frames[6]], (x, y), features=features, config=settled.config)
    assert attention.shape == (1, grid.rows, grid.columns)
    assert attention.sum() == pytest.approx(1, abs=1e-5)
    row, column = np.unravel_index(attention[0].argmax(), attention[0].shape)
    assert np.abs(grid.to_pixels(np.array([column, row])) - (x, y)).max() <= 12  # the ground does not move


def test_a_pixel_looks_where_a_run_looks(project):
    """The affinity that is shown carries labels to where a run carries them, centred features and colour included."""
    flags = {"size": 96, "context": 0, "encoder": "resnet18", "weights": "random", "dtype": "float32"}
    flags |= {"center_features": True, "lab_weight": 15.0, "radius": 6}
    settled = Request(str(project[0]), layers=SettingLayers(flags=flags)).load_model()
    with read_video(project[0]) as reader:
        frames = list(reader)[:2]
    mask = np.zeros((96, 128), int)
    mask[20:60, 30:90] = 1
    predictions = run(
        frames,
        [Annotation(0, mask, (1,))],
        label_type=load_label_type("masks", (1,)),
        encoder=settled.encoder,
        config=settled.config,
    )
    first, second = (prediction.labels.soft[1].double().numpy() for prediction in predictions)
    features = extractor_of(settled, frames[0].size)
    for row, column in ((2, 4), (7, 11), (5, 3)):
        xy = tuple(features.grid.to_pixels(np.array([column, row])))
        attention = attention_of(frames, xy, features=features, config=settled.config)
        assert (attention[0] * first).sum() == pytest.approx(second[row, column], abs=1e-5)


def test_what_is_refused(project, tmp_path):
    request = Request(str(project[0]), tmp_path / "out.png", layers=LAYERS)
    with pytest.raises(ConfigError, match="outside of the video, which is 128x96"):
        draw_pointing(request, (128, 0))
    with pytest.raises(ConfigError, match="one of 1 to 6"):
        draw_pointing(request, (0, 0), frame=0)
    with pytest.raises(ConfigError, match="ends in .png"):
        draw_pointing(replace(request, out=tmp_path / "out.mp4"), (0, 0))
    with pytest.raises(ConfigError, match="no pixel"):
        parse_point("12")
    assert parse_point("12.5, 3") == (12.5, 3.0)
    assert not list(tmp_path.iterdir())
