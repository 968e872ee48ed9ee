"""The table of a video's pictures, from one pass over the packets: the time of each, those that are lost included.

An index is a place in this table, so a picture that damage has swallowed must keep its place. An mp4's index knows it;
elsewhere it shows as a gap of whole intervals in a steady rate, at a spot where the file has a hole (bytes that belong
to no packet), a packet that is marked as damaged or has no time. Gaps without such a sign are dropped frames of a
variable rate and are left alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import pairwise

import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.stream import Stream
from av.video.stream import VideoStream
from numpy.typing import NDArray

from propagate.video.packets import Damage, is_shown, read_packets

_STEADY = 0.0025  # seconds: intervals that differ by less are one rate, rounded (mkv rounds to 1 ms)
_MICROSECONDS = 1_000_000  # FFmpeg's unit of a container's duration
_INDEXED = ("mov,mp4", "gif", "apng", "ogg")  # containers whose table damage leaves whole, or whose gaps are meant
_FROM_ZERO = ("matroska", "nut")  # containers whose duration is counted from 0, not from the first packet
_TS_HEADS = 600  # bytes of tables and padding between two pictures of a transport stream
_HOLE = 64  # bytes between two packets of other containers: heads of blocks, clusters and chunks are shorter
_TS_UNITS = (188, 192, 204)  # bytes of a transport stream's packets: plain, with times (.m2ts), with check bytes
_NEAR = 4  # packets before and after a gap in which a sign of damage counts
_LONGEST_GAP = 10.0  # seconds; beyond, the clock has jumped
_STRAY = 25  # intervals by which a single time lies apart from both its neighbours: its bits are damaged


@dataclass
class PacketTable:
    """What one pass over the packets gives; `pts` is complete after `read_table`.

    Attributes:
        time_base: seconds per tick.
        rate: average frames per second, None when unknown.
        pts: presentation times in ticks, ascending, duplicates kept.
        start: seconds at which the container's clock starts.
        timed: false when pictures cannot be told by their times (a raw stream, B-frames in an AVI) and are counted.
        stamps: the times that decoded pictures carry, where damage has shifted them against `pts`; empty if it has not.
        lost: how many of `pts` have no packet in the file.
        hidden: packets whose pictures an edit list or the codec does not show.
        sized: whether packets say how long they last.
        corrupt: packets that the container marks as damaged.
        ends: stream index -> end of its last packet in seconds.
        damage: errors met on the way.
    """

    time_base: Fraction
    rate: Fraction | None
    pts: list[int] = field(default_factory=list)
    start: Fraction = Fraction(0)
    timed: bool = True
    stamps: list[int] = field(default_factory=list)
    lost: int = 0
    hidden: int = 0
    sized: bool = False
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


@dataclass(frozen=True)
class _Seen:
    """A picture's packet in the order of the file: its time, its size, whether damage shows there, bytes before it."""

    stamp: int | None
    size: int
    doubtful: bool
    hole: int = 0


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
    seen = _pass_over(container, stream, table, by_decoding=guessed)
    timed = [packet.stamp for packet in seen if packet.stamp is not None]
    table.timed = 2 * len(timed) > len(seen)  # a packet without a time among others is damage, most of them are not
    if not table.timed:
        step = 1 / (table.time_base * (rate or 25))
        table.pts = [round(index * step) for index in range(len(seen))]
        return table
    table.pts = sorted(timed)
    if container.format.name == "avi":
        _restore_chunks(table, stream, seen)
    elif not container.format.name.startswith(_INDEXED):
        ends_early = seconds_lost(container, stream, table) > 0
        seen = [*seen[:-1], replace(seen[-1], doubtful=True)] if ends_early else seen
        _restore_gaps(table, seen, anywhere=container.format.name == "mpegts")
    table.timed = not guessed
    return table


def _pass_over(container: InputContainer, stream: VideoStream, table: PacketTable, *, by_decoding: bool) -> list[_Seen]:
    """Return the packets of pictures that are shown, in the order of the file; the table learns the rest."""
    ground = _Ground(transport=container.format.name == "mpegts", unit=_unit(container))
    seen: list[_Seen] = []
    errors, hole, torn = 0, 0, False
    for packet in read_packets(container, damage=table.damage):
        _note_end(table, packet)
        hole += (missing := ground.hole_before(packet))
        torn = torn or table.damage.demux > errors or missing > 0
        errors = table.damage.demux
        if packet.stream_index != stream.index:
            continue
        if not is_shown(packet):
            table.hidden += 1
            continue
        stamp = packet.dts if by_decoding else packet.pts
        table.corrupt += packet.is_corrupt
        seen.append(_Seen(stamp, packet.size, packet.is_corrupt or torn or stamp is None, hole))
        hole, torn = 0, False
    return seen


def _unit(container: InputContainer) -> int:
    return 192 if container.name.lower().endswith((".m2ts", ".mts")) else 188


@dataclass
class _Ground:
    """How far the packets of a file have covered its bytes.

    Attributes:
        transport: the file is a transport stream.
        unit: bytes of its packets, of which 184 are a picture's.
        end: the end of the last packet, of whatever stream.
        start: its start.
    """

    transport: bool
    unit: int
    end: int | None = None
    start: int = 0

    def hole_before(self, packet: Packet[Stream]) -> int:
        """Return how many bytes before a packet belong to none, 0 where no more are than heads and padding need."""
        if packet.pos is None:
            return 0
        stored = -(-packet.size // 184) * self.unit if self.transport else packet.size
        end, start = self.end, self.start
        self.end, self.start = max(end or 0, packet.pos + stored), packet.pos
        if end is None:
            return 0
        hole = packet.pos - end
        shifted = all((packet.pos - start) % unit for unit in _TS_UNITS) if self.transport else hole < 0
        return max(hole, 1) if shifted or hole > (_TS_HEADS if self.transport else _HOLE) else 0


def _restore_gaps(table: PacketTable, seen: list[_Seen], *, anywhere: bool) -> None:
    """Give pictures that are lost at damaged spots of a steady stream their places.

    Args:
        table: is changed.
        seen: the packets.
        anywhere: a sign of damage anywhere in the file stands for all gaps, as where reception was poor.
    """
    if not any(packet.doubtful for packet in seen) or len(seen) < 3:
        return
    table.pts, strays = _without_strays(seen, step=_median_step(table.pts))
    doubtful = _doubtful_times(seen, strays)
    times = np.array(table.pts, np.int64)
    step = _steady_step(np.diff(times), tick=table.time_base)
    if step is None:
        return
    filled: list[int] = [table.pts[0]]
    for earlier, later in pairwise(table.pts):
        count = round((later - earlier) / step)
        whole = count > 1 and abs(later - earlier - count * step) < max(0.2 * step, 2)
        near = anywhere or any(earlier - _NEAR * step <= time <= later + _NEAR * step for time in doubtful)
        if whole and near and (later - earlier) * table.time_base <= _LONGEST_GAP:
            filled += [earlier + round(place * (later - earlier) / count) for place in range(1, count)]
            table.lost += count - 1
        filled.append(later)
    table.pts = filled


def _median_step(stamps: list[int]) -> float:
    return float(np.median(np.diff(np.array(stamps, np.int64))))


def _without_strays(seen: list[_Seen], *, step: float) -> tuple[list[int], set[int]]:
    """Return the times in order without single ones that lie apart from both neighbours, and where those stood."""
    stamps = [packet.stamp for packet in seen]
    strays: set[int] = set()
    for place, stamp in enumerate(stamps):
        around = [s for s in (*stamps[max(0, place - 2) : place], *stamps[place + 1 : place + 3]) if s is not None]
        if stamp is None or len(around) < 2 or step <= 0:
            continue
        middle = float(np.median(around))
        if abs(stamp - middle) > _STRAY * step and max(abs(s - middle) for s in around) <= _STRAY * step:
            strays.add(place)
    kept = sorted(s for place, s in enumerate(stamps) if s is not None and place not in strays)
    return kept, strays


def _doubtful_times(seen: list[_Seen], strays: set[int]) -> list[int]:
    """Return the times of damaged spots: of the packet there and of the one before it in the file."""
    found: list[int] = []
    before: int | None = None
    for place, packet in enumerate(seen):
        stamp = None if place in strays else packet.stamp
        if packet.doubtful or place in strays:
            found += [time for time in (before, stamp) if time is not None]
        before = before if stamp is None else stamp
    return found


def _steady_step(steps: NDArray[np.int64], *, tick: Fraction) -> float | None:
    """Return the interval of a stream of one rate, None where intervals vary."""
    middle = float(np.median(steps))
    even = steps[np.abs(steps - middle) <= max(0.1 * middle, 1.01, _STEADY / 2 / float(tick))]
    return float(even.mean()) if middle > 0 and len(even) >= 0.8 * len(steps) else None


def _restore_chunks(table: PacketTable, stream: VideoStream, seen: list[_Seen]) -> None:
    """Give the chunks that an AVI's index names but the file has lost their places.

    An AVI's times only count the chunks that are found, so a picture behind a lost one carries a time too small.
    """
    entries = [entry for entry in stream.index_entries if entry.size > 0]
    if len(entries) > len(seen):
        places = _aligned([entry.size for entry in entries], [packet.size for packet in seen])
        times = sorted(entry.timestamp for entry in entries)
    elif (missing := _uncounted(table, stream)) > 0 and any(packet.hole for packet in seen):
        places = _behind_holes(missing, seen)
        times = _with_missing(places, table.pts, tick=round(_median_step(table.pts)))
    else:
        return
    carried, held = iter(table.pts), set(places)
    last = table.pts[0] - 1
    for place in range(len(times)):
        last = next(carried) if place in held else last
        table.stamps.append(last)
    table.pts = times
    table.lost = len(times) - len(seen)


def _uncounted(table: PacketTable, stream: VideoStream) -> int:
    """Return how many more frames an AVI's head says than its times have counted; empty chunks are counted too."""
    step = max(1.0, _median_step(table.pts)) if len(table.pts) > 1 else 1.0
    return int((stream.frames - (table.pts[-1] - table.pts[0] + step)) // step)


def _behind_holes(missing: int, seen: list[_Seen]) -> list[int]:
    """Return the place of each packet when `missing` others have filled the holes, more of them in larger holes."""
    total = sum(packet.hole for packet in seen)
    covered, places = 0, []
    for number, packet in enumerate(seen):
        covered += packet.hole
        places.append(number + round(missing * covered / total))
    return places


def _with_missing(places: list[int], found: list[int], *, tick: int) -> list[int]:
    """Return the times of all places: those of pictures that are found, later by `tick` for each one lost before."""
    times: list[int] = []
    before = 0
    for number, (place, time) in enumerate(zip(places, found, strict=True)):
        lost = place - number
        times += (time + by * tick for by in range(before, lost))
        times.append(time + lost * tick)
        before = lost
    return times


def _aligned(whole: list[int], found: list[int]) -> list[int]:
    """Return for each of `found` its place in `whole`, ascending: the next place of the same size, if one is left."""
    places: list[int] = []
    following = 0
    for number, size in enumerate(found):
        spare = len(whole) - len(found) - (following - number)  # places that may still be passed over
        options = whole[following : following + spare + 1]
        following += options.index(size) if size in options else 0
        places.append(following)
        following += 1
    return places


def _clock_start(container: InputContainer) -> Fraction:
    starts = [s.start_time * s.time_base for s in container.streams if s.start_time is not None and s.time_base]
    return max(Fraction(0), min(starts, default=Fraction(0)))


def _note_end(table: PacketTable, packet: Packet[Stream]) -> None:
    stamp = packet.pts if packet.pts is not None else packet.dts
    base = packet.stream.time_base
    table.sized = table.sized or bool(packet.duration)
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
        counted_from = 0 if container.format.name.startswith(_FROM_ZERO) else table.start
        lost.append(Fraction(container.duration, _MICROSECONDS) + counted_from - max(table.ends.values()))
    missing = float(max(lost)) - (0 if table.sized else table.interval)
    return missing if missing > max(0.1, 2 * table.interval) else 0.0


def _tagged_duration(stream: VideoStream) -> Fraction | None:
    """Matroska's DURATION tag, "00:00:04.000000000": the end of the stream in seconds."""
    parts = stream.metadata.get("DURATION", "").rstrip("\0").split(":")
    try:
        hours, minutes, seconds = (Fraction(part) for part in parts)
    except ValueError:
        return None
    return hours * 3600 + minutes * 60 + seconds
