"""`propagate train`: from footage to weights, with validation, checkpoints and a log."""

from __future__ import annotations

import dataclasses
import functools
import logging
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from numpy.typing import NDArray

from propagate.config import resolve
from propagate.device import choose_device, choose_dtype, use_threads
from propagate.encoders.build import as_module as encoder_module
from propagate.encoders.build import prepare
from propagate.encoders.protocol import Encoder
from propagate.encoders.weights import save_weights
from propagate.engine.pipeline import load_label_type, run
from propagate.errors import ConfigError
from propagate.evaluation.benchmarks.davis import Davis
from propagate.evaluation.protocol import Tracker
from propagate.metrics.color import mean_l1
from propagate.render.compare import join
from propagate.runs.legacy import lock
from propagate.runs.run import StoppedError
from propagate.training import OBJECTIVES
from propagate.training.checkpoint import Checkpoint, latest_checkpoint, restore_random, save_checkpoint
from propagate.training.config import TrainConfig
from propagate.training.data.batches import Batches
from propagate.training.data.footage import Footage
from propagate.training.distributed import Processes, any_of, first_alone, from_first, joined, processes
from propagate.training.log import TrainLog, hardware
from propagate.training.loop import Event, ShareDone, Step, make_optimizer, run_encoder_in, train
from propagate.training.protocol import Objective, as_module
from propagate.training.request import TrainRequest, claim_run, initial_encoder, settle_training
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
class Validation:
    """Scores encoders.

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

    def figures(self, encoder: Encoder) -> dict[str, float]:
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

    def value(self, figures: Mapping[str, float]) -> float:
        """Return what is to become large."""
        return figures["J"] if "J" in figures else -figures.get("L1", 0.0)

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


def open_validation(labelled: Path | None, held_out: Footage, *, device: torch.device) -> Validation:
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
    return Validation(labelled, tuple(pairs), device)


def fresh_copy(encoder: Encoder) -> Encoder:
    """Return an encoder of the same weights on the CPU, without what training put around it."""
    from propagate.encoders.build import build_from_tensors, trained_tensors

    tensors = {name: tensor.detach().cpu().clone() for name, tensor in trained_tensors(encoder).items()}
    copy = build_from_tensors(encoder.name, tensors, settings=encoder.settings, where="the encoder in training")
    copy.preset = dict(encoder.preset)  # of imported weights that are adapted
    return copy


FITTED = 256  # frames that an objective learns its clusters from


class Training:
    """A training run; iterate to do it. Made by `open_training`."""

    def __init__(self, request: TrainRequest, config: TrainConfig, *, own: Processes, device: torch.device) -> None:
        self.request, self.config, self.own, self.device = request, config, own, device
        self.footage, held_out = request.footage.split_held_out(config.held_out, config.seed)
        self.objective: Objective = OBJECTIVES[config.objective](config, initial_encoder(config))
        self.validation: Validation = open_validation(request.labelled, held_out, device=device)
        if not any(p.requires_grad for p in encoder_module(self.objective.encoder).parameters()):
            raise ConfigError(f"{self.objective.encoder.name!r} has nothing to learn", hint="give another --encoder")
        as_module(self.objective).to(device)
        self.optimizer = make_optimizer(self.objective, config)
        dtype = choose_dtype(config.dtype, device)
        run_encoder_in(self.objective.encoder, dtype, device=device)
        self.best: float | None = None
        self.pending = False  # the run was stopped where a validation was due
        self.first_step, self.spent = 0, 0.0
        self.held: IO[bytes] | None = None

    @property
    def weights(self) -> Path:
        """The best weights so far, for `--weights`."""
        return self.request.out / "best.safetensors"

    @property
    def finished(self) -> bool:
        """Whether nothing is left to do."""
        return ShareDone(self.config, spent=self.spent)(self.first_step) >= 1

    def close(self) -> None:
        """Let other runs into the folder."""
        if self.held is not None:
            self.held.close()

    def take_up(self) -> None:
        """Continue from the newest checkpoint, or learn from the footage what must be known before the first step.

        Raises:
            WeightsError: the checkpoints are damaged.
        """
        found = latest_checkpoint(self.request.out / "checkpoints")
        if found is None:
            frames = self.footage.sample(FITTED, size=self.config.size, seed=self.config.seed)  # (N, 3, S, S) uint8
            self.objective.fit(frames.float() / 255)
            return
        as_module(self.objective).load_state_dict(dict(found.objective))
        self.optimizer.load_state_dict(dict(found.optimizer))
        restore_random(found.random)
        self.first_step, self.spent, self.best = found.step, found.seconds, found.best
        self.pending = bool(found.record.get("pending"))

    def __iter__(self) -> Iterator[Event]:
        """Yield after every step.

        Raises:
            StoppedError: `stop` said so; the state is saved.
            DivergedError: a loss is not finite.
            OutputError: a checkpoint cannot be written; the last good one is kept.
        """
        config, out = self.config, self.request.out
        share = ShareDone(config, spent=self.spent)
        with ExitStack() as stack:
            stack.enter_context(joined(self.own, self.device))
            log = stack.enter_context(closing(TrainLog(out, first_step=self.first_step, write=self.own.first)))
            batches = stack.enter_context(closing(self._batches()))
            self._check_together()
            saved = started = time.monotonic()
            done = share(self.first_step)
            if self.pending:  # before anything is learnt on, so that the best weights are those of a run left alone
                self._validate(Event(Step(self.first_step, {}, 0.0, 0.0, done)), log)
                self._save(self.first_step, share.elapsed)
            steps = train(
                self.objective,
                self.optimizer,
                batches,
                config=config,
                device=self.device,
                own=self.own,
                share=share,
            )
            for step in steps:
                elapsed = max(time.monotonic() - started, 1e-9)
                rate = (step.number - self.first_step) * config.batch / elapsed
                event = Event(step, waiting=batches.waited / elapsed, rate=rate)
                signal = self.request.stop()
                over = step.done >= 1
                stopped = any_of(signal is not None, self.own, self.device) and not over
                due = over or int(step.done * config.validations) > int(done * config.validations)
                done = step.done
                if due and not stopped:  # whoever asks to stop may not wait long
                    event = self._validate(event, log)
                log.step(event, every=config.log_every)
                if due or stopped or time.monotonic() - saved > 60 * config.save_every:
                    self._save(step.number, share.elapsed, pending=due and stopped)
                    saved = time.monotonic()
                yield event
                if over or (stopped and signal is None):
                    return
                if stopped and signal is not None:
                    raise StoppedError(
                        signal, done=step.number, total=config.steps or 0, kept=step.number, what="steps"
                    )

    def _check_together(self) -> None:
        """Refuse to go on when the processes have not taken up the same checkpoint."""
        if from_first(float(self.first_step), self.own, self.device) != self.first_step:
            raise ConfigError("the processes do not see the same checkpoints", hint="give -o on a disk that all share")

    def _batches(self) -> Batches:
        return Batches(
            self.footage,
            self.objective.form,
            batch=self.config.batch // self.own.world,
            seed=self.config.seed,
            first_step=self.first_step,
            rank=self.own.rank,
            world=self.own.world,
            workers=self.request.workers,
            pinned=self.device.type == "cuda",
        )

    def _validate(self, event: Event, log: TrainLog) -> Event:
        """Return the event with figures; keep the weights if they are the best so far."""
        if not self.own.first:
            return event
        encoder = fresh_copy(self.objective.encoder)
        found = self.validation.figures(encoder)
        value = self.validation.value(found)
        improved = self.best is None or not found or value > self.best
        record = self._record(event.step.number, found)
        if improved:
            self.best = value
            save_weights(self.weights, encoder, training=record)
        save_weights(self.request.out / "last.safetensors", encoder, training=record)
        log.picture(event.step.number, self.validation.picture(encoder))
        return dataclasses.replace(event, validation=found, improved=improved)

    def _record(self, step: int, found: Mapping[str, float]) -> dict[str, Any]:
        """Return how weights came to be: nothing of the clock, so that a resumed run writes the same bytes."""
        settings = dataclasses.asdict(self.config)
        return {
            "objective": self.config.objective,
            "step": step,
            "settings": settings,
            "validation": dict(found),
            **self.objective.record(),
        }

    def _occasion(self) -> dict[str, str]:
        """Return when and on what the run is being made, for `weights pack`; seconds are in the checkpoint itself."""
        return {
            "date": datetime.now(UTC).date().isoformat(),
            "hardware": hardware(self.device, processes=self.own.world),
        }

    def _save(self, step: int, seconds: float, *, pending: bool = False) -> None:
        if not self.own.first:
            return
        state = Checkpoint(
            step=step,
            seconds=seconds,
            best=self.best,
            objective=as_module(self.objective).state_dict(),
            optimizer=self.optimizer.state_dict(),
            config=dataclasses.asdict(self.config),
            record={**self.objective.record(), "pending": pending, **self._occasion()},
        )
        save_checkpoint(self.request.out / "checkpoints", state)


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
    own = processes()
    if config.batch % own.world:
        raise ConfigError(f"batch is {config.batch}, which {own.world} processes cannot share evenly")
    device = choose_device(config.device)
    if device.type == "cuda" and own.world > 1:
        device = torch.device("cuda", own.local)
    use_threads(config.threads)
    training = Training(request, config, own=own, device=device)

    def claim() -> None:
        training.held = lock(request.out)
        claim_run(request, config)

    try:
        first_alone(own, claim)
        training.take_up()
    except BaseException:
        training.close()
        raise
    return training
