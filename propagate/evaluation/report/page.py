"""The parts of a self-contained HTML page: everything escaped, pictures inside, no script, nothing from outside.

How they look stands in page.html, macros of Jinja2, and page.css beside it.
"""

from __future__ import annotations

import base64
import hashlib
import io
from collections.abc import Sequence
from functools import cache
from importlib import resources
from typing import Any

import numpy as np
from jinja2 import Environment
from markupsafe import Markup
from numpy.typing import NDArray


@cache
def _macros() -> Any:
    """Return the macros of page.html; they escape all text but what a macro has made."""
    text = resources.files("propagate.evaluation.report").joinpath("page.html").read_text(encoding="utf-8")
    page = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True, finalize=_clean)
    return page.from_string(text).module


def _clean(value: Any) -> Any:
    """Return text in which a mark stands for each character that no page may hold."""
    if not isinstance(value, str) or isinstance(value, Markup):
        return value
    return "".join(letter if letter in "\t\n" or _is_text(letter) else "\ufffd" for letter in value)


def _is_text(letter: str) -> bool:
    code = ord(letter)
    return not (code < 32 or 127 <= code < 160 or 0xD800 <= code < 0xE000)


def document(title: str, body: Sequence[Markup]) -> str:
    """Return the whole page: its policy allows its own style and pictures inside it, and nothing else."""
    style = resources.files("propagate.evaluation.report").joinpath("page.css").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    own = {"style": Markup(style), "policy": Markup(policy)}  # ours: no word of a user is in them
    return str(_macros().document(title, body, **own))


def section(title: str, parts: Sequence[Markup], *, kind: str = "") -> Markup:
    """Return a section under a heading, nothing when it has no parts."""
    return Markup(_macros().section(title, parts, kind)) if parts else Markup("")


def heading(text: str) -> Markup:
    """Return a heading inside a section."""
    return Markup(_macros().heading(text))


def paragraph(text: str, *, soft: bool = False) -> Markup:
    """Return a paragraph."""
    return Markup(_macros().paragraph(text, soft))


def bullets(lines: Sequence[str]) -> Markup:
    """Return a list of lines."""
    return Markup(_macros().bullets(lines))


def verbatim(text: str) -> Markup:
    """Return text in letters of one width."""
    return Markup(_macros().verbatim(text))


def table(rows: Sequence[Sequence[str]], *, caption: str, words: Sequence[int] = ()) -> Markup:
    """Return a table that scrolls by itself on a narrow screen.

    Args:
        rows: the header first; the first cell of every row names it.
        caption: what the table shows.
        words: columns of text, set to the left.
    """
    return Markup(_macros().table(rows, caption, words))


def plot(svg: bytes, *, alt: str, caption: str = "") -> Markup:
    """Return a plot; `alt` says in words what it shows, and a caption is left out where a table with it follows."""
    return _figure(svg, "image/svg+xml", alt=alt, caption=caption, kind="plot")


def strip(picture: NDArray[np.uint8], *, alt: str, caption: str) -> Markup:
    """Return a filmstrip (H, W, 3), which keeps its own size and scrolls by itself on a narrow screen."""
    from PIL import Image

    target = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(picture)).save(target, format="JPEG", quality=88, subsampling=0)
    return _figure(target.getvalue(), "image/jpeg", alt=alt, caption=caption, kind="strip")


def _figure(data: bytes, mime: str, *, alt: str, caption: str, kind: str) -> Markup:
    address = f"data:{mime};base64,{base64.b64encode(data).decode()}"
    return Markup(_macros().figure(address, alt, caption, kind))
