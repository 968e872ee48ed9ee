"""A rendered clip with its mask and points, and command lines that run in forks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from cli.forked import Forks

from rendered import Clip, render, write_clip, write_mask


@pytest.fixture(scope="session")
def clip() -> Clip:
    return render(size=(96, 128), frames=12, likeness=0, occluder=False)


@pytest.fixture(scope="session")
def project(clip: Clip, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("project")
    write_clip(folder / "clip.mp4", clip.frames)
    write_mask(folder / "mask.png", clip.masks[0])
    rows = [f"0,p{number},{x:.3f},{y:.3f}" for number, (x, y) in enumerate(clip.points_xy[0, :3])]
    (folder / "points.csv").write_text("\n".join(["frame,name,x,y", *rows]) + "\n")
    return folder


@pytest.fixture(scope="session")
def propagate() -> Iterator[Forks]:
    with Forks() as forks:
        yield forks
