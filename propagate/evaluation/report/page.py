"""The parts of a self-contained HTML page: everything escaped, pictures inside, no script, nothing from outside."""

from __future__ import annotations

import base64
import hashlib
import html
import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

STYLE = """
:root { color-scheme: light dark; --ink: #1a1a1a; --soft: #595959; --paper: #ffffff; --line: #c9c9c9; --band: #f3f3f3; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #ececec; --soft: #b0b0b0; --paper: #17181a; --line: #4a4c50; --band: #222427; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1rem; max-width: 76rem; background: var(--paper); color: var(--ink);
  font: 1rem/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.6rem; line-height: 1.2; } h2 { font-size: 1.25rem; margin-top: 2.2rem; } h3 { font-size: 1.05rem; }
p { max-width: 46rem; } .soft, figcaption, caption { color: var(--soft); font-size: .9rem; }
.scroll { overflow-x: auto; margin: .8rem 0; } .scroll:focus-visible { outline: 2px solid #0072B2; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .9rem; }
caption { text-align: left; padding: .2rem 0; }
th, td { padding: .25rem .6rem; border-bottom: 1px solid var(--line); text-align: right; vertical-align: top;
  overflow-wrap: normal; }
th:first-child, .words { text-align: left; } thead th { border-bottom: 2px solid var(--line); }
td.words { min-width: 9rem; } tbody tr:nth-child(even) { background: var(--band); }
figure { margin: 1rem 0; } figure img { display: block; max-width: 100%; height: auto; background: #ffffff; }
figure.strip { overflow-x: auto; } figure.strip img { max-width: none; }
@media (min-width: 60rem) { figure.strip img { max-width: 100%; } }
figure.strip figcaption { position: sticky; left: 0; }
pre { padding: .6rem; background: var(--band); overflow-x: auto; white-space: pre-wrap; font-size: .85rem; }
.published { margin-top: 2.2rem; padding: 0 1rem 1rem; border: 1px solid var(--line);
  border-left: .4rem solid #E69F00; }
@media print {
  :root { --ink: #000000; --soft: #333333; --paper: #ffffff; --line: #999999; --band: #ffffff; }
  body { max-width: none; padding: 0; font-size: 10pt; } .scroll, figure.strip { overflow: visible; }
  figure.strip img { max-width: 100%; } figure, tr { break-inside: avoid; } h2, h3 { break-after: avoid; }
}
"""


def document(title: str, body: Sequence[str]) -> str:
    """Return the whole page: its policy allows its own style and pictures inside it, and nothing else."""
    digest = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    policy = f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    head = [
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        '<link rel="icon" href="data:,">',
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>",
        f"<h1>{escape(title)}</h1>",
    ]
    return "\n".join([*head, *body, "</main>\n</body>\n</html>\n"])


def escape(text: str) -> str:
    """Return text as HTML shows it; characters that no page may hold become a mark."""
    clean = "".join(letter if letter in "\t\n" or _is_text(letter) else "�" for letter in text)
    return html.escape(clean, quote=True)


def _is_text(letter: str) -> bool:
    code = ord(letter)
    return not (code < 32 or 127 <= code < 160 or 0xD800 <= code < 0xE000)


def section(title: str, parts: Sequence[str], *, kind: str = "") -> str:
    """Return a section under a heading, nothing when it has no parts."""
    if not parts:
        return ""
    start = f'<section class="{escape(kind)}">' if kind else "<section>"
    return "\n".join([start, f"<h2>{escape(title)}</h2>", *parts, "</section>"])


def heading(text: str) -> str:
    """Return a heading inside a section."""
    return f"<h3>{escape(text)}</h3>"


def paragraph(text: str, *, soft: bool = False) -> str:
    """Return a paragraph."""
    return f'<p class="soft">{escape(text)}</p>' if soft else f"<p>{escape(text)}</p>"


def bullets(lines: Sequence[str]) -> str:
    """Return a list of lines."""
    return "<ul>\n" + "\n".join(f"<li>{escape(line)}</li>" for line in lines) + "\n</ul>"


def verbatim(text: str) -> str:
    """Return text in letters of one width."""
    return f"<pre>{escape(text)}</pre>"


def table(rows: Sequence[Sequence[str]], *, caption: str, words: Sequence[int] = ()) -> str:
    """Return a table that scrolls by itself on a narrow screen.

    Args:
        rows: the header first; the first cell of every row names it.
        caption: what the table shows.
        words: columns of text, set to the left.
    """
    header = "".join(f'<th scope="col"{_kind(place, words)}>{escape(cell)}</th>' for place, cell in enumerate(rows[0]))
    lines = [f"<tr>{_cells(row, words)}</tr>" for row in rows[1:]]
    frame = f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(caption)}">'
    top = f"<table>\n<caption>{escape(caption)}</caption>\n<thead><tr>{header}</tr></thead>\n<tbody>"
    return "\n".join([frame, top, *lines, "</tbody>\n</table>\n</div>"])


def _cells(row: Sequence[str], words: Sequence[int]) -> str:
    first = f'<th scope="row">{escape(row[0])}</th>'
    return first + "".join(f"<td{_kind(place, words)}>{escape(cell)}</td>" for place, cell in enumerate(row[1:], 1))


def _kind(place: int, words: Sequence[int]) -> str:
    return ' class="words"' if place in words else ""


def plot(svg: bytes, *, alt: str, caption: str = "") -> str:
    """Return a plot; `alt` says in words what it shows, and a caption is left out where a table with it follows."""
    return _figure(svg, "image/svg+xml", alt=alt, caption=caption, kind="plot")


def strip(picture: NDArray[np.uint8], *, alt: str, caption: str) -> str:
    """Return a filmstrip (H, W, 3), which keeps its own size and scrolls by itself on a narrow screen."""
    from PIL import Image

    target = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(picture)).save(target, format="JPEG", quality=88, subsampling=0)
    return _figure(target.getvalue(), "image/jpeg", alt=alt, caption=caption, kind="strip")


def _figure(data: bytes, mime: str, *, alt: str, caption: str, kind: str) -> str:
    address = f"data:{mime};base64,{base64.b64encode(data).decode()}"
    image = f'<img src="{address}" alt="{escape(alt)}">'
    focus = ' tabindex="0"' if kind == "strip" else ""
    words = f"\n<figcaption>{escape(caption)}</figcaption>" if caption else ""
    return f'<figure class="{kind}"{focus}>\n{image}{words}\n</figure>'
