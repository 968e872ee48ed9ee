"""What a training run says of itself: log.jsonl, the curve, pictures, the hardware."""

from __future__ import annotations

import hashlib
import itertools
import json
import logging
import platform
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from propagate.errors import OutputError
from propagate.formats.atomic import write_bytes, write_text
from propagate.formats.images import write_rgb
from propagate.render.plots import COLORS, DASHES, MARKS, as_svg, can_plot, empty_figure, short_name
from propagate.runs.folder import RunFolder, unwritable
from propagate.runs.manifest import FileEntry
from propagate.training.folder import BOARD, CURVE, LOG, PICTURE, place, place_picture, scratch

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from propagate.training.loop import Event

_CPUINFO = Path("/proc/cpuinfo")  # Linux: Python itself knows the architecture only


def hardware(device: torch.device, *, processes: int = 1) -> str:
    """Return the name of the processor and its threads, or of the GPU: "4 x NVIDIA H200".

    Args:
        device: where a process computes.
        processes: how many compute together, each on a device of its own kind.
    """
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
    else:
        count = torch.get_num_threads()
        name = f"{processor()}, {count} thread{'s' * (count != 1)}" + (" and MPS" if device.type == "mps" else "")
    return name if processes == 1 else f"{processes} x {name}"


def processor() -> str:
    """Return the name of the processor, its architecture where the system does not tell."""
    try:
        found = re.search(r"^model name\s*:\s*(\S.*)$", _CPUINFO.read_text(encoding="utf-8"), re.MULTILINE)
    except (OSError, UnicodeDecodeError):
        found = None
    return " ".join(found[1].split()) if found else platform.processor() or platform.machine()


log = logging.getLogger(__name__)
POINTS = 20
EVENTS = ".propagate"  # what the names of TensorBoard's files end with
TRACKING = ("J", "F")  # scores of which more is better
Line = Mapping[str, Any]


def learning_curve(lines: Sequence[Line], *, minutes: float | None = None) -> list[dict[str, Any]]:
    """Return at most `POINTS` points evenly over the log, at a validation where there is one near.

    Args:
        lines: of log.jsonl, in order.
        minutes: how long the run was to take, where its share that is done is one of them.

    Returns:
        A point each: `step`; `minutes` where they are known; `loss`, the mean over the lines since the point before;
        `validation`, figures by name, where there was one.
    """
    spans = np.array_split(np.arange(len(lines)), min(POINTS, len(lines)))
    marks = [_mark(span.tolist(), lines) for span in spans]
    starts = [0, *(mark + 1 for mark in marks)]
    return [_point(lines[start : mark + 1], minutes) for start, mark in zip(starts, marks, strict=False)]


def draw_curve(lines: Sequence[Line], path: Path) -> None:
    """Draw the loss and what followed it, at every validation, as SVG; nothing without one, or without matplotlib.

    Args:
        lines: of log.jsonl, in order.
        path: replaced as a whole.

    Raises:
        OSError: it cannot be written.
    """
    ends = [place for place, line in enumerate(lines) if line.get("validation")]
    if not ends or not can_plot():
        return
    points = [_point(lines[a:b], None) for a, b in itertools.pairwise([0, *(end + 1 for end in ends)])]
    names = set.intersection(*(set(point["validation"]) for point in points))
    scores = {n: [point["validation"][n] for point in points] for n in points[0]["validation"] if n in names}
    try:
        drawn = plot_training([p["step"] for p in points], [p["loss"] for p in points], scores)
    except ImportError as error:  # of what matplotlib itself needs: a picture is no reason to end a run
        log.warning("no %s: matplotlib cannot be used: %s", path.name, error)
        return
    write_bytes(path, drawn)


def plot_training(steps: Sequence[int], losses: Sequence[float], scores: Mapping[str, Sequence[float]]) -> bytes:
    """Return a training run as SVG: its loss above, what was scored along it below, a row for each kind of score.

    Args:
        steps: at which scores were taken.
        losses: mean of those logged since the step before.
        scores: name -> a value a step; those of one kind (J and F) share a row, an error has one of its own.
    """
    errors = [{name: values} for name, values in scores.items() if name not in TRACKING]
    tracking = {name: values for name, values in scores.items() if name in TRACKING}
    rows: list[Mapping[str, Sequence[float]]] = [{"loss": losses}, *errors, *([tracking] if tracking else [])]
    figure = empty_figure(1.2 + 1.5 * len(rows))
    lines = iter(range(1 + len(scores)))
    grid: list[Axes] = list(figure.subplots(len(rows), 1, sharex=True, squeeze=False)[:, 0])
    for axes, row in zip(grid, rows, strict=True):
        for (name, values), line in zip(row.items(), lines, strict=False):
            color, mark = COLORS[line % len(COLORS)], MARKS[line % len(MARKS)]
            axes.plot(steps, values, DASHES[line % len(DASHES)], color=color, marker=mark, label=short_name(name))
        axes.grid(alpha=0.3)
        axes.set_ylabel(", ".join(map(short_name, row)) + ("" if row is tracking else " (lower is better)"))
        axes.spines[["top", "right"]].set_visible(False)
    grid[-1].set_xlabel("step")
    grid[-1].legend(frameon=False)
    figure.align_ylabels()
    return as_svg(figure)


def _mark(span: Sequence[int], lines: Sequence[Line]) -> int:
    """Return the last place of a span that has a validation, its last place where none has."""
    return max((place for place in span if "validation" in lines[place]), default=span[-1])


def _point(lines: Sequence[Line], minutes: float | None) -> dict[str, Any]:
    """Return the point that some lines come to; it lies at the last of them."""
    last = lines[-1]
    point: dict[str, Any] = {"step": last["step"]}
    if minutes is not None:
        point["minutes"] = round(last["done"] * minutes, 2)
    point["loss"] = round(float(np.mean([line["loss"] for line in lines])), 6)
    if "validation" in last:
        point["validation"] = {name: round(value, 6) for name, value in last["validation"].items()}
    return point


class TrainLog:
    """Appends to OUT/log.jsonl, whole lines only; what an earlier run wrote beyond its checkpoint is cut off.

    Args:
        folder: the run's, claimed.
        first_step: how many steps the run starts with.
        write: false in all processes but the first.
    """

    def __init__(self, folder: RunFolder, *, first_step: int, write: bool) -> None:
        self._folder, self._write = folder, write
        self._board: Any = None
        if not write:
            return
        self._path = folder.out / LOG
        kept = [line for line in log_lines(self._path) if line["step"] <= first_step]
        text = "".join(json.dumps(line) + "\n" for line in kept)
        self._size, self._digest = 0, hashlib.sha256()
        self._note(text)
        write_text(self._path, text)
        self._boards = self._board_files()
        with _said(self._path):
            self._file = self._path.open("a", encoding="utf-8")
            self._board = _tensorboard(folder.out / BOARD, first_step=first_step)

    def _note(self, text: str) -> None:
        """Note the digest that the log has with some more text, before it is written."""
        data = text.encode()
        self._digest.update(data)
        self._size += len(data)
        self._folder.manifest.add_file(FileEntry(LOG, self._digest.hexdigest(), size=self._size))

    def _board_files(self) -> set[Path]:
        """Return the files of TensorBoard that runs of ours, or this one, wrote."""
        return set((self._folder.out / BOARD).glob(f"*{EVENTS}"))

    def step(self, event: Event, *, every: int) -> None:
        """Log a step, if it is its turn or the encoder was validated; a validation is drawn as well.

        Raises:
            OutputError: the disk is full.
        """
        step = event.step
        if not self._write or (step.number % every and event.validation is None):
            return
        line = {
            "step": step.number,
            "done": round(step.done, 6),
            **{name: round(value, 6) for name, value in step.losses.items()},
            "learning_rate": step.rate,
            "gradient": round(step.norm, 6),
            "clips_per_second": round(event.rate, 3),
            "waiting": round(event.waiting, 4),
            **({"validation": dict(event.validation)} if event.validation else {}),
        }
        text = json.dumps(line) + "\n"
        self._note(text)
        with _said(self._path):
            self._file.write(text)
            self._file.flush()
            if event.validation:
                self._draw_curve()
        if self._board is not None:
            for name, value in {**step.losses, **(event.validation or {}), "learning_rate": step.rate}.items():
                self._board.add_scalar(name, value, step.number)

    def _draw_curve(self) -> None:
        made = scratch(self._folder, CURVE)
        draw_curve(log_lines(self._path), made)
        if made.exists():  # without matplotlib there is none
            place(self._folder, made, CURVE)

    def picture(self, step: int, rgb: NDArray[np.uint8] | None) -> None:
        """Keep a picture of what the pointer copies, as pictures/step-000100.png.

        Raises:
            OutputError: it cannot be written.
        """
        if self._write and rgb is not None:
            name = PICTURE.format(step)
            made = scratch(self._folder, name)
            write_rgb(made, rgb)
            with _said(self._folder.path_of(name)):
                place_picture(self._folder, made, name)

    def close(self) -> None:
        """Let go of the files."""
        if self._write:
            with suppress(OSError):  # what could not be written has been said
                self._file.close()
        if self._board is not None:
            with suppress(OSError, OutputError):
                self._board.close()
                for path in self._board_files() - self._boards:  # one that a kill left open is nobody's, and stays
                    self._folder.manifest.add_file(self._folder.entry_of(self._folder.name_of(path), of=""))


def log_lines(path: Path) -> list[dict[str, Any]]:
    """Return the whole lines of a log; a line that a kill cut short ends it."""
    found: list[dict[str, Any]] = []
    if path.is_file():
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                found.append(json.loads(line))
            except ValueError:
                break
    return found


@contextmanager
def _said(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise unwritable(path, error) from error


def _tensorboard(folder: Path, *, first_step: int) -> Any:
    """Return TensorBoard's writer, None where it is not installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder), purge_step=first_step + 1, filename_suffix=EVENTS)
