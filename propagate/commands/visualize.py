"""`propagate visualize`: what the encoder makes of every frame, as a video (Vondrick 4.5), or where one pixel looks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from propagate.commands.video_results import VideoOptions, open_result
from propagate.engine.ahead import ahead
from propagate.errors import ConfigError
from propagate.formats.images import write_rgb
from propagate.runs.folder import RunFolder
from propagate.runs.record import identify_video, run_record
from propagate.runs.request import Request, begin_one, finish_one, never
from propagate.runs.run import StoppedError
from propagate.runs.settings import LoadedModel
from propagate.values import Frame
from propagate.video import VideoReader, VideoWriter
from propagate.video.encoder import container_of

if TYPE_CHECKING:
    from torch import Tensor

    from propagate.config import PropagateConfig
    from propagate.encoders.features import FeatureExtractor
    from propagate.render.features import Projection

FIT_FRAMES = 32  # the first frames, on whose features the projection is fitted
FIT_CELLS = 20_000  # about how many cells of them are taken, evenly spread


@dataclass
class Embedding:
    """A video of features being made; iterate to do it, `close` it at the end. Iterating yields each frame's index.

    Attributes:
        reader: the video.
        settled: settings and encoder.
        features: as the network itself gives them.
        folder: where the file goes.
        finished: whether all files are there.
        done: how many frames are done.
        stop: asked after every frame; a signal's number stops the work.
    """

    reader: VideoReader
    settled: LoadedModel
    features: FeatureExtractor
    folder: RunFolder
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
        """Let go of the video, and let other runs in."""
        self.reader.close()
        self.folder.close()

    def __iter__(self) -> Iterator[int]:
        """Yield the index of each frame once it is written; frames that an earlier run has written are passed over.

        Raises:
            StoppedError: `stop` said so.
            OutputError: the video cannot be written.
        """
        if self.finished:
            return
        checkpoint = self.settled.config.checkpoint
        state = self.folder.state / "embedding"
        options = VideoOptions(crf=18)
        with open_result(self.folder.out, self.reader, options, state=state, checkpoint=checkpoint) as writer:
            self.done = writer.frames_done
            yield from self._write(writer)
            finish_one(self.folder, writer.finish)
        self.finished = True

    def _write(self, writer: VideoWriter) -> Iterator[int]:
        projection = self._fit()
        first = self.reader.first + self.done
        with closing(ahead(self.reader)) as frames:
            for frame in frames:
                if frame.index < first:
                    continue
                assert frame.pts is not None, "readers give every frame a time"
                writer.write(picture_of(frame, projection, self.features), frame.pts)
                self.done += 1
                yield frame.index
                if (signal := self.stop()) is not None and self.done < self.total:
                    raise StoppedError(signal, done=self.done, total=self.total, kept=writer.frames_done)

    def _fit(self) -> Projection:
        """Return the projection of the first frames' features: the same for a run that continues."""
        from propagate.render.features import fit_projection

        share = FIT_CELLS // min(FIT_FRAMES, self.total)
        rows = []
        with closing(ahead(self.reader)) as frames:
            for frame in islice(frames, FIT_FRAMES):
                cells = features_of(frame, self.features).flatten(1).T  # (h*w, C)
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
    folder = RunFolder.file(request.out_or("embedding.mp4"))
    container_of(folder.out.suffix, "h264")
    reader = request.open_video()
    try:
        settled = request.load_model()
        features = extractor_of(settled, reader.info.size, learned_only=True)
        finished = _begin(folder, request, reader, settled, options={"fit_frames": FIT_FRAMES})
        return Embedding(reader, settled, features, folder, finished, len(reader) if finished else 0, request.stop)
    except BaseException:
        reader.close()
        folder.close()
        raise


def _begin(
    folder: RunFolder, request: Request, reader: VideoReader, settled: LoadedModel, *, options: dict[str, Any]
) -> bool:
    """Return whether this work is finished in its place, which is claimed, as `begin_one`."""
    video = identify_video(reader.path, name=request.video, base=folder.base, digests=folder.digests)
    record = run_record(
        "visualize",
        settled.config,
        inputs={"video": video, "weights": settled.weights},
        options={"start": reader.first, "end": reader.last, **options},
        described={"results": [folder.out.name]},
    )
    return begin_one(folder, record, inputs=[reader.path], force=request.force)


def extractor_of(settled: LoadedModel, size: tuple[int, int], *, learned_only: bool = False) -> FeatureExtractor:
    """Return what computes the features of frames of (height, width), as `FeatureExtractor`."""
    from propagate.encoders.features import FeatureExtractor

    return FeatureExtractor(settled.encoder, settled.config, size, device=settled.device, learned_only=learned_only)


def features_of(frame: Frame, features: FeatureExtractor) -> Tensor:
    """Return a frame's features (C, h, w) as they are compared, on the CPU.

    A temporal encoder is shown the frame as its own references. Under cosine similarity features have length 1.
    """
    import torch

    with torch.inference_mode():
        trunk = features.encode(frame.rgb)
        embedded = features.embed(trunk.expand(features.temporal + 1, *trunk.shape))[-1].float()
        if features.similarity == "cosine":
            embedded = torch.nn.functional.normalize(embedded, dim=0)
        return embedded.cpu()


def picture_of(frame: Frame, projection: Projection, features: FeatureExtractor) -> NDArray[np.uint8]:
    """Return a frame's features as a picture of the frame's size, (H, W, 3) uint8."""
    import torch

    from propagate.ops.grid import upsample, upsampling_matrices
    from propagate.render.features import project

    small = torch.from_numpy(project(features_of(frame, features).numpy(), projection)).permute(2, 0, 1).float()
    full = upsample(small, upsampling_matrices(features.grid))
    return np.ascontiguousarray(full.round().byte().permute(1, 2, 0).numpy())


def parse_point(text: str) -> tuple[float, float]:
    """Return the pixel of "X,Y".

    Raises:
        ConfigError: it is no pair of numbers.
    """
    try:
        x, y = (float(word) for word in text.split(","))
    except ValueError as error:
        raise ConfigError(f"{text!r} is no pixel", hint="write X,Y such as 320,180") from error
    return x, y


def draw_pointing(request: Request, xy: tuple[float, float], *, frame: int | None = None) -> Path:
    """Write a strip of the target frame and its references with heat maps, and return its path.

    The first frame of the range counts as annotated; the references are those that a run would look at.

    Args:
        request: the video, the file for the strip (./STEM.pointing.png by default), settings.
        xy: the target's pixel.
        frame: the target, the last frame of the range when None.

    Raises:
        InputError: the video cannot be used.
        ConfigError: there is no such pixel or frame, or a setting that cannot be.
        ConflictError: something else is in the strip's place.
        OutputError: it cannot be written.
    """
    folder = RunFolder.file(request.out_or("pointing.png"))
    if folder.out.suffix.lower() != ".png":
        raise ConfigError(f"{folder.out}: a strip is a picture", hint="give -o a name that ends in .png")
    with request.open_video() as reader:
        target = reader.last - 1 if frame is None else frame
        _check(reader, xy, target)
        settled = request.load_model()
        with closing(folder):
            if not _begin(folder, request, reader, settled, options={"point": list(xy), "frame": target}):
                strip = _strip(reader, xy, target, settled=settled)
                finish_one(folder, lambda: write_rgb(folder.out, strip))
    return folder.out


def _check(reader: VideoReader, xy: tuple[float, float], target: int) -> None:
    width, height = reader.info.width, reader.info.height
    if not (-0.5 <= xy[0] <= width - 0.5 and -0.5 <= xy[1] <= height - 0.5):
        raise ConfigError(f"the pixel {xy[0]:g},{xy[1]:g} lies outside of the video, which is {width}x{height}")
    if not reader.first < target < reader.last:
        hint = f"one of {reader.first + 1} to {reader.last - 1}"
        raise ConfigError(f"frame {target} has no frame before it to look at, or is not there", hint=hint)


def _strip(reader: VideoReader, xy: tuple[float, float], target: int, *, settled: LoadedModel) -> NDArray[np.uint8]:
    from propagate.render.features import pointing_strip

    frames = _frames(reader, target, settled)
    features = extractor_of(settled, frames[-1].size)
    grid = features.grid
    origin, beyond = grid.to_pixels(np.array([[0.0, 0.0], [1.0, 1.0]]))
    return pointing_strip(
        frames[-1].rgb,
        [frame.rgb for frame in frames[:-1]],
        attention_of(frames, xy, features=features, config=settled.config),
        xy=xy,
        stride_xy=(float(beyond[0] - origin[0]), float(beyond[1] - origin[1])),
        offset_xy=(float(origin[0]), float(origin[1])),
        names=[f"frame {target}", *(f"frame {frame.index}" for frame in frames[:-1])],
    )


def _frames(reader: VideoReader, target: int, settled: LoadedModel) -> list[Frame]:
    """Return the references of a target, oldest first, and the target."""
    config = settled.config
    wanted = set(range(max(reader.first, target - config.context), target + 1))
    if config.keep_annotated:
        wanted.add(reader.first)
    found = []
    with closing(ahead(reader)) as frames:
        for frame in frames:
            if frame.index in wanted:
                found.append(frame)
            if frame.index == target:
                break
    return found


def attention_of(
    frames: Sequence[Frame], xy: tuple[float, float], *, features: FeatureExtractor, config: PropagateConfig
) -> NDArray[np.float64]:
    """Return the affinity of the cell at a pixel of the last frame to the cells of those before it, (R, h, w).

    Args:
        frames: the references, oldest first, the first of them annotated, and the target.
        xy: a pixel of the target.
        features: those that a run compares.
        config: the settings of the run.
    """
    import torch

    from propagate.engine.pointer import Pointer, Reference
    from propagate.render.features import attention_maps

    grid = features.grid
    count = grid.rows * grid.columns
    nothing = torch.zeros(count, 1), torch.zeros(count, 2, dtype=torch.int64)
    column, row = np.rint(grid.to_cells(np.array(xy))).clip(0, (grid.columns - 1, grid.rows - 1)).astype(int)
    with torch.inference_mode():
        references = [
            Reference(frame.index, features.encode(frame.rgb), *nothing, annotated=number == 0)
            for number, frame in enumerate(frames[:-1])
        ]
        cell = int(row) * grid.columns + int(column)
        target = features.encode(frames[-1].rgb)
        affinity = Pointer(features, config).affinity_at(target, references, cell=cell)
    weights, cells = (part[:, 0].cpu().numpy() for part in (affinity.weights, affinity.cells))
    return attention_maps(weights, cells, shape=(len(references), *features.shape))
