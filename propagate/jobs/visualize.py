"""The job of `propagate visualize`: what the encoder makes of every frame, as a video (Vondrick 4.5)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from propagate.engine.ahead import ahead
from propagate.jobs.fingerprint import identify_video, run_record
from propagate.jobs.interrupt import StoppedError
from propagate.jobs.pictures import VideoOptions, open_result
from propagate.jobs.place import Place, Status
from propagate.jobs.request import Request
from propagate.jobs.run import never
from propagate.jobs.settings import Settled
from propagate.values import Frame
from propagate.video import VideoReader, VideoWriter
from propagate.video.encoder import container_of

if TYPE_CHECKING:
    from torch import Tensor

    from propagate.ops.grid import Grid
    from propagate.render.embedding import Projection

FIT_FRAMES = 32  # the first frames, on whose features the projection is fitted
FIT_CELLS = 20_000  # about how many cells of them are taken, evenly spread


@dataclass
class Embedding:
    """A video of features being made; iterate to do it, `close` it at the end. Iterating yields each frame's index.

    Attributes:
        reader: the video.
        settled: settings and encoder.
        place: where the files go.
        finished: whether all files are there.
        done: how many frames are done.
        stop: asked after every frame; a signal's number stops the work.
    """

    reader: VideoReader
    settled: Settled
    place: Place
    finished: bool = False
    done: int = 0
    stop: Callable[[], int | None] = never

    @property
    def total(self) -> int:
        """How many frames there are."""
        return len(self.reader)

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should know of the colours."""
        fitted = min(FIT_FRAMES, self.total)
        return (f"colours: the three directions in which the features of the first {fitted} frames vary most",)

    def close(self) -> None:
        """Let go of the video."""
        self.reader.close()

    def __iter__(self) -> Iterator[int]:
        """Yield the index of each frame once it is written; frames that an earlier run has written are passed over.

        Raises:
            StoppedError: `stop` said so.
            OutputError: the video cannot be written.
        """
        if self.finished:
            return
        checkpoint = self.settled.config.checkpoint
        with open_result(self.place, self.reader, VideoOptions(crf=18), checkpoint=checkpoint) as writer:
            self.done = writer.frames_done
            yield from self._write(writer)
            writer.finish()
        self.place.finish()
        self.finished = True

    def _write(self, writer: VideoWriter) -> Iterator[int]:
        projection = self._fit()
        first = self.reader.first + self.done
        with closing(ahead(self.reader)) as frames:
            for frame in frames:
                if frame.index < first:
                    continue
                assert frame.pts is not None, "readers give every frame a time"
                writer.write(picture_of(frame, projection, self.settled), frame.pts)
                self.done += 1
                yield frame.index
                if (signal := self.stop()) is not None and self.done < self.total:
                    raise StoppedError(signal, done=self.done, total=self.total, kept=writer.frames_done)

    def _fit(self) -> Projection:
        """Return the projection of the first frames' features: the same for a run that continues."""
        from propagate.render.embedding import fit_projection

        share = FIT_CELLS // min(FIT_FRAMES, self.total)
        rows = []
        with closing(ahead(self.reader)) as frames:
            for frame in islice(frames, FIT_FRAMES):
                cells = features_of(frame, self.settled).flatten(1).T  # (h*w, C)
                rows.append(cells[:: max(1, len(cells) // share)].numpy())
        return fit_projection(np.concatenate(rows))


def open_embedding(request: Request) -> Embedding:
    """Return the work that makes a video of features; nothing is written when an input is refused.

    Args:
        request: the video, the file for the result (./STEM.embedding.mp4 by default), settings.

    Raises:
        InputError: the video cannot be used.
        ConfigError: a setting that cannot be.
        ConflictError: something else is in the result's place.
        OutputError: the place cannot be written.
    """
    place = Place.file(request.out_or("embedding.mp4"))
    container_of(place.out.suffix, "h264")
    reader = request.open_video()
    try:
        settled = request.settle().for_video((reader.info.height, reader.info.width))
        finished = claim(place, request, reader, settled, options={"fit_frames": FIT_FRAMES}) == "finished"
        return Embedding(reader, settled, place, finished, len(reader) if finished else 0, request.stop)
    except BaseException:
        reader.close()
        raise


def claim(place: Place, request: Request, reader: VideoReader, settled: Settled, *, options: dict[str, Any]) -> Status:
    """Return whether this work is new, continued or finished in its place, as `Place.claim`."""
    record = run_record(
        "visualize",
        settled.config,
        inputs={"video": identify_video(reader.path, name=request.video), "weights": settled.weights},
        options={"start": reader.first, "end": reader.last, **options},
        described={},
    )
    return place.claim(record, force=request.force)


def grid_of(frame: Frame, settled: Settled) -> Grid:
    """Return the cells of a frame."""
    from propagate.ops.grid import Grid

    encoder = settled.encoder
    return Grid.of(frame.size, size=settled.config.size, stride=encoder.stride, offset=encoder.offset)


def trunk_of(frame: Frame, settled: Settled) -> Tensor:
    """Return what the encoder keeps of a frame, (Ct, h, w)."""
    import torch

    from propagate.ops.picture import to_input

    with torch.inference_mode():
        return settled.encoder.encode(to_input(frame.rgb, grid_of(frame, settled).input, device=settled.device))[0]


def features_of(frame: Frame, settled: Settled) -> Tensor:
    """Return a frame's features (C, h, w) as they are compared, on the CPU.

    A temporal encoder is shown the frame as its own references. Under cosine similarity features have length 1.
    """
    import torch

    with torch.inference_mode():
        trunk = trunk_of(frame, settled)
        features = settled.encoder.embed(trunk.expand(settled.encoder.temporal + 1, *trunk.shape))[-1].float()
        if settled.config.similarity == "cosine":
            features = torch.nn.functional.normalize(features, dim=0)
        return features.cpu()


def picture_of(frame: Frame, projection: Projection, settled: Settled) -> NDArray[np.uint8]:
    """Return a frame's features as a picture of the frame's size, (H, W, 3) uint8."""
    import torch

    from propagate.ops.grid import upsample, upsampling_matrices
    from propagate.render.embedding import project

    small = torch.from_numpy(project(features_of(frame, settled).numpy(), projection)).permute(2, 0, 1).float()
    full = upsample(small, upsampling_matrices(grid_of(frame, settled)))
    return np.ascontiguousarray(full.round().byte().permute(1, 2, 0).numpy())
