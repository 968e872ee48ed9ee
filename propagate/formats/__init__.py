"""Files to annotations and back, one module a format; nothing here knows of video decoding or of torch.

Masks: `annotations.read_masks` (command-line words), `indexed_png` (one file). Points: `point_files.read_points`
(any of `FORMATS`, recognised by content). Pictures: `images.read_picture`. Maps: `maps`. A run's log: `results`.

`FORMATS` names the point formats. Each entry is a `points.PointFormat` with `read(path, stems=None) -> PointSet` and
`write(path, tracks)`; a new one is one file and one line here.
"""

from __future__ import annotations

from propagate.registry import Registry

FORMATS = Registry(
    "format",
    {
        "csv": "propagate.formats.csv_points:LONG",
        "csv-wide": "propagate.formats.csv_points:WIDE",
        "json": "propagate.formats.json_points:JSON",
        "jsonl": "propagate.formats.json_points:JSONL",
        "deeplabcut": "propagate.formats.deeplabcut:DEEPLABCUT",
    },
)
