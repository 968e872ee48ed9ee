"""What a video is before any picture is decoded: streams, times, what is wrong; pipes are copied to a file first."""

from __future__ import annotations

import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

from av.container import InputContainer
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from propagate.errors import InputError, OutputError
from propagate.files import is_folder, kind_of
from propagate.video.color import color_of
from propagate.video.folder import probe_folder
from propagate.video.info import SourceKind, VideoInfo
from propagate.video.packets import Damage, best_video, decode_packets, is_raw_guess, open_file
from propagate.video.planes import depth_of, display_turn
from propagate.video.table import PacketTable, read_table, seconds_lost

_PIECE = 1 << 20  # bytes copied at a time
_FEWEST_RAW = 3  # pictures that noise does not pass for


def needs_spool(source: str | Path) -> bool:
    """Return whether `source` is "-" or a named pipe."""
    if str(source) == "-":
        return True
    try:
        return kind_of(Path(source)) == "a pipe"
    except InputError:  # said when it is opened
        return False


@contextmanager
def spooled(source: str | Path) -> Iterator[Path]:
    """Yield a temporary file with all that a pipe gives; it is removed at the end.

    Args:
        source: "-" for standard input, or a named pipe.

    Raises:
        InputError: nothing came, or standard input is no pipe or file.
        OutputError: the temporary folder has no room.
    """
    with tempfile.NamedTemporaryFile(prefix="propagate-", suffix=".video") as file:
        try:
            _copy(source, Path(file.name))
        except OSError as error:
            hint = "set TMPDIR to a folder with room, or give a file"
            raise OutputError(f"{source}: cannot be copied to {file.name}: {error.strerror}", hint=hint) from error
        if Path(file.name).stat().st_size == 0:
            raise InputError(f"{source}: the pipe gave no bytes", hint="check the command that feeds it")
        yield Path(file.name)


def _copy(source: str | Path, target: Path) -> None:
    with target.open("wb") as out:
        if str(source) == "-":
            shutil.copyfileobj(_standard_input(), out, _PIECE)
            return
        with Path(source).open("rb") as pipe:
            shutil.copyfileobj(pipe, out, _PIECE)


def _standard_input() -> BinaryIO:
    """Return standard input's bytes.

    Raises:
        InputError: it is closed, a terminal or a folder.
    """
    hint = "feed the video in, such as with: propagate ... - < clip.mkv"
    if sys.stdin is None or sys.stdin.closed:
        raise InputError("-: standard input is closed", hint=hint)
    if sys.stdin.isatty():
        raise InputError("-: standard input is a terminal, no video", hint=hint)
    try:
        mode = os.fstat(sys.stdin.fileno()).st_mode
    except (OSError, ValueError):  # not a file of the system's, as in tests
        mode = 0
    if stat.S_ISDIR(mode):
        raise InputError("-: standard input is a folder", hint="give the folder's name instead of -")
    return sys.stdin.buffer


_HDR = {"smpte2084": "PQ", "arib_std_b67": "HLG"}


def probe(source: str | Path, *, matrix: str | None = None) -> VideoInfo:
    """Return what is known of a video file, a folder of images, or "-" for standard input (which is read to its end).

    Args:
        source: the file, the folder, or "-".
        matrix: the YUV matrix ("601", "709", "2020") that overrides the stream's tag.

    Raises:
        InputError: nothing there can be read as video.
        ConfigError: there is no such matrix.
    """
    if needs_spool(source):
        with spooled(source) as path:
            return probe_file(path, name=str(source), kind="stdin", matrix=matrix)
    if is_folder(Path(source)):
        return probe_folder(Path(source))
    return probe_file(Path(source), name=str(source), matrix=matrix)


def probe_file(path: Path, *, name: str, kind: SourceKind = "file", matrix: str | None = None) -> VideoInfo:
    """Return what is known of one video file.

    Args:
        path: the file to open.
        name: what the info and messages call it.
        kind: "file" or "stdin".
        matrix: the YUV matrix that overrides the stream's tag.

    Raises:
        InputError: the file is no video, or nothing in it decodes.
        ConfigError: there is no such matrix.
    """
    with open_file(path, name=name) as container:
        stream = best_video(container, name=name)
        table = read_table(container, stream)
        lost = seconds_lost(container, stream, table)
        if len(table.pts) < _FEWEST_RAW and is_raw_guess(container, path):
            hint = "give a video; a bare stream needs its own suffix, such as .h264"
            raise InputError(f"{name}: not a video, nothing in it but noise fits one", hint=hint)
    with open_file(path, name=name) as container:
        stream = best_video(container, name=name)
        frame = _first_frame(container, stream, name=name)
        return _describe(container, stream, frame, table, name=name, kind=kind, matrix=matrix, lost=lost)


def _first_frame(container: InputContainer, stream: VideoStream, *, name: str) -> VideoFrame:
    damage = Damage()
    for frame in decode_packets(container, stream, damage=damage):
        if frame is not None:
            return frame
    cause = damage.messages[0] if damage.messages else "it holds no packets"
    raise InputError(f"{name}: not one picture could be decoded ({cause})", hint="the file is damaged; copy it again")


def _describe(
    container: InputContainer,
    stream: VideoStream,
    frame: VideoFrame,
    table: PacketTable,
    *,
    name: str,
    kind: SourceKind,
    matrix: str | None,
    lost: float,
) -> VideoInfo:
    color, notes = color_of(frame, matrix=matrix)
    angle, mirrored = display_turn(frame)
    rotation = round(angle / 90) * 90 % 360
    turned = rotation % 180 != 0
    aspect = Fraction(stream.sample_aspect_ratio or 1)
    return VideoInfo(
        path=name,
        kind=kind,
        width=frame.height if turned else frame.width,
        height=frame.width if turned else frame.height,
        frames=len(table.pts),
        duration=table.duration(stream),
        rate=table.rate,
        time_base=table.time_base,
        pts=tuple(table.pts),
        start=table.start,
        variable_rate=table.variable_rate,
        rotation=rotation,
        mirrored=mirrored,
        sample_aspect=1 / aspect if turned else aspect,
        codec=stream.codec_context.name,
        pix_fmt=frame.format.name,
        bit_depth=depth_of(frame),
        color=color,
        audio=len(container.streams.audio),
        timed=table.timed,
        stamps=tuple(table.stamps),
        lost=table.lost,
        ends_early=lost > 0,
        problems=(*_time_problems(stream, table, lost), *_picture_problems(container, stream, frame), *notes),
    )


def _time_problems(stream: VideoStream, table: PacketTable, lost: float) -> list[str]:
    found = len(table.pts) - table.lost
    damaged = table.damage.demux + table.corrupt
    counted = f"the header says {stream.frames} frames"
    cut = table.hidden and stream.frames > found and not damaged and not lost
    checks = (
        (not stream.frames, f"no frame count in the header: {found} frames counted"),
        (not cut and stream.frames and stream.frames != found, f"{counted}, the file holds {found}"),
        (cut, f"{counted}, {found} are shown: the file's edit list cuts the others"),
        (table.lost, f"frames lost to damage: {table.lost}; they keep their places"),
        (lost > 0, f"the file ends early: {lost:.2f} s that the header promises are missing"),
        (table.variable_rate, "variable frame rate: times come from the stream, never from frame / rate"),
        (table.duplicates, f"frames with the same time as the frame before: {table.duplicates}"),
        (not table.timed, "no reliable times in the stream: frames are counted"),
        (damaged, f"damaged packets: {damaged}"),
    )
    return [line for condition, line in checks if condition]


def _picture_problems(container: InputContainer, stream: VideoStream, frame: VideoFrame) -> list[str]:
    color, _ = color_of(frame)
    angle, mirrored = display_turn(frame)
    videos = sum(not s.disposition & Disposition.attached_pic for s in container.streams.video)
    aspect = stream.sample_aspect_ratio or 1
    checks = (
        (round(angle), f"rotated: stored pictures are turned {angle:.0f} degrees counter-clockwise for display"),
        (round(angle) % 90, f"a rotation of {angle:.0f} degrees is rounded to a quarter turn"),
        (mirrored, "mirrored: stored pictures are mirrored left to right for display"),
        (frame.width % 2 or frame.height % 2, f"odd size: {frame.width}x{frame.height} as stored"),
        (aspect != 1, f"pixels are not square: {aspect} wide to high as stored; pixels are kept as they are"),
        (color.transfer in _HDR, f"high dynamic range ({_HDR.get(color.transfer)}): shown without tone mapping"),
        (frame.interlaced_frame, "interlaced: two fields in every picture"),
        (videos > 1, f"{videos} video streams: stream {stream.index} is used"),
    )
    return [line for condition, line in checks if condition]
