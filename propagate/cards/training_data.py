"""What a training run was learnt from: a table of its videos by folder and licence, without a path of this machine."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from propagate.errors import ConfigError
from propagate.training.data.decoding import UNREADABLE
from propagate.training.data.footage import Footage
from propagate.training.data.prepared import open_footage
from propagate.training.data.sources import Manifests, absolute, find_videos, group_of, manifest_rows
from propagate.video import probe

TIER = "license_tier"  # a column of a manifest
UNKNOWN = "unknown"  # where no manifest says


def data_table(words: Sequence[str], *, used: Mapping[Path, float] | None = None) -> list[dict[str, Any]]:
    """Return the videos that words mean, counted by folder and licence tier.

    Args:
        words: as `find_videos` takes them.
        used: the seconds of the videos that were used; None counts all videos, as long as a manifest or they say.

    Returns:
        A row each: `folder`, `license_tier`, `clips`, `minutes`, `sources` (names that manifests give, sorted).

    Raises:
        InputError: a word means nothing.
    """
    rows = _rows(words)
    seconds = {path: _seconds(path, row) for path, row in rows.items()} if used is None else used
    groups: dict[tuple[str, str], list[Path]] = {}
    for path in rows:
        if path in seconds:
            groups.setdefault((path.parent.name, rows[path].get(TIER) or UNKNOWN), []).append(path)
    return [
        {
            "folder": folder,
            TIER: tier,
            "clips": len(paths),
            "minutes": _minutes(seconds[path] for path in paths),
            "sources": sorted({name for path in paths if (name := group_of(rows[path])) is not None}),
        }
        for (folder, tier), paths in sorted(groups.items())
    ]


def used_footage(folder: Path, words: Sequence[str], *, digest: str) -> Footage:
    """Return prepared footage after checking that it is what a run was learnt from, and what the words mean.

    Args:
        folder: as given to `--prepare`.
        words: that name its videos, or none.
        digest: of the run's footage.

    Raises:
        ConfigError: it is other footage, or of other videos.
        InputError: there is none, or a word means nothing.
    """
    footage = open_footage(folder)
    if footage.digest != digest:
        found = f"its digest is {footage.digest}, the run's {digest}"
        raise ConfigError(f"{folder}: is not the footage of this run: {found}", hint="give what the run was given")
    if words:
        known = {shot.source for shot in footage.shots} | {path for path, _ in footage.skipped}
        odd = sorted(known ^ {source.path for source in find_videos(words).videos})
        if odd:
            raise ConfigError(f"VIDEOS are not those of {folder}: {len(odd)} are in one only, such as {odd[0].name}")
    return footage


def seconds_of(footage: Footage) -> dict[Path, float]:
    """Return how much of each video its shots hold, in seconds."""
    found: dict[Path, float] = {}
    for shot in footage.shots:
        found[shot.source] = found.get(shot.source, 0.0) + shot.frames / shot.rate
    return found


def footage_record(footage: Footage, *, held_out: float, seed: int) -> dict[str, Any]:
    """Return what was learnt from and what was held out for validation: shots and minutes."""
    learnt, held = footage.split_held_out(held_out, seed)
    return {
        "shots": len(learnt.shots),
        "minutes": _minutes([learnt.seconds]),
        "held_out_shots": len(held.shots),
        "held_out_minutes": _minutes([held.seconds]),
    }


def _rows(words: Sequence[str]) -> dict[Path, dict[str, str]]:
    """Return the videos that words mean and what manifests say of them, those that are words first."""
    tables = [absolute(Path(word).expanduser()) for word in words if word.lower().endswith(".csv")]
    named = dict(row for table in tables for row in manifest_rows(table))
    beside = Manifests()
    return {source.path: named.get(source.path) or beside.row(source.path) for source in find_videos(words).videos}


def _seconds(path: Path, row: Mapping[str, str]) -> float:
    """Return the length of a video as its manifest or its header says, 0 when neither can be read."""
    with suppress(ValueError, KeyError):
        return float(row["seconds"])
    with suppress(*UNREADABLE):
        return probe(path).duration
    return 0.0


def _minutes(seconds: Iterable[float]) -> float:
    return round(sum(seconds) / 60, 2)
