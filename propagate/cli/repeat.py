"""`--config OUT/run.yaml` alone: the words that repeat a run, from what its record says of its inputs and options."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from propagate.errors import ConfigError

Record = Mapping[str, Any]


def repeated(words: Sequence[str]) -> list[str] | None:
    """Return the words of a command line without inputs, and those of the record that its `--config` names.

    What the command line says itself comes last, and wins. None where there is no record of that command.

    Args:
        words: a command and its options, such as ["masks", "--config", "out/run.yaml"].

    Raises:
        ConfigError: the record is of another command, or says nothing of its inputs.
    """
    file = _value_of(words, "--config")
    if file is None or not words or words[0] not in _OPTIONS:
        return None
    record = _read(Path(file))
    if record is None:
        return None
    if record["command"] != words[0]:
        raise ConfigError(f"{file}: is the record of `propagate {record['command']}`, not of {words[0]}")
    base = Path(file).parent
    video = record["inputs"].get("video", {}).get("path")
    if video is None:
        raise ConfigError(f"{file}: its video came from standard input", hint="name the video and the labels")
    options = _OPTIONS[words[0]](record.get("options", {}))
    return [words[0], _path(base, video), *_labels(record, base), *_range(record), *options, *words[1:]]


def _value_of(words: Sequence[str], option: str) -> str | None:
    """Return the value of an option, None where it is not given."""
    for word, after in zip(words, [*words[1:], None], strict=True):
        if word == option:
            return after
        if word.startswith(f"{option}="):
            return word.partition("=")[2]
    return None


def _read(path: Path) -> Record | None:
    """Return what a record holds; None for a file of settings alone."""
    from propagate.config import read_yaml

    content = read_yaml(path)
    ours = isinstance(content, dict) and isinstance(content.get("inputs"), dict) and "command" in content
    return content if ours else None


def _labels(record: Record, base: Path) -> list[str]:
    """Return the label words: folders once, files with the frame that was named."""
    words = []
    for label in record["inputs"].get("labels", ()):
        path = Path(_path(base, label["path"]))
        if label.get("folder"):
            words.append(str(path.parent))
        elif label["frame"] is None:
            words.append(str(path))
        else:
            words.append(f"{label['frame']}{'!' * bool(label['complete'])}={path}")
    return list(dict.fromkeys(words))


def _path(base: Path, name: str) -> str:
    return os.path.normpath(base / name)


def _range(record: Record) -> list[str]:
    options = record.get("options", {})
    return [word for name in ("start", "end", "cuts") if name in options for word in (f"--{name}", str(options[name]))]


def _masks(options: Record) -> list[str]:
    switches = {"--soft": options.get("soft"), "--resize-labels": options.get("resize_labels")}
    grey = {"binary": ["--binary"], "ids": ["--ids"]}.get(options.get("grey", "auto"), [])
    step = ["--label-step", str(options["label_step"])] if options.get("label_step") else []
    return [*grey, *(name for name, on in switches.items() if on), *step, *_absent(options)]


def _keypoints(options: Record) -> list[str]:
    joined = ",".join(f"{first}:{second}" for first, second in options.get("skeleton", ()))
    return ["--format", options["format"], *(["--skeleton", joined] if joined else []), *_absent(options)]


def _absent(options: Record) -> list[str]:
    return [word for said in options.get("absent", ()) for word in ("--absent", said)]


def _video(options: Record) -> list[str]:
    named = {"--codec": options.get("codec"), "--crf": options.get("crf"), "--pix-fmt": options.get("pix_fmt")}
    return [word for name, value in named.items() if value is not None for word in (name, str(value))]


def _maps(options: Record) -> list[str]:
    return {"probability": ["--categories"], "value": ["--values"]}.get(options.get("kind") or "", [])


def _visualize(options: Record) -> list[str]:
    if "point" not in options:
        return []
    x, y = options["point"]
    return ["--point", f"{x},{y}", "--frame", str(options["frame"])]


_OPTIONS: Mapping[str, Callable[[Record], list[str]]] = {
    "masks": _masks,
    "keypoints": _keypoints,
    "colorize": _video,
    "texture": _video,
    "maps": _maps,
    "visualize": _visualize,
}
