"""The job of `propagate train`: videos in, weights out; stopped and resumed, in one process or many."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

import torch

from propagate.device import choose_device, choose_dtype, use_threads
from propagate.encoders.build import as_module as encoder_module
from propagate.encoders.weights import save_weights
from propagate.errors import ConfigError
from propagate.jobs.hardware import hardware
from propagate.jobs.interrupt import StoppedError
from propagate.jobs.lock import lock
from propagate.jobs.train_log import TrainLog
from propagate.jobs.train_request import TrainRequest, claim_run, initial_encoder, settle_training
from propagate.jobs.validation import Validation, fresh_copy, open_validation
from propagate.training import OBJECTIVES
from propagate.training.batches import Batches
from propagate.training.checkpoint import Checkpoint, latest_checkpoint, restore_random, save_checkpoint
from propagate.training.config import TrainConfig
from propagate.training.distributed import Processes, any_of, first_alone, from_first, joined, processes
from propagate.training.loop import ShareDone, Step, make_optimizer, train
from propagate.training.precision import run_encoder_in
from propagate.training.protocol import Objective, as_module

FITTED = 256  # frames that an objective learns its clusters from


@dataclass(frozen=True)
class Event:
    """What happened: a step was done, and what else was due after it.

    Attributes:
        step: the last step.
        validation: figures by name, when the encoder was validated.
        improved: whether these are the best so far.
        waiting: share of the time since the start that was spent waiting for clips.
        rate: clips a second since the start.
    """

    step: Step
    validation: Mapping[str, float] | None = None
    improved: bool = False
    waiting: float = 0.0
    rate: float = 0.0


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
