"""Batches of clips, assembled by threads while the device computes.

Threads and not processes: decoding, resizing and copying release Python's lock, frames need not be sent to and fro, and
nothing has to survive a fork. What is called here starts no threads of its own (torch resizes uint8 in the thread that
asks, and NumPy copies), so workers do not compete with the training's.
"""

from __future__ import annotations

import time
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from propagate.errors import InputError
from propagate.training.data.decoding import UNREADABLE
from propagate.training.data.footage import Footage
from propagate.training.data.sampling import ClipPlace, ClipSampler, fill_clip
from propagate.training.protocol import ClipForm

AHEAD = 2  # batches in the making besides the one in use


class Batch(NamedTuple):
    """The clips of one step.

    Attributes:
        step: the step that they are for.
        clips: (B, T, 3, S, S) uint8 RGB on the CPU, pinned if asked for.
        names: B, for messages.
    """

    step: int
    clips: Tensor
    names: tuple[str, ...]


@dataclass(frozen=True)
class _Making:
    """A batch in the making: its clips are filled in place."""

    batch: Batch
    parts: tuple[Future[None], ...]


class Batches:
    """The batches of a run from `first_step` on, without end; use it as a context manager, or close it.

    Clip i of process `rank` is clip rank * batch + i of its step, so that two processes with half the batch draw the
    clips of one with the whole; how many workers there are changes nothing.

    Args:
        footage: where the clips come from.
        form: what a clip is.
        batch: clips a step, B, of this process.
        seed: of all chance, 0 or more.
        first_step: where a resumed run goes on.
        rank: which process this is.
        world: how many there are.
        workers: threads that assemble; 0 does it in the thread that asks.
        pinned: put the clips into page-locked memory, from which a GPU copies while it computes.

    Attributes:
        waited: seconds that the caller has waited for clips so far.
        left_out: shots that are too short for a clip.

    Raises:
        InputError: all shots are too short; while iterating: a clip cannot be read, with its name.
    """

    def __init__(
        self,
        footage: Footage,
        form: ClipForm,
        *,
        batch: int,
        seed: int,
        first_step: int = 0,
        rank: int = 0,
        world: int = 1,
        workers: int = 1,
        pinned: bool = False,
    ) -> None:
        if batch < 1 or workers < 0 or not 0 <= rank < world:
            raise ValueError(f"batch {batch}, workers {workers}, rank {rank} of {world}")
        self._sampler = ClipSampler(footage.shots, form, seed=seed)
        self._footage, self._form, self._pinned = footage, form, pinned
        self._indices = range(rank * batch, (rank + 1) * batch)
        self._next = first_step
        self._making: deque[_Making] = deque()
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="clips") if workers else None
        self._closed = False
        self.waited = 0.0
        self.left_out = self._sampler.left_out

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Batch:
        if self._closed:
            raise StopIteration
        begin = time.perf_counter()
        while len(self._making) < (AHEAD if self._pool else 0) + 1:
            self._making.append(self._begin(self._next))
            self._next += 1
        making = self._making.popleft()
        for part in making.parts:
            part.result()
        self.waited += time.perf_counter() - begin
        return making.batch

    def close(self) -> None:
        """Stop the workers; nothing more is yielded."""
        self._closed = True
        self._making.clear()
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)

    def _begin(self, step: int) -> _Making:
        """Have the clips of a step made: by the workers, or at once when there are none."""
        form = self._form
        shape = (len(self._indices), form.frames, 3, form.size, form.size)
        clips = torch.empty(shape, dtype=torch.uint8, pin_memory=self._pinned)
        places = [self._sampler.draw(step, index) for index in self._indices]
        batch = Batch(step, clips, tuple(place.name for place in places))
        jobs = zip(places, clips.numpy(), strict=True)
        if self._pool is not None:
            return _Making(batch, tuple(self._pool.submit(self._fill, place, out, step) for place, out in jobs))
        for place, out in jobs:
            self._fill(place, out, step)
        return _Making(batch, ())

    def _fill(self, place: ClipPlace, out: NDArray[np.uint8], step: int) -> None:
        try:
            frames = self._footage.read(place.shot, place.positions)
            fill_clip(out, frames, place)
        except UNREADABLE as error:
            raise InputError(f"step {step}: the clip {place.name} cannot be read: {error}") from error
        except Exception as error:
            error.add_note(f"at step {step}, in the clip {place.name}")
            raise
