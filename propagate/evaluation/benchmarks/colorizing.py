"""Colours carried through the grey copy of a clip, beside the true ones, and the clusters that both are judged by."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from skimage.color import rgb2lab

from propagate.errors import InputError
from propagate.evaluation.benchmarks.sequences import Stopwatch, spread
from propagate.evaluation.protocol import BenchmarkSequence, Trackers
from propagate.ops.cluster import fit_clusters
from propagate.values import Annotation, Frame
from propagate.video import read_video
from propagate.video.chroma import grey_frame
from propagate.video.color import luma_weights

if TYPE_CHECKING:
    from propagate.video import VideoReader

CLUSTERS = 16  # quantised colours (Vondrick 3.1)
FRAMES = 4  # of each clip, that clusters are fitted on
PIXELS = 65536  # over all clips, at most about so many


def colorized(video: str, trackers: Trackers, *, watch: Stopwatch) -> Iterator[tuple[Frame, NDArray[np.uint8]]]:
    """Yield every frame in its true colours, and the colours (H, W, 3) uint8 that were carried to it from frame 0.

    The tracker sees the luma of every frame and nothing of its colours, save those of frame 0.

    Args:
        video: a file or folder in colour.
        trackers: by label type; "colors" is asked for.
        watch: counts the tracker's time.

    Raises:
        InputError: the video cannot be read.
    """
    from propagate.labels.colors import ColorLabels

    with read_video(video, luma=True) as reader:
        frames = iter(reader)
        first = next(frames)
        waiting: dict[int, Frame] = {}  # read, its prediction not yet here: the engine reads ahead
        label_type = ColorLabels(luma=luma_weights(reader.info.color))
        given = Annotation(0, first.rgb, label_type.ids)
        grey = _grey(chain([first], frames), reader, waiting)
        for prediction in watch.track(trackers("colors"), grey, [given], label_type=label_type):
            yield waiting.pop(prediction.frame.index), prediction.array.astype(np.uint8)


def _grey(frames: Iterator[Frame], reader: VideoReader, waiting: dict[int, Frame]) -> Iterator[Frame]:
    for frame in frames:
        waiting[frame.index] = frame
        yield grey_frame(frame, reader.info)


def clusters_of(sequences: Sequence[BenchmarkSequence]) -> NDArray[np.float64]:
    """Return the (16, 2) a, b centres of the true colours of all clips; the same clips give the same centres.

    Raises:
        InputError: a clip cannot be read.
    """
    rng = np.random.default_rng(0)
    count = max(64, PIXELS // max(1, FRAMES * len(sequences)))
    samples = [
        rng.choice(rgb.reshape(-1, 3), size=count)
        for sequence in sequences
        for rgb in sample_frames(sequence.video, FRAMES)
    ]
    ab = rgb2lab(np.concatenate(samples)[None])[0, :, 1:]
    return np.asarray(fit_clusters(ab, count=CLUSTERS), dtype=np.float64)


def sample_frames(video: str, count: int) -> list[NDArray[np.uint8]]:
    """Return `count` frames (H, W, 3), evenly spread over a video."""
    with read_video(video) as reader:
        places = spread(len(reader), count)
    pictures = []
    for place in places:
        with read_video(video, start=place, end=place + 1) as reader:
            pictures += [frame.rgb for frame in reader]
    return pictures


def check_length(sequence: BenchmarkSequence, frames: int, *, least: int) -> None:
    """Refuse a clip with fewer frames than can be scored.

    Raises:
        InputError: it has.
    """
    if frames < least:
        raise InputError(f"{sequence.video}: {frames} frames are too few to score, expected {least} or more")
