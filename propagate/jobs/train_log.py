"""What a training run leaves to read: log.jsonl, pictures, curve.svg and TensorBoard's scalars where these can be."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from propagate.formats.atomic import write_text
from propagate.formats.rgb_png import write_rgb
from propagate.jobs.learning_curve import draw_curve
from propagate.jobs.place import unwritable

if TYPE_CHECKING:
    from propagate.jobs.train import Event


class TrainLog:
    """Appends to OUT/log.jsonl, whole lines only; what an earlier run wrote beyond its checkpoint is cut off.

    Args:
        out: the run's folder.
        first_step: how many steps the run starts with.
        write: false in all processes but the first.
    """

    def __init__(self, out: Path, *, first_step: int, write: bool) -> None:
        self._out, self._write = out, write
        self._board: Any = None
        if not write:
            return
        path = out / "log.jsonl"
        kept = [line for line in log_lines(path) if line["step"] <= first_step]
        write_text(path, "".join(json.dumps(line) + "\n" for line in kept))
        with _said(path):
            self._file = path.open("a", encoding="utf-8")
            self._board = _tensorboard(out / "tensorboard", first_step=first_step)

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
        with _said(self._out / "log.jsonl"):
            self._file.write(json.dumps(line) + "\n")
            self._file.flush()
            if event.validation:
                draw_curve(log_lines(self._out / "log.jsonl"), self._out / "curve.svg")
        if self._board is not None:
            for name, value in {**step.losses, **(event.validation or {}), "learning_rate": step.rate}.items():
                self._board.add_scalar(name, value, step.number)

    def picture(self, step: int, rgb: NDArray[np.uint8] | None) -> None:
        """Keep a picture of what the pointer copies, as pictures/step-000100.png.

        Raises:
            OutputError: it cannot be written.
        """
        if self._write and rgb is not None:
            folder = self._out / "pictures"
            with _said(folder):
                folder.mkdir(exist_ok=True)
            write_rgb(folder / f"step-{step:06d}.png", rgb)

    def close(self) -> None:
        """Let go of the files."""
        if self._write:
            with suppress(OSError):  # what could not be written has been said
                self._file.close()
        if self._board is not None:
            with suppress(OSError):
                self._board.close()


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
    return SummaryWriter(str(folder), purge_step=first_step + 1)
