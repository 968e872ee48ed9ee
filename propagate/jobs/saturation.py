"""How colourful the result is beside its reference: said in the record, so that fading cannot go unseen."""

from __future__ import annotations

import logging
import math
from pathlib import Path
from typing import Any

import yaml

from propagate.errors import OutputError
from propagate.formats.atomic import write_text
from propagate.labels.colors import saturation
from propagate.values import Prediction

log = logging.getLogger(__name__)
EVERY = 4  # pixels along either axis, of which one is looked at
FADED = 0.7  # of the reference's saturation: below it is worth a warning


class SaturationLog:
    """The mean chroma of every frame in a file in the run's state; their mean goes into the record at the end.

    Args:
        path: the file.
        record: the run.yaml that the mean is added to, under `saturation`.
        reference: mean chroma of the reference pictures, in Lab units.
        first: index of the run's first frame.
    """

    any_frame = True

    def __init__(self, path: Path, record: Path, *, reference: float, first: int) -> None:
        self.path, self.record, self.reference, self.first = path, record, reference, first

    def reaches(self, index: int) -> bool:
        """Return whether every frame before `index` is in the file."""
        return len(self._read()) >= index - self.first

    def resume(self, index: int) -> None:
        """Drop frame `index` and later ones."""
        write_text(self.path, "".join(f"{value!r}\n" for value in self._read()[: index - self.first]))

    def write(self, prediction: Prediction) -> None:
        """Add a frame; one that nothing has coloured yet counts as NaN."""
        value = saturation(prediction.array[::EVERY, ::EVERY]) if prediction.source != "none" else float("nan")
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(f"{value!r}\n")
        except OSError as error:
            raise OutputError(f"{self.path}: cannot be written: {error.strerror or error}") from error

    def finish(self) -> None:
        """Add the mean to the record."""
        values = [value for value in self._read() if not math.isnan(value)]
        mean = sum(values) / max(len(values), 1)
        content: dict[str, Any] = yaml.safe_load(self.record.read_text(encoding="utf-8"))
        content["saturation"] = {"mean": round(mean, 2), "reference": round(self.reference, 2)}
        write_text(self.record, yaml.safe_dump(content, sort_keys=False, allow_unicode=True))
        if mean < FADED * self.reference:
            log.warning("the colours faded: mean saturation %.1f, the reference has %.1f", mean, self.reference)

    def close(self) -> None:
        """Nothing stays open."""

    def _read(self) -> list[float]:
        """Return the whole lines of the file."""
        if not self.path.is_file():
            return []
        lines = self.path.read_text(encoding="utf-8").split("\n")[:-1]
        return [float(line) for line in lines]
