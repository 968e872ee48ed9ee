"""Runs command lines in forks of one process that has imported everything: a run costs 0.2 s, not 3 s.

As a script it is that process: a JSON line in, a JSON line out. `Forks` is the tests' side of it.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Result:
    """What a command line did."""

    code: int
    out: str
    err: str


class Forks:
    """The process that forks; use it as a context manager."""

    def __enter__(self) -> Self:
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        for name in ("PROPAGATE_WEIGHTS", "PROPAGATE_DEVICE"):
            environment.pop(name, None)
        self._server = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        return self

    def __exit__(self, *error: object) -> None:
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._server.stdin.close()
        self._server.stdout.close()
        self._server.wait()

    def __call__(self, *words: object, cwd: Path, **how: Any) -> Result:
        """Run `propagate WORDS`.

        Args:
            words: the arguments.
            cwd: where.
            how: `env`; `stdin` a path; `signal` sent after `delay` seconds or once the file `lines` has `at_least`
                lines; `file_limit` bytes that a file may have; `head` lines of stdout that are read before it closes;
                `closed` numbers of standard streams that are closed; `full` numbers of those on a full disk;
                `encoding` of the streams, as PYTHONIOENCODING sets it; `user` whose number it takes.
        """
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        request = {"words": [str(word) for word in words], "cwd": str(cwd), **how}
        self._server.stdin.write(json.dumps(request, default=str) + "\n")
        self._server.stdin.flush()
        return Result(**json.loads(self._server.stdout.readline()))


def serve() -> None:
    """Answer requests until stdin ends."""
    import secrets  # noqa: F401, needed late by a run; another user may not read the standard library

    import torch

    from propagate.cli.group import COMMANDS, load_command

    for name in COMMANDS:
        load_command(name)
    import propagate.commands.keypoints
    import propagate.commands.masks
    import propagate.encoders.trunk
    import propagate.encoders.weights
    import propagate.engine.pipeline
    import propagate.labels.keypoints
    import propagate.labels.masks
    import propagate.render.overlay  # noqa: F401

    torch.set_num_threads(1)
    for line in sys.stdin:
        print(json.dumps(_run(json.loads(line))), flush=True)


def _run(request: dict[str, Any]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        out, err = Path(folder, "out"), Path(folder, "err")
        out.touch()
        err.touch()
        pipe = os.pipe() if request.get("head") else None
        child = os.fork()
        if child == 0:
            _become(request, out, err, pipe)
        text = _head(pipe, request["head"]) if pipe else None
        _send(child, request)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        return {"code": code, "out": out.read_text() if text is None else text, "err": err.read_text()}


def _become(request: dict[str, Any], out: Path, err: Path, pipe: tuple[int, int] | None) -> None:
    """Be the command line; does not return."""
    code: object = 1
    try:
        os.chdir(request["cwd"])
        os.environ.update(request.get("env", {}))
        os.dup2(os.open(request.get("stdin", os.devnull), os.O_RDONLY), 0)
        os.dup2(pipe[1] if pipe else os.open(out, os.O_WRONLY), 1)
        os.dup2(os.open(err, os.O_WRONLY), 2)
        for end in pipe or ():
            os.close(end)
        sys.stdin = open(0)  # noqa: SIM115
        _spoil(request)
        sys.argv = ["propagate", *request["words"]]
        from propagate.cli.app import main

        main()
    except SystemExit as exit_:
        code = exit_.code or 0
    except KeyboardInterrupt:  # it came before the command line was there
        code = 130
    finally:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
        os._exit(code if isinstance(code, int) else 1)


def _spoil(request: dict[str, Any]) -> None:
    """Put the process in the state that a careless caller leaves it in."""
    if "file_limit" in request:
        resource.setrlimit(resource.RLIMIT_FSIZE, (request["file_limit"], resource.RLIM_INFINITY))
    if "encoding" in request:
        encoding, _, errors = request["encoding"].partition(":")
        sys.stdout.reconfigure(encoding=encoding, errors=errors or "strict")  # type: ignore[union-attr]
        sys.stderr.reconfigure(encoding=encoding)  # type: ignore[union-attr]
    if "user" in request:
        os.setuid(request["user"])
    for number in request.get("full", ()):
        os.dup2(os.open("/dev/full", os.O_WRONLY), number)
    for number in request.get("closed", ()):
        os.close(number)
        setattr(sys, ("stdin", "stdout", "stderr")[number], None)


def _head(pipe: tuple[int, int], lines: int) -> str:
    os.close(pipe[1])
    with os.fdopen(pipe[0]) as reader:
        return "".join(reader.readline() for _ in range(lines))


def _send(child: int, request: dict[str, Any]) -> None:
    """Send the child its signal when it is time."""
    if "signal" not in request:
        return
    end = time.monotonic() + request.get("delay", 20)
    while time.monotonic() < end and not _there(request):
        time.sleep(0.001)
    os.kill(child, signal.Signals[request["signal"]])


def _there(request: dict[str, Any]) -> bool:
    path = Path(request["lines"]) if "lines" in request else None
    return path is not None and path.exists() and path.read_bytes().count(b"\n") >= request["at_least"]


if __name__ == "__main__":
    serve()
