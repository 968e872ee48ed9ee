"""`propagate train`: a training run and what validates its encoder."""

from __future__ import annotations

import functools
import logging
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from propagate.config import resolve
from propagate.device import choose_device, choose_dtype, use_threads
from propagate.encoders.build import prepare
from propagate.encoders.protocol import Encoder
from propagate.engine.pipeline import load_label_type, run
from propagate.errors import ConfigError
from propagate.evaluation.benchmarks.davis import Davis
from propagate.evaluation.protocol import Tracker
from propagate.metrics.color import mean_l1
from propagate.render.compare import join
from propagate.training.data.footage import Footage
from propagate.training.distributed import first_alone, processes
from propagate.training.folder import claim_run
from propagate.training.request import TrainRequest, run_record, settle_training
from propagate.training.run import Training
from propagate.values import Annotation, Frame

PAIRS = 16  # held-out pairs of frames that are rebuilt
GAP = 5  # frames between the two of a pair (TimeCycle, experiment V)
SHOWN = 3  # pairs in a picture

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Pair:
    """A frame to copy from and the frame to rebuild, (H, W, 3) uint8 each."""

    source: NDArray[np.uint8]
    target: NDArray[np.uint8]


@dataclass(frozen=True)
class TrackingValidation:
    """Scores encoders by the frames that they rebuild, and by the objects that they track.

    Attributes:
        labelled: a folder in DAVIS's layout, None without one.
        pairs: of held-out footage.
        device: where encoders are run.
        short_side: pixels that encoders see of a labelled frame; half of DAVIS's 480p, for speed.
    """

    labelled: Path | None
    pairs: tuple[Pair, ...]
    device: torch.device
    short_side: int = 240

    def __call__(self, encoder: Encoder) -> dict[str, float]:
        """Return "L1" (mean absolute error in 0 to 255 of rebuilt frames) and with labels "J" and "F".

        Without held-out pairs there is no "L1".
        """
        wrong = [mean_l1(pair.target, self._rebuilt(encoder, pair)) for pair in self.pairs]
        found = {"L1": float(np.mean(wrong))} if wrong else {}
        if self.labelled is not None:
            benchmark = Davis(self.labelled)
            with tempfile.TemporaryDirectory() as folder:
                tracker = self._tracker(encoder, size=self.short_side)
                scores = [
                    benchmark.evaluate(sequence, lambda _: tracker, Path(folder))
                    for sequence in benchmark.list_sequences()
                ]
            summary = benchmark.summary(scores)
            found |= {"J": summary["J"], "F": summary["F"]}
        return found

    def picture(self, encoder: Encoder) -> NDArray[np.uint8] | None:
        """Return some pairs, a row each: copied from, rebuilt, truth."""
        rows = [join([pair.source, self._rebuilt(encoder, pair), pair.target], axis=1) for pair in self.pairs[:SHOWN]]
        widest = max((row.shape[1] for row in rows), default=0)
        padded = [np.pad(row, ((0, 0), (0, widest - row.shape[1]), (0, 0)), constant_values=255) for row in rows]
        return join(padded, axis=0) if padded else None

    def _rebuilt(self, encoder: Encoder, pair: Pair) -> NDArray[np.uint8]:
        """Return the target's picture made of the source's colours, found by features without colour beside them."""
        from propagate.labels.maps import MapPlane

        label_type = load_label_type("maps", [MapPlane("rgb", "value", 3)])
        frames = [Frame(index, index / 24, rgb, str(index)) for index, rgb in enumerate((pair.source, pair.target))]
        known = [Annotation(0, pair.source.astype(np.float32), label_type.ids)]
        tracker = self._tracker(encoder, size=min(pair.source.shape[:2]), settings={"lab_weight": 0.0})
        *_, last = tracker(frames, known, label_type=label_type)
        return np.asarray(last.array).round().clip(0, 255).astype(np.uint8)

    def _tracker(self, encoder: Encoder, *, size: int, settings: Mapping[str, object] | None = None) -> Tracker:
        dtype = choose_dtype("float32" if encoder.exact else "auto", self.device)
        seen = encoder.preset["size"] if isinstance(encoder.preset.get("size"), str) else size  # a paper's square stays
        config = resolve(
            encoder.preset, {"encoder": encoder.name, "device": str(self.device), "size": seen}, settings or {}
        )
        return functools.partial(run, encoder=prepare(encoder, self.device, dtype), config=config)


def open_validation(labelled: Path | None, held_out: Footage, *, device: torch.device) -> TrackingValidation:
    """Return what scores encoders on the same data every time; warns where nothing is there to score them.

    Raises:
        InputError: `labelled` is not in DAVIS's layout.
    """
    if labelled is not None:
        Davis(labelled).list_sequences()
    pairs: list[Pair] = []
    for shot in held_out.shots:
        if shot.frames > GAP and len(pairs) < PAIRS:
            start = (shot.frames - GAP) // 2
            pairs.append(Pair(*held_out.read(shot, [start, start + GAP])))
    if not pairs and labelled is None:
        log.warning("no held-out shot has %d frames: nothing is validated, the last weights count as the best", GAP + 1)
    return TrackingValidation(labelled, tuple(pairs), device)


def open_training(request: TrainRequest) -> Training:
    """Return the run, its folder claimed and its newest checkpoint taken up.

    Raises:
        ConfigError: a setting that cannot be.
        InputError: footage that cannot be used.
        ConflictError: another run is in the folder.
        OutputError: the folder cannot be written.
        WeightsError: `init` names no weights of the objective's encoder.
    """
    config = settle_training(request)
    dist = processes()
    if config.batch % dist.world:
        raise ConfigError(f"batch is {config.batch}, which {dist.world} processes cannot share evenly")
    device = choose_device(config.device)
    if device.type == "cuda" and dist.world > 1:
        device = torch.device("cuda", dist.local)
    use_threads(config.threads)
    footage, held_out = request.footage.split_held_out(config.held_out, config.seed)
    validation = open_validation(request.labelled, held_out, device=device)
    training = Training(request, config, footage=footage, validation=validation, dist=dist, device=device)

    def claim() -> None:
        claim_run(training.folder, run_record(request, config), force=request.force)

    try:
        first_alone(dist, claim)
        training.take_up()
    except BaseException:
        training.close()
        raise
    return training
