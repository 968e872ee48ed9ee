"""`propagate info`."""

from __future__ import annotations

from dataclasses import asdict
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from propagate.cli import console
from propagate.cli.options import Json, Video

if TYPE_CHECKING:
    from propagate.video import VideoInfo


def info(video: Video, *, json: Json = False) -> None:
    """Say what a video is and what is unusual about it: frames, times, rotation, colour, damage.

    Example:  propagate info clip.mp4
    """
    from propagate.video import probe

    found = probe(video)
    if json:
        console.show_json(as_json(found))
        return
    for name, value in _lines(found):
        console.show(f"{name:<10} {value}")


def as_json(found: VideoInfo) -> dict[str, Any]:
    """Return what is known of a video as plain data, with the time of every frame in seconds."""
    plain = {name: _plain(value) for name, value in asdict(found).items() if name not in ("pts", "stamps")}
    return {**plain, "times": [round(found.time(index), 6) for index in range(len(found.pts))]}


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, Fraction) else value


def _lines(found: VideoInfo) -> list[tuple[str, str]]:
    rate = "unknown" if found.rate is None else f"{float(found.rate):.3f}".rstrip("0").rstrip(".")
    steady = "variable rate" if found.variable_rate else "constant rate"
    lines = [
        ("video", f"{found.path} ({found.kind})"),
        ("size", f"{found.width}x{found.height}"),
        ("frames", str(found.frames if found.frames is not None else "unknown")),
        ("duration", f"{found.duration:.3f} s, {rate} frames/s, {steady}"),
        ("times", f"{found.time(0):.3f} to {found.time(len(found.pts) - 1):.3f} s" if found.pts else "none"),
        ("rotation", f"{found.rotation} degrees{', mirrored' if found.mirrored else ''}"),
        ("codec", f"{found.codec}, {found.pix_fmt}, {found.bit_depth} bit"),
        ("colour", f"{found.matrix}, {found.range} range, primaries {found.primaries}, transfer {found.transfer}"),
        ("sound", f"{found.audio} stream{'' if found.audio == 1 else 's'}"),
    ]
    return [*lines, *(("note", line) for line in found.problems)]
