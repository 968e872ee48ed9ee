"""What all plots share: colours that the colour-blind tell apart, an empty figure, SVG with the same bytes each time.

Matplotlib is the extra `[report]`. It is imported inside the functions, and nothing of it is global: no pyplot.
"""

from __future__ import annotations

import importlib.util
import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's colours, told apart by the colour-blind; dashes and marks tell them apart without any colour.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
DASHES = ("-", "--", "-.", ":")
MARKS = ("o", "s", "^", "D", "v", "P", "X")
WIDTH = 8.0  # inches; text of 10 points is then as large as the page's own


def can_plot() -> bool:
    """Return whether matplotlib is installed."""
    return importlib.util.find_spec("matplotlib") is not None


def short_name(name: str, longest: int = 28) -> str:
    """Return a name for a plot, cut to `longest` letters, in which nothing is a command to matplotlib."""
    text = name if len(name) <= longest else name[: longest - 1] + "…"
    text = "".join(letter if letter.isprintable() else "?" for letter in text)
    return text.replace("$", r"\$").lstrip("_") or "?"  # matplotlib reads $ as mathematics and hides leading _


def empty_figure(height: float) -> Figure:
    """Return a figure without axes; `height` is in inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=(WIDTH, height), layout="constrained")


def figure_and_axes(height: float) -> tuple[Figure, Axes]:
    """Return a figure with one pair of axes and a light grid; `height` is in inches."""
    figure = empty_figure(height)
    axes = figure.subplots()
    axes.grid(alpha=0.3)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def put_legend_above(figure: Figure, axes: Axes) -> None:
    """Put the legend above the axes, where it covers nothing."""
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=min(3, len(labels)), frameon=False)


def as_svg(figure: Figure) -> bytes:
    """Return the figure as SVG, the same bytes for the same figure, its letters as outlines: no font is needed."""
    import warnings

    import matplotlib as mpl

    target = io.BytesIO()
    with mpl.rc_context({"svg.hashsalt": "propagate", "svg.fonttype": "path"}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")  # a name in a script that no font here has
        figure.savefig(target, format="svg", metadata={"Date": None})
    return target.getvalue()
