"""Opening a file and passing over its packets, tolerant of damage: the one place where PyAV's reading errors end."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.stream import Stream
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from propagate.errors import InputError

_LOG = logging.getLogger(__name__)
_ATTEMPTS = 8  # errors in a row after which the rest of a file is given up
_NOT_VIDEO = ("ansi", "txd")  # FFmpeg draws a text file as a terminal


@dataclass
class Damage:
    """What went wrong during one pass: errors of the container and of single packets."""

    demux: int = 0
    decode: int = 0
    messages: list[str] = field(default_factory=list)


def open_file(path: Path, *, name: str) -> InputContainer:
    """Return the opened container of a video file.

    Args:
        path: the file.
        name: what messages call it.

    Raises:
        InputError: the file is missing, empty, unreadable, or no video.
    """
    if not path.exists():
        raise InputError(f"{name}: no such file or folder", hint="check the path of the video")
    if path.is_file() and path.stat().st_size == 0:
        raise InputError(f"{name}: the file is empty", hint="copy or download the video again")
    try:
        return av.open(f"file:{path}", "r", metadata_errors="replace")
    except PermissionError as error:
        raise InputError(f"{name}: no permission to read it", hint="change the file's permissions") from error
    except (av.FFmpegError, OSError) as error:
        raise InputError(
            f"{name}: not a video that FFmpeg can open ({_cause(error)})", hint=_open_hint(path)
        ) from error


def _open_hint(path: Path) -> str:
    with path.open("rb") as file:
        head = file.read(512)
    if b"ftyp" in head[:32]:
        return "an mp4 without its index: the recording was cut off; repair it with a tool such as untrunc"
    if not any(byte < 9 for byte in head):
        return "this looks like a text file; give a video or a folder of images"
    return "expected mp4, mkv, mov, avi, webm or another video file, or a folder of images"


def _cause(error: Exception) -> str:
    return getattr(error, "strerror", None) or type(error).__name__


def best_video(container: InputContainer, *, name: str) -> VideoStream:
    """Return the main video stream, its decoder set to several threads.

    Raises:
        InputError: there is none.
    """
    stream = container.streams.best("video")
    if not isinstance(stream, VideoStream) or stream.codec_context is None:
        held = ", ".join(sorted({stream.type for stream in container.streams})) or "nothing"
        raise InputError(f"{name}: holds no video that can be decoded, only {held}", hint="give a file with pictures")
    if stream.codec_context.name in _NOT_VIDEO:
        raise InputError(f"{name}: a text file, not a video", hint="give a video or a folder of images")
    stream.codec_context.thread_type = "AUTO"
    return stream


def read_packets(container: InputContainer, *streams: Stream, damage: Damage) -> Iterator[Packet[Stream]]:
    """Yield the packets of `streams` that hold data, going on behind damage as far as the container allows.

    Args:
        container: an open container.
        streams: the streams to read; none means all.
        damage: counts the errors met.
    """
    failed_in_row = 0
    while failed_in_row < _ATTEMPTS:
        try:
            for packet in container.demux(*streams):
                failed_in_row = 0
                if packet.size:
                    yield packet
            return
        except (av.FFmpegError, OSError) as error:
            failed_in_row += 1
            damage.demux += 1
            damage.messages.append(_cause(error))
            _LOG.debug("%s: %s", container.name, error)


def decode_packets(container: InputContainer, stream: VideoStream, *, damage: Damage) -> Iterator[VideoFrame | None]:
    """Yield the decoded frames of one stream in presentation order; None stands for a packet that failed.

    A failing packet is skipped; PyAV's own decode loop would end there and lose the rest of the file.

    Args:
        container: an open container, at its start or after a seek.
        stream: the stream to decode.
        damage: counts the errors met.
    """
    for packet in read_packets(container, stream, damage=damage):
        yield from _decode(stream, packet, damage)
    yield from _decode(stream, None, damage)


def _decode(stream: VideoStream, packet: Packet[Stream] | None, damage: Damage) -> Iterator[VideoFrame | None]:
    try:
        frames = stream.codec_context.decode(packet)
    except (av.FFmpegError, OSError) as error:
        damage.decode += 1
        damage.messages.append(_cause(error))
        yield None
        return
    yield from frames


def is_shown(packet: Packet[Stream]) -> bool:
    """Return whether a packet holds a picture that is displayed: not cut by an edit list, not a hidden VP8 frame."""
    if packet.is_discard:
        return False
    hidden = packet.stream.codec_context.name == "vp8" and not memoryview(packet)[0] & 0x10
    return not hidden


_STEADY = 0.0025  # seconds: intervals that differ by less are one rate, rounded (mkv rounds to 1 ms)
_MICROSECONDS = 1_000_000  # FFmpeg's unit of a container's duration


@dataclass
class PacketTable:
    """What one pass over the packets gives; `pts` is complete after `read_table`.

    Attributes:
        time_base: seconds per tick.
        rate: average frames per second, None when unknown.
        pts: presentation times in ticks, ascending, duplicates kept.
        start: seconds at which the container's clock starts.
        timed: false when pictures cannot be told by their times (a raw stream, B-frames in an AVI) and are counted.
        corrupt: packets that the container marks as damaged.
        ends: stream index -> end of its last packet in seconds.
        damage: errors met on the way.
    """

    time_base: Fraction
    rate: Fraction | None
    pts: list[int] = field(default_factory=list)
    start: Fraction = Fraction(0)
    timed: bool = True
    corrupt: int = 0
    ends: dict[int, Fraction] = field(default_factory=dict)
    damage: Damage = field(default_factory=Damage)

    @property
    def variable_rate(self) -> bool:
        """Whether the intervals between frames differ by more than rounding."""
        steps = [later - earlier for earlier, later in pairwise(self.pts)]
        return len(steps) > 0 and float((max(steps) - min(steps)) * self.time_base) > _STEADY

    @property
    def interval(self) -> float:
        """The median interval between two frames in seconds; 1 / rate for a single frame."""
        if len(self.pts) < 2:
            return float(1 / self.rate) if self.rate else 0.0
        return float(np.median(np.diff(np.array(self.pts, dtype=np.int64)))) * float(self.time_base)

    @property
    def duplicates(self) -> int:
        """How many frames have the time of the frame before."""
        return len(self.pts) - len(set(self.pts))

    def duration(self, stream: VideoStream) -> float:
        """Return the seconds from the first frame's start to the last one's end."""
        if not self.pts:
            return 0.0
        shown = float(self.pts[-1] - self.pts[0]) * float(self.time_base) + self.interval
        counted = float(self.ends.get(stream.index, Fraction(0)) - self.pts[0] * self.time_base)
        return max(shown, counted) if self.variable_rate else shown


def read_table(container: InputContainer, stream: VideoStream) -> PacketTable:
    """Return the packet table of one stream; the container is left at its end.

    Args:
        container: an open container at its start.
        stream: the stream whose frames count.
    """
    rate = stream.average_rate or stream.guessed_rate or None
    table = PacketTable(stream.time_base or Fraction(1, 1000), rate, start=_clock_start(container))
    # An AVI holds no presentation times and FFmpeg's guess is wrong for B-frames; decoding times, sorted, are right.
    guessed = container.format.name == "avi" and bool(stream.codec_context.has_b_frames)
    for packet in read_packets(container, damage=table.damage):
        _note_end(table, packet)
        if packet.stream_index != stream.index or not is_shown(packet):
            continue
        stamp = packet.dts if guessed else packet.pts
        table.timed = table.timed and stamp is not None
        table.corrupt += packet.is_corrupt
        table.pts.append(stamp if stamp is not None else 0)
    if not table.timed:
        step = 1 / (table.time_base * (rate or 25))
        table.pts = [round(index * step) for index in range(len(table.pts))]
    table.pts.sort()
    table.timed = table.timed and not guessed
    return table


def _clock_start(container: InputContainer) -> Fraction:
    starts = [s.start_time * s.time_base for s in container.streams if s.start_time is not None and s.time_base]
    return max(Fraction(0), min(starts, default=Fraction(0)))


def _note_end(table: PacketTable, packet: Packet[Stream]) -> None:
    stamp = packet.pts if packet.pts is not None else packet.dts
    base = packet.stream.time_base
    if stamp is not None and base:
        end = (stamp + (packet.duration or 0)) * base
        table.ends[packet.stream_index] = max(table.ends.get(packet.stream_index, end), end)


def seconds_lost(container: InputContainer, stream: VideoStream, table: PacketTable) -> float:
    """Return how many seconds the header promises beyond the last packet: 0 for a whole file.

    The stream's own duration is compared with its own last packet, the container's with the last packet of any stream
    (sound may be longer than pictures). Differences below two frames and below a tenth of a second do not count.
    """
    if not table.ends or not table.timed:
        return 0.0
    own = table.ends.get(stream.index, Fraction(0))
    lost = [Fraction(0)]
    if stream.duration and stream.time_base:
        lost.append(((stream.start_time or 0) + stream.duration) * stream.time_base - own)
    elif (promised := _tagged_duration(stream)) is not None:
        lost.append(promised - own)
    if container.duration:
        lost.append(Fraction(container.duration, _MICROSECONDS) + table.start - max(table.ends.values()))
    return float(max(lost)) if max(lost) > max(0.1, 2 * table.interval) else 0.0


def _tagged_duration(stream: VideoStream) -> Fraction | None:
    """Matroska's DURATION tag, "00:00:04.000000000": the end of the stream in seconds."""
    parts = stream.metadata.get("DURATION", "").rstrip("\0").split(":")
    try:
        hours, minutes, seconds = (Fraction(part) for part in parts)
    except ValueError:
        return None
    return hours * 3600 + minutes * 60 + seconds
