"""The record of a run in its folder, and whether what is there is of the same run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from propagate.errors import ConflictError
from propagate.jobs.fingerprint import differences


def is_same_run(path: Path, record: Mapping[str, Any], *, force: bool) -> bool | None:
    """Return whether the record at `path` is of the run that `record` describes; None when there is none.

    Args:
        path: of a run.yaml.
        record: as `fingerprint.run_record` shapes it.
        force: another run there is no error; False is returned.

    Raises:
        ConflictError: another run is there; what differs is named.
    """
    there = _read(path)
    if there is None:
        return None
    found = differences(there, record)
    if found and not force:
        more = f" and {len(found) - 3} more" if len(found) > 3 else ""
        hint = "give another -o, or --force to do it again"
        raise ConflictError(f"{path.parent}: holds another run: {'; '.join(found[:3])}{more}", hint=hint)
    return not found


def _read(path: Path) -> dict[str, Any] | None:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return None
    return content if isinstance(content, dict) else None
