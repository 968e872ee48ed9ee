"""The packet table: every frame's time, from one pass over the packets without decoding.

Headers lie (mkv holds no frame count, a cut mp4 still promises all its frames), packets do not: 8 MB take 2 ms.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise

import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.stream import Stream
from av.video.stream import VideoStream

from propagate.video.packets import Damage, is_shown, read_packets

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
