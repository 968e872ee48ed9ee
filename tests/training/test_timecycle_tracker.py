"""TimeCycle's tracker: geometry by hand, crops against plain indexing, gradients against finite differences."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from propagate.errors import ConfigError
from propagate.training.objectives.tracker import Tracked, Tracker, affinity, draw_places, placed, sample, unit

SIZE, STRIDE, CELLS, PATCH = 96, 8, 12, 4  # a small copy of 240, 8, 30, 10


def tracker(*, offset: float = 0.0, size: int = SIZE, temperature: float = 1.0) -> Tracker:
    torch.manual_seed(0)
    return Tracker(size=size, stride=STRIDE, offset=offset, temperature=temperature)


def random(*shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(sum(shape)))


def at_cell(row: int, column: int, *, size: int = SIZE) -> Tensor:
    """Return theta (1, 3) of the patch whose first pixel is that of a block of stride x stride pixels."""
    middle = [STRIDE * place + (size / 3 - size) / 2 for place in (column, row)]
    return torch.tensor([[place / (size / 2) for place in middle] + [0.0]], dtype=torch.float64)


def test_the_papers_sizes() -> None:
    paper = tracker(size=240)
    assert (paper.cells, paper.patch_cells, paper.side) == (30, 10, 80)
    assert paper.localiser.conv1.weight.shape == (128, 900, 4, 4)
    assert paper.localiser.conv2.weight.shape == (64, 128, 4, 4)
    assert paper.localiser.linear.weight.shape == (3, 64 * 4 * 4)
    found = paper(unit(random(1, 5, 30, 30)).float(), unit(random(1, 1, 5, 10, 10), dim=2).float())
    assert found.affinity.shape == (1, 1, 900, 10, 10)
    assert found.patch.shape == (1, 1, 5, 10, 10)


@pytest.mark.parametrize("offset", [0.0, 3.5])
@pytest.mark.parametrize(("row", "column"), [(0, 0), (3, 5), (8, 8), (8, 0)])
def test_a_crop_at_whole_cells_is_plain_indexing(row: int, column: int, offset: float) -> None:
    picture = unit(random(1, 5, CELLS, CELLS))
    crop = tracker(offset=offset).crop(picture, at_cell(row, column)[:, None])
    torch.testing.assert_close(crop[0, 0], picture[0, :, row : row + PATCH, column : column + PATCH])


def test_a_crop_of_pixels_is_plain_indexing() -> None:
    picture = random(1, 3, SIZE, SIZE)
    crop = tracker().crop_pixels(picture, at_cell(2, 5)[:, None])[:, 0]
    torch.testing.assert_close(crop, picture[:, :, 16:48, 40:72], atol=2e-5, rtol=0)


def test_a_quarter_turn_turns_the_crop() -> None:
    picture = random(1, 3, SIZE, SIZE)
    theta = at_cell(4, 4)[:, None]
    turned = tracker().crop_pixels(picture, theta + torch.tensor([0.0, 0.0, math.pi / 2]))
    straight = tracker().crop_pixels(picture, theta)
    torch.testing.assert_close(turned, straight.rot90(1, (3, 4)), atol=2e-5, rtol=0)


@pytest.mark.parametrize("offset", [0.0, 3.5])
def test_cells_of_the_patch_lie_where_its_pixels_do(offset: float) -> None:
    """A ramp, cut as pixels and then sampled at cells, is the ramp sampled at cells and then cut."""
    y, x = torch.meshgrid(torch.arange(SIZE), torch.arange(SIZE), indexing="ij")
    ramp = torch.stack([x, y])[None].double()  # (1, 2, S, S)
    own = tracker(offset=offset)
    for theta in draw_places(8, torch.Generator().manual_seed(1), turn=0.7).double():
        patch = own.crop_pixels(ramp, theta[None, None])[:, 0]
        cut_first = cells_of(patch, offset)
        whole = cells_of(ramp, offset)
        where = own.cell_places(theta[None]) + own.shift
        inside = (where.abs() < 1 - 1 / CELLS).all(-1).expand(1, 2, -1, -1)
        assert inside.sum() >= 16
        torch.testing.assert_close(sample(whole, where)[inside], cut_first[inside], atol=1e-5, rtol=0)


def cells_of(pixels: Tensor, offset: float) -> Tensor:
    """Return the values at an encoder's cells: every eighth pixel, or the means of 8x8."""
    return pixels[:, :, ::STRIDE, ::STRIDE] if offset == 0 else torch.nn.functional.avg_pool2d(pixels, STRIDE)


def test_affinity_is_the_softmax_of_inner_products_written_out() -> None:
    picture, queries = random(2, 3, 4, 5), random(2, 3, 3, 2, 2)
    weights = affinity(picture, queries, temperature=0.5)
    assert weights.shape == (2, 3, 20, 2, 2)
    for b, n, r, c in [(0, 0, 0, 0), (1, 2, 1, 0), (0, 1, 0, 1), (1, 0, 1, 1)]:
        query = queries[b, n, :, r, c]
        scores = [torch.dot(query, picture[b, :, row, column]) / 0.5 for row in range(4) for column in range(5)]
        torch.testing.assert_close(weights[b, n, :, r, c], torch.softmax(torch.stack(scores), 0))


def test_affinity_of_every_query_cell_adds_up_to_one() -> None:
    weights = affinity(random(2, 3, 6, 6), random(2, 2, 3, 2, 2), temperature=512**-0.5)
    torch.testing.assert_close(weights.sum(2), torch.ones(2, 2, 2, 2, dtype=torch.float64))


def test_places_by_hand() -> None:
    points = torch.tensor([[[0.1, 0.0], [0.0, 0.1]]])
    turned = placed(torch.tensor([0.2, -0.3, math.pi / 2]), points)
    torch.testing.assert_close(turned, torch.tensor([[[0.2, -0.2], [0.1, -0.3]]]))


def test_misalignment_by_hand() -> None:
    own = tracker(offset=3.5)
    start = torch.tensor([0.1, 0.1, 0.4])
    moved = own.misalignment(start + torch.tensor([0.3, -0.4, 0.0]), start)
    assert moved.item() == pytest.approx(0.3**2 + 0.4**2)
    turned = own.misalignment(start + torch.tensor([0.0, 0.0, math.pi]), start)
    steps = [(8 * number + 3.5 - 15.5) / 48 for number in range(4)]  # of the patch's cells from its middle
    by_hand = sum((2 * x) ** 2 + (2 * y) ** 2 for x in steps for y in steps) / 16
    assert turned.item() == pytest.approx(by_hand, rel=1e-5)
    assert own.misalignment(start, start).item() == 0


def test_inliers_are_the_affinity_at_the_place_found() -> None:
    own = tracker()
    matches = torch.zeros(1, 2, CELLS**2, PATCH, PATCH, dtype=torch.float64)
    for row in range(PATCH):
        for column in range(PATCH):
            matches[:, :, (row + 3) * CELLS + column + 5, row, column] = 1.0
    half_a_cell = torch.tensor([STRIDE / 2 / (SIZE / 2), 0.0, 0.0])
    theta = torch.stack([at_cell(3, 5), at_cell(3, 5) + half_a_cell], 1)  # (1, 2, 3)
    found = Tracked(theta, torch.empty(0), matches)
    torch.testing.assert_close(own.inliers(found), torch.tensor([[1.0, 0.5]], dtype=torch.float64))
    away = Tracked(at_cell(0, 0).expand(1, 2, 3), torch.empty(0), matches)
    assert own.inliers(away).abs().max() == 0


def test_the_gradient_of_the_tracker_is_that_of_finite_differences() -> None:
    own = tracker(size=48, temperature=0.3).double()
    torch.nn.init.normal_(own.localiser.linear.weight, std=0.2)
    torch.nn.init.constant_(own.localiser.linear.bias, 0.13)  # between cells, where sampling has a gradient

    def track(picture: Tensor, queries: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        found = own(unit(picture), unit(queries, dim=2))
        return found.theta, found.patch, own.inliers(found)

    inputs = random(1, 3, 6, 6).requires_grad_(), random(1, 2, 3, 2, 2).requires_grad_()
    assert torch.autograd.gradcheck(track, inputs)


def test_the_gradient_at_a_place_is_that_of_finite_differences() -> None:
    own = tracker(size=48).double()
    theta = torch.tensor([[[0.11, -0.07, 0.3]]], dtype=torch.float64, requires_grad=True)
    picture = unit(random(1, 3, 6, 6)).requires_grad_()
    assert torch.autograd.gradcheck(own.crop, (picture, theta))
    assert torch.autograd.gradcheck(lambda place: own.misalignment(place, torch.zeros(3)), (theta,))


def test_every_place_drawn_lies_wholly_in_the_picture() -> None:
    own = tracker()
    theta = draw_places(500, torch.Generator().manual_seed(0), turn=math.pi / 4)
    corners = placed(theta, own.pixel_points)[:, [0, 0, -1, -1], [0, -1, 0, -1]]  # (500, 4, 2)
    assert corners.abs().max() <= 1
    assert corners.abs().max() > 0.97
    assert theta[:, 2].abs().max() <= math.pi / 4
    assert (theta.min(0).values < -0.5).all()
    assert (theta.max(0).values > 0.5).all()


def test_places_can_be_drawn_without_turning() -> None:
    theta = draw_places(500, torch.Generator().manual_seed(0), turn=0.0)
    assert not theta[:, 2].any()
    assert 0.65 < theta[:, :2].abs().max() <= 2 / 3


def test_features_of_nothing_have_a_small_gradient() -> None:
    features = torch.zeros(1, 4, 2, 2, requires_grad=True)
    unit(features).sum().backward()
    assert features.grad is not None
    assert features.grad.abs().max() <= 1001


def test_unit_features_of_bfloat16_are_float32() -> None:
    features = unit(random(1, 4, 2, 2).bfloat16())
    torch.testing.assert_close(features.norm(dim=1), torch.ones(1, 2, 2))


def test_a_size_that_is_no_whole_number_of_cells_is_refused() -> None:
    with pytest.raises(ConfigError, match="size is 100, expected a multiple of 24"):
        tracker(size=100)
