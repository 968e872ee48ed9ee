"""Opening a file and passing over its packets, tolerant of damage: the one place where PyAV's reading errors end."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import av
from av.container import InputContainer
from av.packet import Packet
from av.stream import Disposition, Stream
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from propagate.errors import InputError
from propagate.files import cannot_read, kind_of

_LOG = logging.getLogger(__name__)
_ATTEMPTS = 8  # errors in a row after which the rest of a file is given up
_RAW_SUFFIXES = {
    "h261": (".h261", ".261"),
    "h263": (".h263", ".263"),
    "h264": (".h264", ".264", ".avc", ".h26l", ".26l"),
    "hevc": (".hevc", ".h265", ".265"),
    "vvc": (".vvc", ".h266", ".266"),
    "m4v": (".m4v", ".mpeg4"),
    "mpegvideo": (".mpg", ".mpeg", ".mpv", ".m1v", ".m2v"),
    "mjpeg": (".mjpg", ".mjpeg", ".jpg"),
    "cavsvideo": (".cavs", ".avs"),
    "dirac": (".drc", ".vc2"),
    "vc1": (".vc1",),
    "obu": (".obu", ".av1"),
}
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
    if (url := re.match(r"([a-z][a-z0-9+.-]+):/", name, re.IGNORECASE)) and not path.exists():
        hint = "download it first, such as with curl or yt-dlp, and give the file"
        raise InputError(f"{name}: an address ({url[1]}), not a file", hint=hint)
    kind = _kind(path, name)
    if kind != "a file":
        raise InputError(f"{name}: {kind}, not a video", hint="give a video or a folder of images")
    if path.stat().st_size == 0:
        raise InputError(f"{name}: the file is empty", hint="copy or download the video again")
    try:
        return av.open(f"file:{path}", "r", metadata_errors="replace")
    except PermissionError as error:
        raise cannot_read(path, error, name=name) from error
    except (av.FFmpegError, OSError, ValueError) as error:
        raise InputError(
            f"{name}: not a video that FFmpeg can open ({_cause(error)})", hint=_open_hint(path)
        ) from error


def _kind(path: Path, name: str) -> str:
    try:
        return kind_of(path)
    except InputError as error:
        if "no such file" in str(error):
            raise InputError(f"{name}: no such file or folder", hint="check the path of the video") from error
        raise


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
    _refuse_pictures(container, name)
    moving = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
    stream = container.streams.best("video")
    if stream not in moving:
        stream = moving[0] if moving else None
    if not isinstance(stream, VideoStream) or stream.codec_context is None:
        raise _no_video(container, decodable=not moving, name=name)
    if stream.codec_context.name in _NOT_VIDEO:
        raise InputError(f"{name}: a text file, not a video", hint="give a video or a folder of images")
    stream.codec_context.thread_type = "AUTO"
    return stream


def _refuse_pictures(container: InputContainer, name: str) -> None:
    """Refuse a file that holds one picture, which FFmpeg opens as a video of one frame."""
    if not container.format.name.endswith("_pipe"):
        return
    kind = container.format.name.removesuffix("_pipe")
    if kind == "svg":
        raise InputError(f"{name}: an SVG drawing, not a video", hint="give a video or a folder of images")
    if kind == "webp" and _is_animated_webp(Path(container.name.removeprefix("file:"))):
        hint = "convert it to mp4, or to a folder of PNGs"
        raise InputError(f"{name}: an animated WebP, which this build of FFmpeg cannot decode", hint=hint)
    hint = "the video comes first, then its labels: VIDEO LABEL...; give a folder for pictures as a video"
    raise InputError(f"{name}: a single picture ({kind}), not a video", hint=hint)


def _is_animated_webp(path: Path) -> bool:
    with path.open("rb") as file:
        head = file.read(21)
    return head[12:16] == b"VP8X" and len(head) == 21 and bool(head[20] & 2)


def _no_video(container: InputContainer, *, decodable: bool, name: str) -> InputError:
    if not decodable:
        return InputError(f"{name}: its video is of a kind that cannot be decoded", hint="convert it to h264 in mp4")
    if container.streams.video:
        hint = "a cover picture is no video; give a file with moving pictures"
        return InputError(f"{name}: a sound file with a cover picture", hint=hint)
    held = ", ".join(sorted({stream.type for stream in container.streams})) or "nothing"
    return InputError(f"{name}: holds no video that can be decoded, only {held}", hint="give a file with pictures")


def is_raw_guess(container: InputContainer, path: Path) -> bool:
    """Return whether FFmpeg took a file for a bare stream of pictures that its name does not promise.

    Such streams have next to no head, so that random bytes may pass for one.
    """
    return path.suffix.lower() not in _RAW_SUFFIXES.get(container.format.name, (path.suffix.lower(),))


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
