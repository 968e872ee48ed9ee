"""Videos that a run writes: their suffix checked before anything else happens, their times the source's own."""

from __future__ import annotations

from pathlib import Path

from propagate.video import VideoReader, VideoWriter, open_video_writer
from propagate.video.encoder import container_of


def check_suffix(path: Path) -> None:
    """Refuse a file that no h264 video can be written to.

    Raises:
        ConfigError: its suffix is not one of .mp4, .mkv, .mov.
    """
    container_of(path.suffix, "h264")


def open_overlay(path: Path, reader: VideoReader, *, state: Path, checkpoint: int) -> VideoWriter:
    """Return a writer of a video of the source's size and times, in segments that end at the engine's checkpoints.

    Args:
        path: .mp4, .mkv or .mov.
        reader: the source.
        state: the folder for its segments.
        checkpoint: frames between saved states.
    """
    info = reader.info
    return open_video_writer(
        path,
        size=info.size,
        time_base=info.time_base,
        state=state,
        rate=info.rate,
        segment_frames=checkpoint,
        sample_aspect=info.sample_aspect,
    )
