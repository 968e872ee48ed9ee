"""Videos and folders of pictures that a command writes: their suffix checked first, their times the source's own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from propagate.formats.images import rgb_bytes
from propagate.runs.folder import RunFolder
from propagate.runs.outputs import FrameFiles, VideoFile, Whole, WholeFile
from propagate.values import Prediction
from propagate.video import Color, VideoReader, VideoWriter, open_video_writer
from propagate.video.chroma import chroma_format
from propagate.video.encoder import CodecName, EncoderSettings, container_of, default_pix_fmt


def check_suffix(path: Path) -> None:
    """Refuse a file that no h264 video can be written to.

    Raises:
        ConfigError: its suffix is not one of .mp4, .mkv, .mov.
    """
    container_of(path.suffix, "h264")


def overlay_file(
    path: Path,
    reader: VideoReader,
    draw: Callable[[VideoWriter, Prediction], None],
    *,
    checkpoint: int,
    key: str = "",
) -> Whole:
    """Return an overlay of the source's size and times, which a run makes in segments.

    Args:
        path: .mp4, .mkv or .mov.
        reader: the source.
        draw: draws one frame.
        checkpoint: frames in a segment.
        key: what the drawing depends on besides the frames.
    """
    info = reader.info

    def opened(state: Path) -> WholeFile:
        writer = open_video_writer(
            path,
            size=info.size,
            time_base=info.time_base,
            state=state,
            rate=info.rate,
            segment_frames=checkpoint,
            sample_aspect=info.sample_aspect,
        )
        return VideoFile(writer, draw, first=reader.first)

    return Whole(path, f"overlay, {checkpoint} frames in a segment {key}".rstrip(), opened)


SUFFIX = {"h264": ".mp4", "prores": ".mov", "ffv1": ".mkv"}  # of a video that nobody named


@dataclass(frozen=True)
class VideoOptions:
    """How a video of results is written.

    Attributes:
        codec: h264, prores or ffv1 (without loss).
        crf: quality of h264, 0 (lossless) to 51.
        pix_fmt: stored pixel format; the source's sampling and depth as far as the codec goes when None.
    """

    codec: CodecName = "h264"
    crf: int = 16
    pix_fmt: str | None = None

    def record(self) -> dict[str, Any]:
        """Return what run.yaml says of it."""
        return {"codec": self.codec, "crf": self.crf, "pix_fmt": self.pix_fmt}


def folder_of(out: Path) -> RunFolder:
    """Return the place of a video, or of a folder of PNGs when `out` has no suffix."""
    return RunFolder.folder(out) if not out.suffix or out.is_dir() else RunFolder.file(out)


def check_video(out: Path, options: VideoOptions) -> None:
    """Refuse a video that cannot be written.

    Raises:
        ConfigError: no video is called so, or it cannot hold the codec, or the codec not the pixel format.
    """
    _check_format(options)
    if not folder_of(out).fills_folder:
        container_of(out.suffix, options.codec)


def _check_format(options: VideoOptions) -> None:
    """Refuse what no writer will take, before anything is opened: settings check themselves."""
    pix_fmt = options.pix_fmt or default_pix_fmt(options.codec)
    EncoderSettings(options.codec, pix_fmt, (64, 64), Fraction(1, 25), Fraction(25), options.crf, Color(), Fraction(1))


def result_files(folder: RunFolder) -> list[FrameFiles]:
    """Return what is written for each frame: frames/STEM.png in a folder, nothing beside a video."""
    return [FrameFiles("frames", ".png", _picture)] if folder.fills_folder else []


def result_videos(
    folder: RunFolder,
    reader: VideoReader,
    options: VideoOptions,
    put: Callable[[VideoWriter, Prediction], None],
    *,
    checkpoint: int,
) -> list[Whole]:
    """Return the video that a run makes, nothing for one that fills a folder.

    It has the source's size, times, colour and sound.

    Args:
        folder: of the run.
        reader: the source.
        options: codec and quality.
        put: writes one frame.
        checkpoint: frames in a segment.
    """
    if folder.fills_folder:
        return []

    def opened(state: Path) -> WholeFile:
        writer = open_result(folder.out, reader, options, state=state, checkpoint=checkpoint)
        return VideoFile(writer, put, first=reader.first, end=lambda done: finish_with_sound(done, reader))

    return [Whole(folder.out, f"{options.record()} {checkpoint}", opened)]


def open_result(out: Path, reader: VideoReader, options: VideoOptions, *, state: Path, checkpoint: int) -> VideoWriter:
    """Return a writer of the source's size, times and colour.

    Args:
        out: the file.
        reader: the source.
        options: codec and quality.
        state: the folder for its segments.
        checkpoint: frames in a segment.
    """
    info = reader.info
    return open_video_writer(
        out,
        size=info.size,
        time_base=info.time_base,
        state=state,
        rate=info.rate,
        codec=options.codec,
        crf=options.crf,
        pix_fmt=options.pix_fmt or chroma_format(options.codec, info),
        segment_frames=checkpoint,
        color=info.color,
        sample_aspect=info.sample_aspect,
    )


def finish_with_sound(writer: VideoWriter, reader: VideoReader) -> None:
    """Bring a video under its name, with the sound, subtitles and chapters of the source within its range.

    Raises:
        OutputError: it cannot be written.
    """
    info = reader.info
    if info.kind == "folder":
        writer.finish()
        return
    whole = reader.first == 0 and reader.last == len(info.pts)
    ends = [*info.pts, info.pts[-1] + round(1 / float(info.time_base * (info.rate or 25)))]
    span = tuple(float(ends[index] * info.time_base) for index in (reader.first, reader.last))
    writer.finish(reader.path, span=None if whole else (span[0], span[1]))


def _picture(prediction: Prediction) -> bytes:
    return rgb_bytes(prediction.array.astype(np.uint8))


def put_picture(writer: VideoWriter, prediction: Prediction) -> None:
    """Write a prediction that is a picture into a video."""
    assert prediction.frame.pts is not None, "readers give every frame a time"
    writer.write(prediction.array.astype(np.uint8), prediction.frame.pts)
