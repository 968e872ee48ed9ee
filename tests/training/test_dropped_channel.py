"""A dropped Lab channel: it is gone from the input, and rebuilt through the pointer."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from propagate.ops.color import lab_to_rgb, rgb_to_lab
from propagate.training.objectives import pretext as module
from propagate.training.objectives.pretext import BETA, cell_means, dropped_channel, rebuilding_loss
from propagate.training.objectives.tasks import Cells

CELLS = Cells(8, 0.0)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def soft_lab(count: int = 2, frames: int = 2, size: int = 24) -> Tensor:
    """Return (count, frames, 3, size, size) Lab well inside sRGB, so that a channel can be exchanged."""
    spread = torch.tensor([6.0, 5.0, 5.0]).view(3, 1, 1)
    middle = torch.tensor([60.0, 3.0, -2.0]).view(3, 1, 1)
    return torch.rand(count, frames, 3, size, size, generator=seeded()) * spread + middle


@pytest.mark.parametrize("drop", [(1, 0, 0), (0, 1, 0), (0, 0, 1), (0, 1, 1)])
def test_the_input_says_nothing_of_what_was_dropped(
    drop: tuple[int, int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "DROPS", (drop,))
    lab, other = soft_lab(), soft_lab()
    other[:, :, [bool(d) for d in drop]] = lab[:, :, [bool(d) for d in drop]].flip(3)  # the same mean, elsewhere
    shown, same = (
        dropped_channel(lab_to_rgb(clip), cells=CELLS, temperature=0.07, random=seeded()).pictures
        for clip in (lab, other)
    )
    torch.testing.assert_close(shown, same, atol=2e-4, rtol=0)
    back = rgb_to_lab(shown).unflatten(0, (2, 2))
    for channel in range(3):
        if drop[channel]:
            assert back[:, :, channel].std() < 0.6  # only the clips' means differ
        else:
            torch.testing.assert_close(back[:, :, channel], lab[:, :, channel], atol=0.05, rtol=0)


def test_clips_lack_different_channels() -> None:
    clips = lab_to_rgb(soft_lab(1).expand(40, -1, -1, -1, -1))
    shown = dropped_channel(clips, cells=CELLS, temperature=0.07, random=seeded()).pictures
    gone = rgb_to_lab(shown).unflatten(0, (40, 2)).std((1, 3, 4)) < 0.1  # (40, 3)
    kinds = {tuple(row) for row in gone.tolist()}
    assert kinds == {tuple(bool(d) for d in drop) for drop in module.DROPS}


def test_cell_means_by_a_plain_loop() -> None:
    pictures = torch.rand(1, 2, 21, 26, dtype=torch.float64, generator=seeded())
    means = cell_means(pictures, CELLS)
    assert means.shape == (1, 2, 3, 4)
    for r in range(3):
        for c in range(4):
            box = pictures[:, :, max(0, 8 * r - 4) : 8 * r + 5, max(0, 8 * c - 4) : 8 * c + 5]
            torch.testing.assert_close(means[:, :, r, c], box.mean((2, 3)))


def test_cells_beside_pixel_zero_are_refused() -> None:
    with pytest.raises(ValueError, match=r"offset of 3\.5 pixels"):
        cell_means(torch.zeros(1, 3, 16, 16), Cells(8, 3.5))


def test_rebuilding_against_a_plain_loop() -> None:
    views = torch.randn(2, 3, 4, 2, 3, dtype=torch.float64, generator=seeded())
    labels = torch.randn(2, 3, 3, 2, 3, dtype=torch.float64, generator=seeded(1))
    dropped = torch.tensor([[False, True, True], [True, False, False]])
    total = 0.0
    for b in range(2):
        keys = views[b, :2].permute(1, 0, 2, 3).flatten(1)  # (C, R*h*w)
        known = labels[b, :2].permute(1, 0, 2, 3).flatten(1)
        clip = []
        for q in range(6):
            query = views[b, 2].flatten(1)[:, q]
            cosine = torch.stack([torch.cosine_similarity(query, key, dim=0) for key in keys.T])
            rebuilt = known @ torch.softmax(cosine / 0.2, 0)
            for channel in dropped[b].nonzero()[:, 0].tolist():
                wrong = abs(float(rebuilt[channel] - labels[b, 2].flatten(1)[channel, q]))
                clip.append(wrong**2 / (2 * BETA) if wrong < BETA else wrong - BETA / 2)
        total += sum(clip) / len(clip) / 2
    assert rebuilding_loss(views, labels, dropped, temperature=0.2).item() == pytest.approx(total, rel=1e-6)


def test_codes_moved_exactly_rebuild_for_nothing() -> None:
    order = torch.randperm(20, generator=seeded())
    codes, colours = torch.eye(20), torch.randn(3, 20, generator=seeded(1))
    views = torch.stack([codes, codes[:, order]]).view(1, 2, 20, 4, 5)
    labels = torch.stack([colours, colours[:, order]]).view(1, 2, 3, 4, 5)
    dropped = torch.tensor([[True, True, True]])
    assert rebuilding_loss(views, labels, dropped, temperature=0.05).item() < 1e-8
    assert rebuilding_loss(views, labels.flip(1), dropped, temperature=0.05).item() > 0.1


def test_gradient_of_rebuilding_against_finite_differences() -> None:
    views = torch.randn(1, 3, 3, 2, 2, dtype=torch.float64, generator=seeded(), requires_grad=True)
    labels = torch.randn(1, 3, 3, 2, 2, dtype=torch.float64, generator=seeded(1))
    dropped = torch.tensor([[True, False, True]])
    assert torch.autograd.gradcheck(lambda v: rebuilding_loss(v, labels, dropped, temperature=0.4), (views,))
