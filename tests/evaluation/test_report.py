from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from evaluation.synthetic_benchmark import Synthetic, method, scores_of

import propagate.evaluation.report.report as module
from propagate.errors import InputError, OutputError
from propagate.evaluation.analysis.bootstrap import RunIntervals
from propagate.evaluation.protocol import BenchmarkSequence, Measure, Scores
from propagate.evaluation.report import sections
from propagate.evaluation.report.published import published_tables
from propagate.evaluation.report.report import write_report
from propagate.evaluation.results import MethodResult, Strip, SweepPoint

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
HOSTILE = '<script>alert("1")</script>'
NAMES = ("car & co", HOSTILE, "dance", "horse", "ball", "tennis")
SEQUENCES = tuple(BenchmarkSequence(name, "v", ("OCC", "FM")[: n % 3]) for n, name in enumerate(NAMES))
ASK = """<!doctype html><iframe id="page" src="{page}"></iframe><pre id="said"></pre><script>
window.onload = () => {{
  const page = document.getElementById("page").contentDocument;
  const images = [...page.images].map(image => [image.naturalWidth, image.naturalHeight, image.alt.length]);
  const count = what => page.querySelectorAll(what).length;
  const wide = page.documentElement.scrollWidth - page.documentElement.clientWidth;
  const styled = getComputedStyle(page.querySelector("table")).borderCollapse;
  document.getElementById("said").textContent = JSON.stringify({{images, wide, styled, scripts: count("script"),
    tables: count("table"), rows: count("tbody tr"), published: count(".published tbody tr"),
    text: page.body.innerText}});
}};</script><style>iframe {{ width: {width}px; height: 900px }}</style>"""


def facts(number: int, frames: int) -> dict[str, Any]:
    areas = [0.05 * (number + 1)] * frames
    if number == 1:
        areas[4:6] = [0.0, 0.0]
    border = [number == 2] * frames
    if number == 2:
        areas[8:] = [0.001] * (frames - 8)
    shape = [0.1 * number] * frames
    return {
        "objects": 1 + number % 2,
        "first_area": {"1": areas[0]},
        "areas": {"1": areas},
        "border": {"1": border},
        "shape": {"1": shape},
    }


def six_sequences(level: float, *, seed: int) -> list[Scores]:
    random = np.random.default_rng(seed)
    scores = []
    for number, name in enumerate(NAMES):
        curve = np.clip(level - 0.01 * np.arange(12) + random.normal(0, 0.1, 12), 0, 1)
        one = scores_of(name, curve, facts=facts(number, 12))
        color = np.clip(curve + random.normal(0, 0.2, 12), 0, 1)
        units = {"1": {"J": one.units["1"]["J"], "color": color}}
        scores.append(
            replace(one, units=units, seconds=0.1, notes=("its first mask is <empty>",) if number == 3 else ())
        )
    return scores


def four_methods(benchmark: Synthetic) -> list[MethodResult]:
    words = {"identity": "", "flow": "threshold 0.3, the best of 5 on this data", "rawcolor": "", HOSTILE: "$x_1$"}
    levels = (0.3, 0.45, 0.6, 0.35)
    return [
        method(name, six_sequences(level, seed=n), benchmark, detail=word, settings={"radius": 12, "of": "<b>"})
        for n, ((name, word), level) in enumerate(zip(words.items(), levels, strict=True))
    ]


SWEEP = [
    SweepPoint("radius", 4, 0.41, 0.2, 1.5e9),
    SweepPoint("radius", 8, 0.45, 0.4, 1.6e9),
    SweepPoint("radius", None, 0.39, 2.5, 6e9),
]


def write_full(folder: Path) -> Path:
    benchmark = Synthetic(listed=SEQUENCES)
    colors = Strip("ball: predicted mask, predicted colours, true colours", np.full((60, 400, 3), 90, np.uint8))
    results = four_methods(benchmark)
    return write_report(
        folder,
        benchmark,
        results,
        strips={"rawcolor": folder},
        sweep=SWEEP,
        color_strips=[colors],
        command="propagate evaluate davis DATA --method rawcolor",
        notes=["a <note>"],
        intervals=RunIntervals(benchmark, results, resamples=100),
    )


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_full(tmp_path_factory.mktemp("report") / "out")


def write_quickly(folder: Path, benchmark: Synthetic, results: list[MethodResult], **other: Any) -> Path:
    return write_report(folder, benchmark, results, intervals=RunIntervals(benchmark, results, resamples=20), **other)


class Page(HTMLParser):
    """All tags of a page with their attributes, its tables' cells, and a check that every tag is closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))
        if tag not in {"meta", "link", "img"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def all(self, wanted: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.tags if tag == wanted]


def test_it_is_one_well_formed_page_that_needs_nothing_else(written: Path) -> None:
    page = Page(written.read_text(encoding="utf-8"))
    assert page.open == []
    assert [path.name for path in written.parent.iterdir()] == ["report.html"]
    addresses = [
        value or "" for _, attributes in page.tags for key, value in attributes.items() if key in {"src", "href"}
    ]
    assert addresses
    assert all(address.startswith("data:") for address in addresses)
    assert not page.all("script")
    assert not [
        1 for _, attributes in page.tags if "style" in attributes or any(key.startswith("on") for key in attributes)
    ]
    assert all(len(image["alt"] or "") > 20 for image in page.all("img"))
    assert "default-src 'none'" in (page.all("meta")[1]["content"] or "")


def test_every_name_is_escaped(written: Path) -> None:
    text = written.read_text(encoding="utf-8")
    assert HOSTILE not in text
    assert "&lt;script&gt;alert(&#34;1&#34;)&lt;/script&gt;" in text
    assert "<b>" not in text
    assert "a &lt;note&gt;" in text
    assert "its first mask is &lt;empty&gt;" in text


def test_published_figures_stand_apart(written: Path) -> None:
    measured, published = written.read_text(encoding="utf-8").split('<section class="published">')
    published, rest = published.split("</section>", 1)
    assert "never averaged" in published
    for row in published_tables():
        assert (row.benchmark == "davis") == (f"Published: {row.title}." in published)
    assert "DeepCluster" in published
    assert "DeepCluster" not in measured + rest
    assert "rawcolor" not in published


def test_the_same_scores_give_the_same_page(written: Path, tmp_path: Path) -> None:
    assert write_full(tmp_path).read_bytes() == written.read_bytes()


def test_hard_cases_and_odds_are_told(written: Path) -> None:
    text = written.read_text(encoding="utf-8")
    assert "object 1, frames 5 to 6: its true area falls from 10 % to 0 %" in text
    assert "Leaving the picture" in text
    assert "Odds ratio" in text
    assert "2.3" in text


def test_without_matplotlib_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for where in (module, sections):
        monkeypatch.setattr(where, "can_plot", lambda: False)
    benchmark = Synthetic(listed=SEQUENCES)
    text = write_quickly(tmp_path, benchmark, four_methods(benchmark), strips={}, sweep=SWEEP).read_text()
    assert "matplotlib is not installed (pip install &#39;propagate[report]&#39;)" in text
    assert "<img" not in text
    assert "What a setting is worth" in text


def test_little_data_makes_a_small_page(tmp_path: Path) -> None:
    benchmark = Synthetic(
        name="colors", measures=(Measure("lost", better="lower"),), listed=(BenchmarkSequence("a", "v"),)
    )
    result = method("rawcolor", [scores_of("a", [0.5, np.nan, 0.2])], benchmark)
    text = write_quickly(tmp_path, benchmark, [result], strips={"rawcolor": tmp_path}).read_text()
    assert len(Page(text).all("table")) == 2
    assert len(Page(text).all("img")) == 1
    assert "Published" not in text
    empty = MethodResult("rawcolor", {}, {})
    assert write_quickly(tmp_path, benchmark, [empty, replace(empty, name="b")], strips={}).is_file()


class Broken(Synthetic):
    def filmstrip(self, sequence: BenchmarkSequence, results: Path, *, count: int, height: int) -> None:
        raise InputError(f"{results}: <gone>")


def test_missing_results_cost_only_their_filmstrips(tmp_path: Path) -> None:
    benchmark = Broken(listed=SEQUENCES)
    results = four_methods(benchmark)
    text = write_quickly(tmp_path, benchmark, results, strips={"rawcolor": Path("r")}).read_text()
    assert "No filmstrip: r: &lt;gone&gt;." in text


def test_wrong_use_is_refused(tmp_path: Path) -> None:
    benchmark = Synthetic()
    result = method("a", [scores_of("a", [1])], benchmark)
    with pytest.raises(ValueError, match="same name"):
        write_quickly(tmp_path, benchmark, [result, result], strips={})
    with pytest.raises(ValueError, match="at least one method"):
        write_quickly(tmp_path, benchmark, [], strips={})
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="file/x: cannot be made"):
        write_quickly(tmp_path / "file" / "x", benchmark, [result], strips={})


def browse(address: str, profile: Path, *options: str) -> str:
    """Return what headless Chromium says of a page."""
    assert CHROMIUM
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]
    flags += [f"--user-data-dir={profile}", "--virtual-time-budget=5000", "--allow-file-access-from-files"]
    command: Sequence[str] = [CHROMIUM, *flags, *options, address]
    done = subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on PATH")
@pytest.mark.parametrize("width", [1000, 390])
def test_chromium_shows_every_table_and_picture(written: Path, tmp_path: Path, width: int) -> None:
    asking = tmp_path / "ask.html"
    asking.write_text(ASK.format(page=written.as_uri(), width=width))
    dom = browse(asking.as_uri(), tmp_path / "profile", "--dump-dom")
    found = re.search(r'<pre id="said">(.+?)</pre>', dom, re.DOTALL)
    assert found, dom[-2000:]
    said = json.loads(found[1].replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))
    # differences, time, attributes, number, size and sweep as plots; 3 best, 3 worst, 3 hard cases, 1 of colours
    assert len(said["images"]) == 6 + 10
    assert all(width > 0 and height > 0 and alt > 0 for width, height, alt in said["images"])
    assert said["styled"] == "collapse"  # the page's own policy lets its style through
    assert said["wide"] <= 0  # tables and strips scroll by themselves, the page does not
    assert said["scripts"] == 0
    assert said["tables"] >= 10
    assert said["published"] == sum(len(one.rows) for one in published_tables() if one.benchmark == "davis")
    assert said["rows"] > said["published"]
    assert HOSTILE in said["text"]


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on PATH")
def test_a_screenshot_is_not_blank(written: Path, tmp_path: Path) -> None:
    from PIL import Image

    picture = tmp_path / "shot.png"
    browse(written.as_uri(), tmp_path / "profile", f"--screenshot={picture}", "--window-size=900,1200")
    assert len(Image.open(picture).convert("RGB").getcolors(1 << 24)) > 100
