"""Texture from file to file."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from propagate.commands.texture import open_texture
from propagate.errors import ConflictError, InputError
from propagate.runs.request import Request
from propagate.runs.settings import SettingLayers
from propagate.video import probe
from rendered import render, write_clip

FLAGS = {"size": 96, "context": 2, "topk": 5, "patch": 3, "temperature": 1 / 480}
LAYERS = SettingLayers(flags=FLAGS)


def do(request, paint):
    run = open_texture(request, paint)
    try:
        return list(run)
    finally:
        run.close()


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    folder = tmp_path_factory.mktemp("texture")
    clip = render(size=(96, 128), frames=6, occluder=False)
    write_clip(folder / "clip.mp4", clip.frames)
    paint = np.zeros((96, 128, 4), np.uint8)
    paint[clip.masks[0] > 0] = (255, 0, 255, 255)
    Image.fromarray(paint).save(folder / "paint.png")
    return folder, clip


def test_the_object_is_painted_on_every_frame(project, tmp_path):
    folder, clip = project
    predictions = do(
        Request(str(folder / "clip.mp4"), tmp_path / "out.mp4", layers=LAYERS),
        str(folder / "paint.png"),
    )
    info = probe(tmp_path / "out.mp4")
    assert (info.frames, info.size) == (6, (96, 128))
    magenta = (predictions[0].array == (255, 0, 255)).all(-1)
    np.testing.assert_array_equal(magenta, clip.masks[0] > 0)
    assert (predictions[-1].array == (255, 0, 255)).all(-1)[clip.masks[-1] > 0].mean() > 0.5


def test_paint_on_a_later_frame(project, tmp_path):
    folder, _ = project
    request = Request(str(folder / "clip.mp4"), tmp_path / "out", layers=LAYERS)
    predictions = do(request, f"2={folder / 'paint.png'}")
    assert [p.source for p in predictions] == ["propagated"] * 2 + ["annotated"] + ["propagated"] * 3
    first = np.asarray(Image.open(tmp_path / "out" / "frames" / "00000.png"))
    assert (first != predictions[0].frame.rgb).any()  # painted going backward


def test_what_is_refused(project, tmp_path):
    folder, _ = project
    request = Request(str(folder / "clip.mp4"), tmp_path / "out.mp4", layers=LAYERS)
    Image.new("RGBA", (128, 96)).save(tmp_path / "clear.png")
    with pytest.raises(InputError, match="nothing is painted"):
        do(request, str(tmp_path / "clear.png"))
    (tmp_path / "out.mp4").write_text("mine")
    with pytest.raises(ConflictError, match="is there already, and was not written by a run"):
        do(request, str(folder / "paint.png"))
    assert (tmp_path / "out.mp4").read_text() == "mine"
