"""Walks there and back: the round trip by hand, a perfect walker, crops, and position as no way out."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor

from propagate.training.objectives import pretext as module
from propagate.training.objectives.augment import crop_fields, draw_crops, into_crops, look, pixel_grid
from propagate.training.objectives.pretext import palindrome, walk_loss
from propagate.training.objectives.tasks import FLOOR, Cells

CELLS = Cells(8, 0.0)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def home(shape: tuple[int, int], count: int) -> Tensor:
    """Return (count, Q, 2): every cell's own place."""
    return pixel_grid(shape).view(1, -1, 2).expand(count, -1, -1)


def test_crops_and_back() -> None:
    crops = draw_crops(20, (30, 40), random=seeded(), smallest=0.5)
    fields = crop_fields(crops, (30, 40))
    assert fields.min() >= 0
    assert fields[..., 0].max() <= 39 + 1e-4
    assert fields[..., 1].max() <= 29 + 1e-4
    assert 0.5 <= crops[:, 2].min() < 0.6
    torch.testing.assert_close(
        into_crops(fields, crops), pixel_grid((30, 40)).expand(20, -1, -1, -1), atol=1e-3, rtol=0
    )


def test_a_crop_shows_what_is_there() -> None:
    picture = torch.rand(1, 3, 20, 20, generator=seeded())
    seen = look(picture, crop_fields(torch.tensor([[4.0, 6.0, 0.5]]), (20, 20)))
    torch.testing.assert_close(seen[0, :, ::2, ::2], picture[0, :, 6:16, 4:14], atol=1e-5, rtol=0)


def test_walks_against_products_of_dense_matrices() -> None:
    views = torch.randn(2, 4, 5, 3, 4, dtype=torch.float64, generator=seeded())
    places = torch.rand(2, 12, 2, dtype=torch.float64, generator=seeded(1)) * torch.tensor([3.0, 2.0])
    known = torch.rand(2, 12, generator=seeded(2)) < 0.7
    walkers = torch.tensor([0, 5, 11])

    def step(b: int, start: int, end: int) -> Tensor:
        rows = [[float(torch.cosine_similarity(views[b, start].flatten(1)[:, q], views[b, end].flatten(1)[:, m], dim=0))
                 for m in range(12)] for q in range(12)]  # fmt: skip
        return torch.softmax(torch.tensor(rows, dtype=torch.float64) / 0.2, 1)

    total = 0.0
    routes = [(0, 1, 3), (0, 1, 2, 1, 3)]  # view 3 is frame 0 again
    for route in routes:
        cost = 0.0
        for b in range(2):
            trip = torch.eye(12, dtype=torch.float64)
            for start, end in itertools.pairwise(route):
                trip = trip @ step(b, start, end)
            for q in walkers[known[b, walkers]].tolist():
                for cell in range(12):
                    near = [max(0.0, 1 - abs(at - float(where))) for at, where in
                            zip((cell % 4, cell // 4), places[b, q], strict=True)]  # fmt: skip
                    weight = near[0] * near[1]
                    cost += weight * math.log(weight / (float(trip[q, cell]) + FLOOR)) if weight else 0.0
        total += cost / int(known[:, walkers].sum()) / len(routes)
    loss = walk_loss(views, places[:, walkers], known[:, walkers], walkers=walkers, temperature=0.2)
    assert loss.item() == pytest.approx(total, rel=1e-9)


@pytest.mark.parametrize("frames", [2, 3, 4])
def test_unique_codes_that_move_exactly_walk_home_for_nothing(frames: int) -> None:
    codes = torch.eye(20)
    between = [codes[:, torch.randperm(20, generator=seeded(f))] for f in range(1, frames)]
    views = torch.stack([codes, *between, codes]).view(1, frames + 1, 20, 4, 5)
    everywhere = torch.ones(1, 20) > 0
    loss = walk_loss(views, home((4, 5), 1), everywhere, walkers=torch.arange(20), temperature=0.05)
    assert 0 <= loss.item() < 1e-4


def test_a_walk_whose_end_is_not_on_the_picture_does_not_count() -> None:
    codes = torch.eye(20).view(20, 4, 5)
    shifted = torch.zeros(20, 4, 5)
    shifted[:, :, :3] = codes[:, :, 2:]  # the last view lies two cells further right: two columns are lost
    shifted[:, :, 3:] = 0.1
    views = torch.stack([codes, codes, shifted])[None]
    places = home((4, 5), 1) - torch.tensor([2.0, 0.0])
    settings = {"walkers": torch.arange(20), "temperature": 0.05}
    assert walk_loss(views, places, torch.ones(1, 20) > 0, **settings).item() < 1e-3
    assert walk_loss(views, places.clamp_min(0), torch.ones(1, 20) > 0, **settings).item() > 1


def test_position_alone_does_not_bring_a_walker_home() -> None:
    codes = torch.eye(20).view(20, 4, 5)
    views = torch.stack([codes] * 4)[None]  # the same code at the same cell of every view, whatever is seen there
    places = (home((4, 5), 1) + torch.tensor([1.0, 1.0])).clamp(max=torch.tensor([4.0, 3.0]))
    loss = walk_loss(views, places, torch.ones(1, 20) > 0, walkers=torch.arange(20), temperature=0.05)
    assert loss.item() > 5


def test_gradient_of_the_walk_against_finite_differences() -> None:
    views = torch.randn(1, 4, 3, 2, 3, dtype=torch.float64, generator=seeded(), requires_grad=True)
    places = torch.rand(1, 4, 2, dtype=torch.float64, generator=seeded(1))
    known, walkers = torch.tensor([[True, True, False, True]]), torch.tensor([0, 2, 3, 5])
    assert torch.autograd.gradcheck(lambda v: walk_loss(v, places, known, walkers=walkers, temperature=0.4), (views,))


def test_a_lost_walk_has_a_finite_gradient() -> None:
    views = torch.eye(20).view(1, 1, 20, 4, 5).repeat(1, 3, 1, 1, 1).requires_grad_()
    far = home((4, 5), 1).flip(1)
    walk_loss(views, far, torch.ones(1, 20) > 0, walkers=torch.arange(20), temperature=0.01).backward()
    assert views.grad is not None
    assert views.grad.isfinite().all()


def test_an_encoder_that_knows_places_walks_home(monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole term on a still clip, with features that are codes of the coordinates painted into it."""
    monkeypatch.setattr(module, "change_look", lambda pictures, **_: pictures)
    grid = pixel_grid((96, 96)).permute(2, 0, 1) / 95
    clip = torch.cat([grid, torch.zeros(1, 96, 96)]).expand(2, 3, -1, -1, -1)
    task = palindrome(clip, cells=CELLS, temperature=0.07, random=seeded(3))
    assert task.pictures.shape == (8, 3, 96, 96)
    places = task.pictures[:, :2, ::8, ::8].permute(0, 2, 3, 1) * 95 / 8  # cells of the clip
    waves = torch.randn(2, 256, generator=seeded(9))
    code = torch.cat([(places @ waves).cos(), (places @ waves).sin()], -1).permute(0, 3, 1, 2)
    right = task.loss(code).item()
    code[3::4] = code[3::4].roll(2, 3)  # the last view two cells off
    assert right < 1.0
    assert task.loss(code).item() > 4


def test_each_frame_has_its_own_crop_and_the_same_seed_the_same_ones() -> None:
    clips = torch.rand(2, 2, 3, 32, 32, generator=seeded())
    first, again = (palindrome(clips, cells=CELLS, temperature=0.07, random=seeded(1)) for _ in range(2))
    assert torch.equal(first.pictures, again.pictures)
    still = clips[:, :1].expand(-1, 2, -1, -1, -1)
    views = palindrome(still, cells=CELLS, temperature=0.07, random=seeded(1)).pictures
    assert (views[0] - views[1]).abs().mean() > 0.05
    features = torch.randn(6, 8, 4, 4, generator=seeded(2))
    assert first.loss(features).item() == again.loss(features).item() > 0
