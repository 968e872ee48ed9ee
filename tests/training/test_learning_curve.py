"""The log of a training run in a few points, and drawn."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest

from propagate.training import log as module
from propagate.training.log import POINTS, draw_curve, learning_curve

VALIDATED = [
    {"step": 1, "done": 0.25, "loss": 9.0},
    {"step": 2, "done": 0.5, "loss": 7.0, "validation": {"L1": 20.0, "J": 0.1, "F": 0.2}},
    {"step": 3, "done": 0.75, "loss": 5.0},
    {"step": 4, "done": 1.0, "loss": 3.0, "validation": {"L1": 10.0, "J": 0.3, "F": 0.4}},
]


def test_the_curve_means_the_loss_between_its_points() -> None:
    lines = [{"step": n, "done": n / 4, "loss": float(n)} for n in range(1, 5)]
    lines[3]["validation"] = {"J": 0.5}
    assert learning_curve(lines, minutes=2.0) == [
        {"step": 1, "minutes": 0.5, "loss": 1.0},
        {"step": 2, "minutes": 1.0, "loss": 2.0},
        {"step": 3, "minutes": 1.5, "loss": 3.0},
        {"step": 4, "minutes": 2.0, "loss": 4.0, "validation": {"J": 0.5}},
    ]


def test_a_long_log_becomes_a_few_points_at_its_validations() -> None:
    lines = [{"step": n, "done": n / 1000, "loss": 1 / n} for n in range(1, 1001)]
    for place in (333, 666, 999):
        lines[place]["validation"] = {"J": place / 1000}
    points = learning_curve(lines)
    assert (len(points), points[-1]["step"]) == (POINTS, 1000)
    assert [point["step"] for point in points if "validation" in point] == [334, 667, 1000]
    counts = [b["step"] - a["step"] for a, b in zip([{"step": 0}, *points], points, strict=False)]
    total = math.fsum(point["loss"] * count for point, count in zip(points, counts, strict=True))
    assert total == pytest.approx(math.fsum(1 / n for n in range(1, 1001)), abs=1e-3)  # no line is lost


def test_loss_and_tracking_are_drawn_at_every_validation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = []
    monkeypatch.setattr(module, "can_plot", lambda: True)
    monkeypatch.setattr(module, "plot_training", lambda *what: drawn.append(what) or b"<svg/>")
    draw_curve(VALIDATED, tmp_path / "curve.svg")
    assert drawn == [([2, 4], [8.0, 4.0], {"L1": [20.0, 10.0], "J": [0.1, 0.3], "F": [0.2, 0.4]})]
    assert (tmp_path / "curve.svg").read_bytes() == b"<svg/>"
    held_out = [{**line, "validation": {"L1": 5.0}} if "validation" in line else line for line in VALIDATED]
    draw_curve(held_out, tmp_path / "curve.svg")
    assert drawn[1] == ([2, 4], [8.0, 4.0], {"L1": [5.0, 5.0]})


def test_the_curve_has_a_row_for_each_kind_of_score(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    draw_curve(VALIDATED, tmp_path / "curve.svg")
    picture = (tmp_path / "curve.svg").read_text(encoding="utf-8")
    draw_curve(VALIDATED, tmp_path / "again.svg")
    assert picture == (tmp_path / "again.svg").read_text(encoding="utf-8")
    assert picture.startswith("<?xml")
    assert set(re.findall(r'id="(axes_\d)"', picture)) == {"axes_1", "axes_2", "axes_3"}  # loss; L1; J and F


@pytest.mark.parametrize("can_plot", [True, False])
def test_nothing_is_drawn_where_there_is_nothing_to_draw(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, can_plot: bool
) -> None:
    monkeypatch.setattr(module, "can_plot", lambda: can_plot)
    draw_curve(VALIDATED[:1] if can_plot else VALIDATED, tmp_path / "curve.svg")
    assert not list(tmp_path.iterdir())


def test_a_matplotlib_that_cannot_be_used_is_said_and_ends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_what: object) -> bytes:
        raise ImportError("libpng16.so.16: cannot open shared object file")

    monkeypatch.setattr(module, "can_plot", lambda: True)
    monkeypatch.setattr(module, "plot_training", broken)
    draw_curve(VALIDATED, tmp_path / "curve.svg")
    assert [record.getMessage() for record in caplog.records] == [
        "no curve.svg: matplotlib cannot be used: libpng16.so.16: cannot open shared object file"
    ]
    assert not list(tmp_path.iterdir())
