"""Known warps: where things went, what is hidden, and the pointer's loss against it."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from propagate.training.objectives import pretext as module
from propagate.training.objectives.augment import KnownPair, draw_field, draw_pieces, known_pair, look, pixel_grid
from propagate.training.objectives.pretext import known_warp, pair_loss
from propagate.training.objectives.tasks import Cells, place_loss, place_weights

CELLS = Cells(8, 0.0)
STILL = {"turn": 0.0, "scale": 0.0, "shift": 0.0, "bend": 0.0}


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def coordinates(count: int, size: int, third: float) -> Tensor:
    """Return pictures (count, 3, size, size) that show where they are: x and y as shares of the side."""
    grid = pixel_grid((size, size)).permute(2, 0, 1) / (size - 1)
    return torch.cat([grid, torch.full((1, size, size), third)])[None].repeat(count, 1, 1, 1)


def position_code(places: Tensor, *, width: float) -> Tensor:
    """Return (N, 512, h, w) unit codes of places (N, h, w, 2): products fall as a Gaussian of `width`."""
    waves = torch.randn(2, 256, generator=seeded(9)) / width
    phase = places @ waves
    return torch.cat([phase.cos(), phase.sin()], -1).permute(0, 3, 1, 2) / 16


def pointed(features: Tensor, temperature: float) -> Tensor:
    """Return (B, h, w, 2): the mean cell x, y that targets point to; features are those of `pair_loss`."""
    keys, query = features.chunk(2)
    grid = pixel_grid((features.shape[2], features.shape[3])).view(-1, 2)
    weights = torch.softmax(query.flatten(2).mT @ keys.flatten(2) / temperature, 2)
    return (weights @ grid).view(len(keys), *features.shape[2:], 2)


def test_no_warp_is_the_pixel_grid_and_shows_the_picture() -> None:
    field = draw_field(2, (12, 16), random=seeded(), **STILL)
    torch.testing.assert_close(field, pixel_grid((12, 16)).expand(2, -1, -1, -1), atol=1e-5, rtol=0)
    shown = torch.rand(2, 3, 12, 16)
    torch.testing.assert_close(look(shown, field), shown, atol=1e-5, rtol=0)


def test_looking_through_a_shifted_field_moves_the_picture() -> None:
    shown = torch.rand(1, 3, 10, 10)
    moved = look(shown, (pixel_grid((10, 10)) + torch.tensor([2.0, -1.0]))[None])
    torch.testing.assert_close(moved[:, :, 1:, :8], shown[:, :, :-1, 2:], atol=1e-5, rtol=0)


@pytest.mark.parametrize("change", ["turn", "shift", "scale", "bend"])
def test_each_reach_changes_what_it_says(change: str) -> None:
    reach = {"turn": 0.5, "shift": 0.2, "scale": 0.4, "bend": 0.05}[change]
    field = draw_field(64, (17, 17), random=seeded(), **{**STILL, change: reach})
    middle = field[:, 8, 8] - 8  # (64, 2)
    across, down = field[:, 8, 16] - field[:, 8, 8], field[:, 16, 8] - field[:, 8, 8]
    angle = torch.atan2(across[:, 1], across[:, 0])
    zoom = 0.5 * (across.norm(dim=1) * down.norm(dim=1) / 64).log()
    if change in ("turn", "scale"):
        assert middle.abs().max() < 1e-4
    assert (angle.abs().max() > 0.4) == (change == "turn") or change == "bend"
    assert (zoom.abs().max() > 0.3) == (change == "scale") or change == "bend"
    assert angle.abs().max() < 0.5 + 1e-4 or change == "bend"
    assert zoom.abs().max() < 0.4 + 1e-4 or change == "bend"
    if change == "shift":
        assert 3.0 < middle.abs().max() <= 0.2 * 17 + 1e-4
    if change == "bend":
        straight = (field[:, 8, 0] + field[:, 8, 16]) / 2 - field[:, 8, 8]
        assert straight.norm(dim=1).median() > 0.2


def test_pieces_cover_the_share_that_was_drawn() -> None:
    pieces = draw_pieces(50, (20, 20), random=seeded(), share=(0.1, 0.3))
    cover = pieces.mean((1, 2, 3))
    assert set(pieces.unique().tolist()) == {0.0, 1.0}
    assert 0.09 < cover.min() < 0.14
    assert 0.26 < cover.max() < 0.31


def test_every_visible_pixel_is_where_its_place_says() -> None:
    """By coordinates painted into both layers, and a plain loop over pixels for what is hidden."""
    size = 40
    pair = known_pair(coordinates(6, size, 0.0), coordinates(6, size, 1.0), random=seeded(1))
    shown = pair.target.permute(0, 2, 3, 1)  # (B, H, W, 3)
    front = shown[..., 2] > 0.5
    assert pair.visible.float().mean() > 0.3
    torch.testing.assert_close(
        (shown[..., :2] * (size - 1))[pair.visible], pair.places[pair.visible], atol=0.02, rtol=0
    )
    hidden = 0
    for b, y, x in [(b, y, x) for b in range(6) for y in range(0, size, 3) for x in range(0, size, 3)]:
        column, row = pair.places[b, y, x].tolist()
        if not (0 <= column <= size - 1 and 0 <= row <= size - 1):
            assert not pair.visible[b, y, x]
            continue
        low_x, low_y = min(int(column), size - 2), min(int(row), size - 2)
        around = pair.source[b, 2, low_y : low_y + 2, low_x : low_x + 2]
        if bool((around == 1).all()):
            assert bool(pair.visible[b, y, x]) == bool(front[b, y, x])  # a piece hides what is behind it
            hidden += not bool(front[b, y, x])
        elif bool((around == 0).all()):
            assert bool(pair.visible[b, y, x]) != bool(front[b, y, x])
    assert hidden > 20


def test_place_weights_against_a_plain_loop() -> None:
    shape = (5, 7)
    places = torch.rand(3, 11, 2, dtype=torch.float64, generator=seeded()) * torch.tensor([8.0, 6.0]) - 0.7
    cells, weights = place_weights(places, shape)
    dense = torch.zeros(3, 11, 35, dtype=torch.float64).scatter_add_(2, cells, weights)
    for b in range(3):
        for q in range(11):
            x = min(max(float(places[b, q, 0]), 0.0), shape[1] - 1)
            y = min(max(float(places[b, q, 1]), 0.0), shape[0] - 1)
            for cell in range(35):
                near = max(0.0, 1 - abs(cell % 7 - x)) * max(0.0, 1 - abs(cell // 7 - y))
                assert float(dense[b, q, cell]) == pytest.approx(near, abs=1e-9)


def test_place_loss_against_a_plain_loop() -> None:
    shape = (4, 5)
    logits = torch.randn(2, 6, 20, dtype=torch.float64, generator=seeded())
    places = torch.rand(2, 6, 2, dtype=torch.float64, generator=seeded(1)) * torch.tensor([4.0, 3.0])
    known = torch.rand(2, 6, generator=seeded(2)) < 0.6
    total, count = 0.0, 0
    for b, q in known.nonzero().tolist():
        said = torch.softmax(logits[b, q], 0)
        x, y = places[b, q].tolist()
        for cell in range(20):
            weight = max(0.0, 1 - abs(cell % 5 - x)) * max(0.0, 1 - abs(cell // 5 - y))
            total += weight * math.log(weight / float(said[cell])) if weight else 0.0
        count += 1
    assert 0 < count < 12
    loss = place_loss(logits.log_softmax(2), places, known, shape=shape)
    assert float(loss) == pytest.approx(total / count, rel=1e-9)


def test_what_is_not_known_has_no_loss_and_no_gradient() -> None:
    logits = torch.randn(1, 4, 9, requires_grad=True)
    known = torch.tensor([[True, False, False, False]])
    places = torch.ones(1, 4, 2)
    place_loss(logits.log_softmax(2), places, known, shape=(3, 3)).backward()
    assert logits.grad is not None
    assert logits.grad[0, 0].abs().sum() > 0
    assert logits.grad[0, 1:].abs().sum() == 0
    assert place_loss(logits.log_softmax(2), places, known & False, shape=(3, 3)).item() == 0


def moved_codes() -> tuple[Tensor, KnownPair]:
    """Return unique codes of 5 x 6 cells moved by (2, 1) cells, what came in being noise, and the pair that says so."""
    source = torch.eye(30).view(30, 5, 6)[None]
    target = torch.randn(1, 30, 5, 6, generator=seeded())
    target[:, :, :4, :4] = source[:, :, 1:, 2:]
    places = pixel_grid((40, 48)) + torch.tensor([16.0, 8.0])
    visible = (places[..., 0] < 48) & (places[..., 1] < 40)
    picture = torch.zeros(1, 3, 40, 48)
    return torch.cat([source, target]), KnownPair(picture, picture, places[None], visible[None])


def test_codes_moved_exactly_cost_nothing_whatever_comes_in() -> None:
    features, pair = moved_codes()
    assert float(pair_loss(features, pair, cells=CELLS, temperature=0.05)) < 1e-4
    wrong = KnownPair(pair.source, pair.target, pair.places + 8, pair.visible)
    assert float(pair_loss(features, wrong, cells=CELLS, temperature=0.05)) > 10


def test_hidden_cells_are_left_out() -> None:
    features, pair = moved_codes()
    features[1, :, 0, 0] = torch.randn(30, generator=seeded(5))  # something else stands there
    assert float(pair_loss(features, pair, cells=CELLS, temperature=0.05)) > 0.1
    pair.visible[0, 0, 0] = False
    assert float(pair_loss(features, pair, cells=CELLS, temperature=0.05)) < 1e-4


def test_gradient_against_finite_differences() -> None:
    places = draw_field(2, (24, 24), random=seeded())
    pair = KnownPair(torch.zeros(2, 3, 24, 24), torch.zeros(2, 3, 24, 24), places.double(), torch.ones(2, 24, 24) > 0)
    features = torch.randn(4, 3, 3, 3, dtype=torch.float64, generator=seeded(1), requires_grad=True)
    assert torch.autograd.gradcheck(lambda f: pair_loss(f, pair, cells=CELLS, temperature=0.3), (features,))


def test_an_encoder_that_knows_places_points_home(monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole term, with features that are codes of the coordinates painted into the pictures."""
    monkeypatch.setattr(module, "change_look", lambda pictures, **_: pictures)
    seen: list[KnownPair] = []

    def kept(*arguments: Tensor, random: torch.Generator) -> KnownPair:
        seen.append(known_pair(*arguments, random=random))
        return seen[0]

    monkeypatch.setattr(module, "known_pair", kept)
    layers = torch.cat([coordinates(1, 96, 0.0), coordinates(1, 96, 1.0)])[:, None]  # (B=2, T=1, 3, S, S)
    task = known_warp(layers, cells=CELLS, temperature=0.03, random=seeded(2))
    shown = task.pictures[:, :, ::8, ::8]  # at the cells' centres
    layer = (shown[:, 2:].round() * 2 - 1).expand(-1, 64, -1, -1) / 8
    code = torch.cat([position_code(shown[:, :2].permute(0, 2, 3, 1) * 95 / 8, width=1.0), layer], 1)
    visible = seen[0].visible[:, ::8, ::8]
    code = torch.nn.functional.normalize(code, dim=1)
    away = (pointed(code, 0.03) - seen[0].places[:, ::8, ::8] / 8).norm(dim=-1)[visible]
    assert visible.sum() > 60
    assert away.quantile(0.9) < 0.5
    keys, query = code.chunk(2)
    off = task.loss(torch.cat([keys, query.roll(2, 3)])).item()  # by two cells
    assert task.loss(code).item() < off / 3


def test_the_term_repeats_under_a_seed() -> None:
    clips = torch.rand(3, 2, 3, 32, 32, generator=seeded())
    first, again = (known_warp(clips, cells=CELLS, temperature=0.07, random=seeded(4)) for _ in range(2))
    assert first.pictures.shape == (6, 3, 32, 32)
    assert torch.equal(first.pictures, again.pictures)
    features = torch.randn(6, 8, 4, 4, generator=seeded(1))
    assert float(first.loss(features)) == float(again.loss(features)) > 0
