"""Maps from file to file: several planes of both kinds in one pass."""

from __future__ import annotations

import json

import numpy as np
import pytest

from propagate.commands.maps import open_maps
from propagate.errors import InputError
from propagate.runs.request import Request
from propagate.runs.settings import SettingLayers
from rendered import render, write_clip

FLAGS = {"size": 96, "context": 2, "topk": 5}
LAYERS = SettingLayers(flags=FLAGS)


def do(request, words, **options):
    run = open_maps(request, words, **options)
    try:
        list(run)
        return run.notes
    finally:
        run.close()


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    folder = tmp_path_factory.mktemp("maps")
    clip = render(size=(96, 128), frames=4, likeness=0.0, occluder=False)
    write_clip(folder / "clip.mp4", clip.frames)
    parts = clip.masks[0] * 7
    np.savez(folder / "map.npz", parts=parts, depth=np.full((96, 128), 2.5, np.float32))
    return folder, clip


def test_planes_of_both_kinds(project, tmp_path):
    folder, clip = project
    notes = do(
        Request(str(folder / "clip.mp4"), tmp_path / "out", layers=LAYERS),
        [str(folder / "map.npz")],
    )
    assert "depth: 1 channel of values" in notes
    assert "parts: 2 categories (0, 7)" in notes
    for index in range(4):
        planes = np.load(tmp_path / "out" / "maps" / f"{index:05d}.npz")
        assert planes["parts"].shape == (96, 128)
        np.testing.assert_allclose(planes["depth"], 2.5, atol=1e-4)
    assert ((planes["parts"] == 7) == (clip.masks[3] > 0)).mean() > 0.95
    lines = (tmp_path / "out" / "results.jsonl").read_text().splitlines()
    assert [json.loads(line)["source"] for line in lines] == ["annotated", *["propagated"] * 3]


def test_a_second_file_fixes_its_own_planes(project, tmp_path):
    folder, clip = project
    np.save(tmp_path / "parts.npy", clip.masks[2] * 9)
    words = [str(folder / "map.npz"), f"2={tmp_path / 'parts.npy'}"]
    do(Request(str(folder / "clip.mp4"), tmp_path / "out", layers=LAYERS), words)
    planes = np.load(tmp_path / "out" / "maps" / "00002.npz")
    np.testing.assert_array_equal(planes["parts"], clip.masks[2] * 9)
    np.testing.assert_allclose(planes["depth"], 2.5, atol=1e-4)  # kept its prediction


def test_numbers_as_values(project, tmp_path):
    folder, _ = project
    do(
        Request(str(folder / "clip.mp4"), tmp_path / "out", layers=LAYERS),
        [str(folder / "map.npz")],
        kind="value",
    )
    assert np.load(tmp_path / "out" / "maps" / "00001.npz")["parts"].dtype == np.float32


def test_planes_that_disagree_are_refused(project, tmp_path):
    folder, _ = project
    np.savez(tmp_path / "other.npz", depth=np.zeros((96, 128, 2), np.float32))
    words = [str(folder / "map.npz"), f"2={tmp_path / 'other.npz'}"]
    with pytest.raises(InputError, match="'depth' has 2 channels"):
        do(Request(str(folder / "clip.mp4"), tmp_path / "out", layers=LAYERS), words)
    assert not (tmp_path / "out").exists()
