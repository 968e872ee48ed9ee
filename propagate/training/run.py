"""A training run: steps, validations, checkpoints and a log, from the first step or from where it was stopped."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from propagate.device import choose_dtype
from propagate.encoders.build import as_module as encoder_module
from propagate.encoders.build import build_from_tensors, trained_tensors
from propagate.encoders.protocol import Encoder
from propagate.encoders.weights import save_weights
from propagate.errors import ConfigError
from propagate.runs.folder import RunFolder, unwritable
from propagate.runs.run import StoppedError
from propagate.training import OBJECTIVES
from propagate.training.checkpoint import Checkpoint, latest_checkpoint, restore_random, save_checkpoint
from propagate.training.config import TrainConfig
from propagate.training.data.batches import Batches
from propagate.training.data.footage import Footage
from propagate.training.distributed import Processes, any_of, from_first, joined
from propagate.training.folder import BEST, CHECKPOINTS, LAST, place, scratch
from propagate.training.log import TrainLog, hardware
from propagate.training.loop import Event, ShareDone, Step, make_optimizer, run_encoder_in, train
from propagate.training.protocol import Objective, Validation, as_module
from propagate.training.request import TrainRequest, initial_encoder

FITTED = 256  # frames that an objective learns its clusters from


class Training:
    """A training run; iterate to do it, and close it.

    Args:
        request: what is asked for; its folder is claimed by the caller.
        config: the settings.
        footage: what is learnt from.
        validation: scores the encoder now and then.
        dist: this process among those of the run.
        device: where it computes.

    Attributes:
        best: the best validation so far, None before the first.
        first_step: how many steps earlier parts of the run have done.
        spent: seconds that they took.

    Raises:
        ConfigError: the encoder has nothing to learn, or the objective refuses its settings.
        WeightsError: `init` names no weights of the objective's encoder.
    """

    def __init__(
        self,
        request: TrainRequest,
        config: TrainConfig,
        *,
        footage: Footage,
        validation: Validation,
        dist: Processes,
        device: torch.device,
    ) -> None:
        self.request, self.config, self.dist, self.device = request, config, dist, device
        self.footage, self.validation = footage, validation
        self.objective: Objective = OBJECTIVES[config.objective](config, initial_encoder(config))
        if not any(p.requires_grad for p in encoder_module(self.objective.encoder).parameters()):
            raise ConfigError(f"{self.objective.encoder.name!r} has nothing to learn", hint="give another --encoder")
        as_module(self.objective).to(device)
        self.optimizer = make_optimizer(self.objective, config)
        run_encoder_in(self.objective.encoder, choose_dtype(config.dtype, device), device=device)
        self.best: float | None = None
        self.pending = False  # the run was stopped where a validation was due
        self.first_step, self.spent = 0, 0.0
        self.folder = RunFolder.folder(request.out)

    @property
    def weights(self) -> Path:
        """The best weights so far, for `--weights`."""
        return self.request.out / BEST

    @property
    def finished(self) -> bool:
        """Whether nothing is left to do."""
        return ShareDone(self.config, spent=self.spent)(self.first_step) >= 1

    def close(self) -> None:
        """Let other runs into the folder."""
        self.folder.close()

    def take_up(self) -> None:
        """Continue from the newest checkpoint, or learn from the footage what must be known before the first step.

        Raises:
            WeightsError: the checkpoints are damaged.
        """
        found = latest_checkpoint(self.request.out / CHECKPOINTS)
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
        share = ShareDone(self.config, spent=self.spent)
        with ExitStack() as stack:
            stack.enter_context(joined(self.dist, self.device))
            log = stack.enter_context(closing(TrainLog(self.folder, first_step=self.first_step, write=self.dist.first)))
            batches = stack.enter_context(closing(self._batches()))
            self._check_together()
            done = share(self.first_step)
            if self.pending:  # before anything is learnt on, so that the best weights are those of a run left alone
                self._validate(Event(Step(self.first_step, {}, 0.0, 0.0, done)), log)
                self._save(self.first_step, share.elapsed)
            yield from self._steps(batches, log=log, share=share, done=done)

    def _steps(self, batches: Batches, *, log: TrainLog, share: ShareDone, done: float) -> Iterator[Event]:
        """Yield after every step, with what was due after it; `done` is the share of the run before the first."""
        config = self.config
        saved = started = time.monotonic()
        steps = train(
            self.objective,
            self.optimizer,
            batches,
            config=config,
            device=self.device,
            dist=self.dist,
            share=share,
        )
        for step in steps:
            elapsed = max(time.monotonic() - started, 1e-9)
            rate = (step.number - self.first_step) * config.batch / elapsed
            event = Event(step, waiting=batches.waited / elapsed, rate=rate)
            signal = self.request.stop()
            over = step.done >= 1
            stopped = any_of(signal is not None, self.dist, self.device) and not over
            due = over or int(step.done * config.validations) > int(done * config.validations)
            done = step.done
            if due and not stopped:  # whoever asks to stop may not wait long
                event = self._validate(event, log)
            log.step(event, every=config.log_every)
            if due or stopped or time.monotonic() - saved > 60 * config.save_every:
                self._save(step.number, share.elapsed, pending=due and stopped)
                saved = time.monotonic()
            yield event
            if stopped and signal is not None:
                raise StoppedError(signal, done=step.number, total=config.steps or 0, kept=step.number, what="steps")
            if over or stopped:  # another process was asked to stop: it says so
                return

    def _check_together(self) -> None:
        """Refuse to go on when the processes have not taken up the same checkpoint."""
        if from_first(float(self.first_step), self.dist, self.device) != self.first_step:
            raise ConfigError("the processes do not see the same checkpoints", hint="give -o on a disk that all share")

    def _batches(self) -> Batches:
        return Batches(
            self.footage,
            self.objective.form,
            batch=self.config.batch // self.dist.world,
            seed=self.config.seed,
            first_step=self.first_step,
            rank=self.dist.rank,
            world=self.dist.world,
            workers=self.request.workers,
            pinned=self.device.type == "cuda",
        )

    def _validate(self, event: Event, log: TrainLog) -> Event:
        """Return the event with figures; keep the weights if they are the best so far."""
        if not self.dist.first:
            return event
        encoder = fresh_copy(self.objective.encoder)
        found = self.validation(encoder)
        value = worth(found)
        improved = self.best is None or not found or value > self.best
        record = self._record(event.step.number, found)
        if improved:
            self.best = value
            self._write(BEST, encoder, record)
        self._write(LAST, encoder, record)
        log.picture(event.step.number, self.validation.picture(encoder))
        return dataclasses.replace(event, validation=found, improved=improved)

    def _write(self, name: str, encoder: Encoder, record: Mapping[str, Any]) -> None:
        made = scratch(self.folder, name)
        save_weights(made, encoder, training=record)
        try:
            place(self.folder, made, name)
        except OSError as error:
            raise unwritable(self.folder.path_of(name), error) from error

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
            "hardware": hardware(self.device, processes=self.dist.world),
        }

    def _save(self, step: int, seconds: float, *, pending: bool = False) -> None:
        if not self.dist.first:
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
        save_checkpoint(self.request.out / CHECKPOINTS, state, place=self._place_checkpoint)

    def _place_checkpoint(self, made: Path, path: Path) -> None:
        place(self.folder, made, f"{CHECKPOINTS}/{path.name}")


def fresh_copy(encoder: Encoder) -> Encoder:
    """Return an encoder of the same weights on the CPU, without what training put around it."""
    tensors = {name: tensor.detach().cpu().clone() for name, tensor in trained_tensors(encoder).items()}
    copy = build_from_tensors(encoder.name, tensors, settings=encoder.settings, where="the encoder in training")
    copy.preset = dict(encoder.preset)  # of imported weights that are adapted
    return copy


def worth(figures: Mapping[str, float]) -> float:
    """Return one number that is larger the better an encoder was scored: J where it is known, else minus L1."""
    return figures["J"] if "J" in figures else -figures.get("L1", 0.0)
