"""Packets into a container: encoded video, and sound and subtitles of another file copied beside it."""

from __future__ import annotations

import heapq
import logging
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path

import av
from av.container import InputContainer, OutputContainer
from av.packet import Packet
from av.stream import Disposition, Stream
from av.video.stream import VideoStream

from propagate.video.encoder import EncoderSettings, configure
from propagate.video.packets import Damage, open_file, read_packets
from propagate.video.segments import EncodedFrame

_LOG = logging.getLogger(__name__)
_OF_THE_CONTAINER = ("major_brand", "minor_version", "compatible_brands", "encoder", "creation_time", "duration")
_PICTURES = {"png": "png", "mjpeg": "jpeg", "bmp": "bmp", "gif": "gif", "webp": "webp"}
_MKV_TICK = Fraction(1, 1000)


def mux_video(
    target: Path,
    packets: Iterator[EncodedFrame],
    *,
    name: str,
    container: str,
    settings: EncoderSettings,
    copy_from: Path | None,
    span: tuple[float, float] | None,
) -> None:
    """Write a container of encoded video, with sound, subtitles, attachments, chapters and metadata of `copy_from`.

    The bytes depend on the arguments alone: no creation time, no library version.

    Args:
        target: the file to write.
        packets: the video's packets, times ascending.
        name: what warnings call the file, which lies under a temporary name meanwhile.
        container: FFmpeg's name of the container.
        settings: what the packets were encoded with.
        copy_from: a file whose other streams are copied as they are; those that do not fit are left out with a warning.
        span: seconds on `copy_from`'s clock outside which its packets are dropped.
    """
    options = {"fflags": "+bitexact"} | ({} if container == "matroska" else {"movflags": "+faststart"})
    with ExitStack() as stack:
        out = stack.enter_context(av.open(f"file:{target}", "w", format=container, container_options=options))
        video = _add_video(out, settings)
        timed = _video_packets(packets, video, settings, container=container)
        if copy_from is None:
            streams: list[Iterator[tuple[Fraction, Packet[Stream]]]] = [timed]
        else:
            source = stack.enter_context(open_file(copy_from, name=str(copy_from)))
            streams = [timed, _copied_packets(source, _add_copies(out, source, name), span)]
            _copy_metadata(out, source)
        for _, packet in heapq.merge(*streams, key=lambda item: item[0]):
            out.mux(packet)


def _add_video(out: OutputContainer, settings: EncoderSettings) -> VideoStream:
    video = out.add_stream(settings.encoder, rate=settings.rate)
    assert isinstance(video, VideoStream)
    configure(video.codec_context, settings)
    video.time_base = settings.time_base
    return video


def _video_packets(
    frames: Iterator[EncodedFrame], stream: VideoStream, settings: EncoderSettings, *, container: str
) -> Iterator[tuple[Fraction, Packet[Stream]]]:
    """Packets with times in seconds; each lasts until the next one, the last as long as the one before."""
    tick = _MKV_TICK if container == "matroska" else settings.time_base
    ascending = _in_ticks(frames, settings.time_base, tick)
    current = next(ascending)
    duration = max(1, round(1 / (settings.rate * tick)))
    for following in ascending:
        duration = following.pts - current.pts
        yield current.pts * tick, _packet(current, stream, tick, duration)
        current = following
    yield current.pts * tick, _packet(current, stream, tick, duration)


def _in_ticks(frames: Iterator[EncodedFrame], base: Fraction, tick: Fraction) -> Iterator[EncodedFrame]:
    last: int | None = None
    for frame in frames:
        pts = round(frame.pts * base / tick)
        last = pts if last is None else max(pts, last + 1)
        yield EncodedFrame(last, frame.keyframe, frame.data)


def _packet(frame: EncodedFrame, stream: VideoStream, tick: Fraction, duration: int) -> Packet[Stream]:
    packet: Packet[Stream] = Packet(frame.data)
    packet.stream = stream
    packet.time_base = tick
    packet.pts = packet.dts = frame.pts
    packet.duration = duration
    packet.is_keyframe = frame.keyframe
    return packet


def _add_copies(out: OutputContainer, source: InputContainer, name: str) -> dict[int, Stream]:
    """Add the streams of `source` that fit: source index -> new stream; the others are named in warnings."""
    copies: dict[int, Stream] = {}
    for stream in (*source.streams.audio, *source.streams.subtitles):
        try:
            copy = out.add_stream_from_template(stream)
        except ValueError:
            codec = stream.codec_context.name if stream.codec_context else "of an unknown kind"
            _say_left_out(name, f"{stream.type} {codec}", out)
            continue
        if stream.language:
            copy.metadata.update({"language": stream.language})
        copies[stream.index] = copy
    _add_attachments(out, source, name)
    for stream in source.streams.data:
        handler = stream.metadata.get("handler_name") or stream.metadata.get("HANDLER_NAME") or "of an unknown kind"
        _LOG.warning("%s: a stream of data (%s) is left out", name, handler)
    return copies


def _add_attachments(out: OutputContainer, source: InputContainer, name: str) -> None:
    """Copy what is attached (fonts, cover pictures) into a container that holds attachments."""
    attached = [
        (stream.name or f"attachment {stream.index}", stream.mimetype or "application/octet-stream", stream.data)
        for stream in source.streams.attachments
    ]
    covers = [stream for stream in source.streams.video if stream.disposition & Disposition.attached_pic]
    for stream, packet in _cover_packets(source, covers):
        kind = _PICTURES.get(stream.codec_context.name, "octet-stream")
        attached.append((f"cover.{kind.replace('jpeg', 'jpg')}", f"image/{kind}", bytes(packet)))
    for title, mimetype, data in attached:
        if out.format.name == "matroska" and data is not None:
            out.add_attachment(title, mimetype, bytes(data))
        else:
            _say_left_out(name, f"the attachment {title}", out)


def _cover_packets(
    source: InputContainer, covers: Sequence[VideoStream]
) -> Iterator[tuple[VideoStream, Packet[Stream]]]:
    """Yield the one packet of each cover picture, which comes before all others, and go back to the start."""
    if not covers:
        return
    wanted = {stream.index: stream for stream in covers}
    for packet in read_packets(source, *covers, damage=Damage()):
        if packet.stream_index in wanted:
            yield wanted.pop(packet.stream_index), packet
        if not wanted:
            break
    source.seek(0)


def _say_left_out(name: str, what: str, out: OutputContainer) -> None:
    message = "%s: %s does not fit into %s and is left out; write to .mkv to keep it"
    _LOG.warning(message, name, what, out.format.name.partition(",")[0])


def _copy_metadata(out: OutputContainer, source: InputContainer) -> None:
    kept = {key: value for key, value in source.metadata.items() if key.lower() not in _OF_THE_CONTAINER}
    out.metadata.update(kept)
    if chapters := source.chapters():
        out.set_chapters(chapters)


def _copied_packets(
    source: InputContainer, copies: dict[int, Stream], span: tuple[float, float] | None
) -> Iterator[tuple[Fraction, Packet[Stream]]]:
    if not copies:
        return
    streams = [source.streams[index] for index in copies]
    for packet in read_packets(source, *streams, damage=Damage()):
        stamp = packet.dts if packet.dts is not None else packet.pts
        if stamp is None:
            continue
        seconds = stamp * packet.time_base
        if span is not None and not span[0] <= seconds < span[1]:
            continue
        packet.stream = copies[packet.stream_index]
        yield seconds, packet
