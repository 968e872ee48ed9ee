"""Texture: the paint comes back, follows what moves, and stays as sharp as it was painted."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import map_coordinates

from propagate.config import resolve
from propagate.encoders.build import build_encoder
from propagate.engine.propagation import Propagation
from propagate.labels.texture import TextureLabels, composed, own_places, premultiplied
from propagate.ops.grid import Grid
from propagate.values import Annotation, Frame
from rendered import render

GRID = Grid.of((32, 48), size=480, stride=4, offset=1.5)
BLACK = np.zeros((32, 48, 3), np.uint8)


def painted(*, left=8, size=(32, 48)):
    """Return RGBA (H, W, 4): a 16x16 square of sharp stripes, transparent around it."""
    paint = np.zeros((*size, 4), np.uint8)
    paint[8:24, left : left + 16, 3] = 255
    paint[8:24, left : left + 16 : 2, :3] = 255  # one pixel on, one off
    return paint


def moved(soft, by):
    """Return labels whose content lies `by` columns farther right."""
    carried = TextureLabels(painted()).nothing(GRID)
    carried[:, :, by:] = soft[:, :, :-by]
    return carried


def decode(label_type, soft, picture=BLACK, *, annotation=None):
    frame = Frame(index=1, time=0.0, rgb=picture, stem="00001")
    return label_type.decode(soft, GRID, frame=frame, annotation=annotation)


def test_encode_gives_places_and_coverage():
    soft = TextureLabels(painted()).encode(Annotation(0, painted(), ("paint",)), GRID)
    assert soft[2].unique().tolist() == [0, 1]
    torch.testing.assert_close(soft[:2], own_places(GRID))
    assert soft[:2, 3, 5].tolist() == [5, 3]  # x, then y


def test_the_painted_frame_is_the_paint():
    annotation = Annotation(0, painted(), ("paint",))
    label_type = TextureLabels(painted())
    exact = decode(label_type, label_type.encode(annotation, GRID), annotation=annotation)
    np.testing.assert_array_equal(exact, painted()[:, :, :3])
    np.testing.assert_array_equal(decode(label_type, label_type.encode(annotation, GRID)), exact)


def test_stripes_of_one_pixel_survive_a_move():
    label_type = TextureLabels(painted())
    soft = moved(label_type.encode(Annotation(0, painted(), ("paint",)), GRID), 3)
    np.testing.assert_array_equal(decode(label_type, soft), painted(left=20)[:, :, :3])


def test_a_move_by_a_fraction_of_a_cell_is_interpolated():
    label_type = TextureLabels(painted())
    soft = label_type.encode(Annotation(0, painted(), ("paint",)), GRID)
    soft[0] -= 0.5  # two pixels
    layer = label_type.layer(soft, GRID)
    assert layer[3, 8:24, 12:24].min() == 1
    torch.testing.assert_close(layer[:3, 8:24, 12:24], label_type.paint[:3, 8:24, 10:22])


def test_what_is_beneath_shows_through():
    half = painted()
    half[..., 3] //= 2
    ground = np.full((32, 48, 3), 200, np.uint8)
    shown = composed(ground, torch.from_numpy(premultiplied(half)))
    assert shown[0, 0].tolist() == [200, 200, 200]
    assert shown[10, 8].tolist() == [round(127 + 200 * 128 / 255)] * 3


def test_nothing_leaves_the_frame_alone():
    label_type, picture = TextureLabels(painted()), np.full((32, 48, 3), 77, np.uint8)
    np.testing.assert_array_equal(decode(label_type, label_type.nothing(GRID), picture), picture)


def test_two_sources_are_not_mixed():
    label_type = TextureLabels(painted())
    soft = label_type.encode(Annotation(0, painted(), ("paint",)), GRID)
    soft[0, :, 6:] += 20  # right of here the surface comes from elsewhere
    assert set(decode(label_type, soft)[8:24, 8:24].ravel()) <= {0, 255}


@pytest.mark.parametrize("shape", [(4, 4), (4, 4, 3)])
def test_paint_needs_its_alpha(shape):
    with pytest.raises(ValueError, match=r"paint must be \(H, W, 4\)"):
        TextureLabels(np.zeros(shape, np.uint8))


def test_paint_sticks_to_a_moving_photograph():
    clip = render(size=(180, 240), frames=12, occluder=False)
    paint = np.dstack([clip.frames[0], np.where(clip.masks[0] > 0, 255, 0).astype(np.uint8)])
    encoder = build_encoder("rawcolor", settings={"stride": 4})
    config = resolve(encoder.preset, {"patch": 3, "topk": 5, "temperature": 1 / 480, "annotated_radius": None})
    label_type = TextureLabels(paint)
    propagation = Propagation([Annotation(0, paint, ("paint",))], label_type=label_type, encoder=encoder, config=config)
    for t, rgb in enumerate(clip.frames):
        prediction = propagation.step(Frame(t, t / 24, rgb, f"{t:05d}"))
    source = clip.source_xy[-1]
    inside = np.isfinite(source[..., 0])
    truth = [map_coordinates(paint[..., c].astype(float), source[inside].T[::-1], order=1) for c in range(3)]
    assert np.corrcoef(np.stack(truth, 1).ravel(), prediction.array[inside].ravel())[0, 1] >= 0.93
    layer = label_type.layer(prediction.labels.soft, propagation.label_grid)
    assert layer[3].numpy()[inside].mean() > 0.8  # it is the paint that correlates, not only the frame beneath
