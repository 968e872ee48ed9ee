"""Colours: the reference comes back, follows what moves, stops at edges and does not fade."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage

from propagate.config import resolve
from propagate.encoders.build import build_encoder
from propagate.engine.propagation import Propagation
from propagate.labels.colors import ColorLabels, as_tensor, colored, correlation, luma_of, saturation
from propagate.ops.color import rgb_to_lab
from propagate.ops.grid import Grid
from propagate.values import Annotation, Frame

GRID = Grid.of((32, 48), size=480, stride=4, offset=1.5)


def speckle(size, *, seed=0, smooth=2.0):
    rng = np.random.default_rng(seed)
    noise = ndimage.gaussian_filter(rng.standard_normal(size), smooth)
    return 0.5 + 0.3 * noise / np.abs(noise).max()


def tinted(luma, ab):
    """Return (H, W, 3) uint8 of a luma (H, W) in one colour."""
    chroma = torch.tensor(ab).view(2, 1, 1).expand(2, *luma.shape)
    return np.rint(colored(torch.from_numpy(luma).float(), chroma).permute(1, 2, 0).numpy() * 255).astype(np.uint8)


def grey(rgb):
    luma = luma_of(as_tensor(rgb)).numpy()
    return np.repeat(np.rint(luma * 255).astype(np.uint8)[..., None], 3, axis=2)


def decode(soft, picture, *, grid=GRID, annotation=None):
    frame = Frame(index=0, time=0.0, rgb=picture, stem="00000")
    return ColorLabels().decode(soft, grid, frame=frame, annotation=annotation)


def run(reference, frames):
    encoder = build_encoder("rawcolor", settings={"stride": 4, "patch": True})
    config = resolve(encoder.preset, {"patch": 3, "topk": 5, "temperature": 1 / 480})
    annotation = Annotation(0, reference, ("a", "b"))
    propagation = Propagation([annotation], label_type=ColorLabels(), encoder=encoder, config=config)
    return [propagation.step(Frame(t, t / 24, rgb, f"{t:05d}")).array for t, rgb in enumerate(frames)]


def moving_square(step=4, frames=5):
    """Return colour frames (T, 48, 64, 3) of a red textured square over a green textured ground, and its columns."""
    ground, square = speckle((48, 64)) - 0.15, speckle((16, 16), seed=1, smooth=1) + 0.2
    pictures, lefts = [], [8 + step * t for t in range(frames)]
    for left in lefts:
        picture = tinted(ground, (-30.0, 25.0))
        picture[16:32, left : left + 16] = tinted(square, (40.0, 20.0))
        pictures.append(picture)
    return np.stack(pictures), lefts


def test_a_grey_frame_is_given_its_reference_back():
    reference = moving_square()[0][0]
    annotation = Annotation(0, reference, ("a", "b"))
    grid = Grid.of((48, 64), size=480, stride=4, offset=1.5)
    shown = decode(ColorLabels().encode(annotation, grid), grey(reference), grid=grid, annotation=annotation)
    assert np.abs(shown.astype(int) - reference).max() <= 3


@pytest.mark.parametrize("ab", [(0.0, 0.0), (25.0, -20.0), (-30.0, 30.0), (60.0, 60.0), (10.0, -90.0)])
def test_luma_is_kept_whatever_the_colour(ab):
    luma = torch.from_numpy(speckle((16, 16))).float()
    rgb = colored(luma, torch.tensor(ab).view(2, 1, 1).expand(2, 16, 16))
    inside = ((rgb > 0) & (rgb < 1)).all(0)
    assert inside.float().mean() > 0.5 or abs(ab[1]) > 50
    assert (luma_of(rgb) - luma)[inside].abs().max() < 1 / 255


def test_colour_in_gamut_is_exact():
    rgb = tinted(speckle((16, 16)), (20.0, -15.0))
    assert np.abs(rgb_to_lab(as_tensor(rgb))[1:].mean((1, 2)).numpy() - (20, -15)).max() < 0.5


def test_grey_labels_leave_the_luma_alone():
    picture = grey(tinted(speckle((32, 48)), (30.0, 10.0)))
    shown = decode(ColorLabels().nothing(GRID), picture)
    assert np.abs(shown.astype(int) - picture).max() <= 1


def test_a_colour_frame_and_its_grey_copy_get_the_same_colours():
    frames, _ = moving_square(frames=3)
    copies = np.stack([grey(frame) for frame in frames])
    again = np.stack([grey(frame) for frame in copies])
    assert np.abs(np.stack(run(frames[0], copies)).astype(int) - run(frames[0], again)).max() == 0
    assert np.abs(np.stack(run(frames[0], frames)).astype(int) - run(frames[0], copies)).max() <= 12


def test_colours_follow_a_square():
    frames, lefts = moving_square()
    shown = run(frames[0], [grey(frame) for frame in frames])
    lab = rgb_to_lab(as_tensor(shown[-1]))
    assert (lab[1, 18:30, lefts[-1] + 2 : lefts[-1] + 14] > 20).float().mean() > 0.9  # red
    assert (lab[1, :, :6] < -15).float().mean() > 0.95  # green where it was left behind


def test_colours_do_not_bleed_over_a_luma_edge():
    picture = np.full((32, 48, 3), 60, np.uint8)
    picture[:, 22:] = 180  # the edge lies inside a cell
    soft = ColorLabels().nothing(GRID)
    soft[:, :, :6] = torch.tensor([40.0, 20.0, 44.7]).view(3, 1, 1)  # red left of the cell's border at 24
    chroma = rgb_to_lab(as_tensor(decode(soft, picture)))[1]
    assert chroma[:, :22].min() > 30
    assert chroma[:, 24:].abs().max() < 2


def test_saturation_is_kept_where_hues_cancel():
    soft = ColorLabels().nothing(GRID)
    soft[0], soft[2] = 10.0, 18.0  # a mean colour shorter than the colours that it averages
    picture = np.full((32, 48, 3), 120, np.uint8)
    assert saturation(decode(soft, picture)) == pytest.approx(18, abs=0.5)


def test_a_run_does_not_fade():
    frames, _ = moving_square(frames=8)
    shown = run(frames[0], [grey(frame) for frame in frames])
    assert saturation(shown[-1]) / saturation(frames[-1]) > 0.95


def test_saturation_is_the_mean_chroma():
    assert saturation(np.full((4, 4, 3), 90, np.uint8)) == pytest.approx(0, abs=0.01)
    assert saturation(tinted(speckle((8, 8)), (30.0, 0.0))) == pytest.approx(30, abs=0.5)


def test_correlation_tells_a_wrong_frame():
    one, other = tinted(speckle((32, 48)), (30.0, 0.0)), tinted(speckle((32, 48), seed=5), (30.0, 0.0))
    assert correlation(one, grey(one)) > 0.99
    assert abs(correlation(one, other)) < 0.5
    assert correlation(np.zeros((4, 4, 3), np.uint8), one[:4, :4]) == 0
