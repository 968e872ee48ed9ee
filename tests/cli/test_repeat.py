"""`--config OUT/run.yaml` alone repeats a run: the words that it stands for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from propagate.cli.repeat import repeated
from propagate.errors import ConfigError

VIDEO = {"name": "clip.mp4", "path": "../clip.mp4", "bytes": 1, "sha256": "00"}


def write(folder: Path, command: str, *, labels: list[dict[str, Any]] | None = None, **options: Any) -> str:
    inputs = {"video": VIDEO, "labels": labels or []}
    (folder / "out").mkdir()
    file = folder / "out/run.yaml"
    file.write_text(yaml.safe_dump({"command": command, "inputs": inputs, "options": options, "settings": {}}))
    return str(file)


def label(path: str, frame: int | None = None, *, complete: bool = False, **more: Any) -> dict[str, Any]:
    return {"path": path, "frame": frame, "complete": complete, **more}


def test_masks_with_all_forms_of_labels(tmp_path: Path) -> None:
    labels = [
        label("../a.png"),
        label("../m/0.png", folder=True),
        label("../m/1.png", folder=True),
        label("../b.png", 12),
        label("c.png", 20, complete=True),
    ]
    options = {"soft": True, "grey": "ids", "resize_labels": False, "label_step": 5, "absent": ["1@3", "2@4:6"]}
    file = write(tmp_path, "masks", labels=labels, start=3, end=9, **options)
    at = str(tmp_path)
    words = [f"{at}/clip.mp4", f"{at}/a.png", f"{at}/m", f"12={at}/b.png", f"20!={at}/out/c.png"]
    assert repeated(["masks", "--config", file, "-q"]) == [
        *("masks", *words, "--start", "3", "--end", "9", "--ids", "--soft", "--label-step", "5"),
        *("--absent", "1@3", "--absent", "2@4:6"),
        *("--config", file, "-q"),
    ]


@pytest.mark.parametrize(
    ("command", "options", "words"),
    [
        ("keypoints", {"format": "json", "skeleton": [["a", "b-c"]]}, ["--format", "json", "--skeleton", "a:b-c"]),
        ("keypoints", {"format": "csv", "absent": ["a@3"]}, ["--format", "csv", "--absent", "a@3"]),
        ("colorize", {"codec": "ffv1", "crf": 16, "pix_fmt": None}, ["--codec", "ffv1", "--crf", "16"]),
        ("maps", {"kind": "value"}, ["--values"]),
        ("maps", {"kind": None}, []),
        ("visualize", {"point": [2.5, 3.0], "frame": 4}, ["--point", "2.5,3.0", "--frame", "4"]),
    ],
)
def test_the_options_of_each_command(tmp_path: Path, command: str, options: dict[str, Any], words: list[str]) -> None:
    file = write(tmp_path, command, **options)
    assert repeated([command, f"--config={file}"]) == [command, f"{tmp_path}/clip.mp4", *words, f"--config={file}"]


def test_a_record_of_another_command_is_refused(tmp_path: Path) -> None:
    file = write(tmp_path, "maps")
    with pytest.raises(ConfigError, match="is the record of `propagate maps`, not of masks"):
        repeated(["masks", "--config", file])


def test_a_file_of_settings_alone_repeats_nothing(tmp_path: Path) -> None:
    (tmp_path / "often.yaml").write_text("checkpoint: 3\n")
    assert repeated(["masks", "--config", str(tmp_path / "often.yaml")]) is None
    assert repeated(["masks", "-q"]) is None
    assert repeated(["doctor"]) is None
