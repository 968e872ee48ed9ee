"""Maps: what kind they are, what is refused, and writing the same bytes."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from propagate.errors import InputError
from propagate.formats.maps import read_maps, write_map

HALVES = np.full((2, 3, 2), 0.5)


@pytest.fixture
def npz(tmp_path: Path) -> Path:
    return tmp_path / "maps.npz"


@pytest.mark.parametrize(
    ("array", "kind", "shape"),
    [
        (np.eye(2, 3, dtype=int), "probability", (2, 3)),
        (np.eye(2, 3, dtype=bool), "probability", (2, 3)),
        (HALVES, "probability", (2, 3, 2)),
        (HALVES * [1, -1], "value", (2, 3, 2)),
        (HALVES + 1, "value", (2, 3, 2)),
        (np.ones((2, 3)), "value", (2, 3, 1)),
        (np.ones((2, 3, 3), np.uint8), "value", (2, 3, 3)),
    ],
)
def test_kinds(npz: Path, array: NDArray[np.generic], kind: str, shape: tuple[int, ...]) -> None:
    np.savez(npz, map=array)
    (plane,) = read_maps(npz, size=(2, 3))
    assert (plane.name, plane.kind, plane.array.shape) == ("map", kind, shape)
    assert np.array_equal(plane.array.reshape(array.shape), array)


def test_the_caller_decides(npz: Path) -> None:
    np.savez(npz, one=np.full((2, 3), 0.25), two=HALVES)
    one, _ = read_maps(npz, kind="probability")
    assert one.array[0, 0].tolist() == [0.75, 0.25]
    assert [plane.kind for plane in read_maps(npz, kind="value")] == ["value", "value"]
    np.savez(npz, ids=np.eye(2, dtype=int))
    assert read_maps(npz, kind="value")[0].array.dtype == np.float32
    np.savez(npz, map=HALVES + 1)
    with pytest.raises(InputError, match=r"'map' holds no probabilities: least 1.5, sums 3 to 3 \(normalise"):
        read_maps(npz, kind="probability")


def test_npy_is_called_by_its_stem(tmp_path: Path) -> None:
    np.save(tmp_path / "depth.npy", np.ones((2, 3)))
    assert read_maps(tmp_path / "depth.npy")[0].name == "depth"


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.ones(3), r"'map' must be \(H, W\) or \(H, W, d\), not \(3,\)"),
        (np.ones((2, 3), complex), "'map' holds complex128, not numbers"),
        (np.array([["a"]]), "'map' holds <U1, not numbers"),
        (np.array([[np.nan, 1, np.inf]]), "'map' has 2 numbers that are NaN or infinite"),
        (np.array([[-1], [2], [2]]).T, "'map' has categories from -1 to 2"),
        (np.ones((4, 4)), r"the map 'map' is 4x4 but the video is 3x1 \(resize the map\)"),
    ],
)
def test_refused(npz: Path, array: NDArray[np.generic], message: str) -> None:
    np.savez(npz, map=array)
    with pytest.raises(InputError, match=message):
        read_maps(npz, size=(1, 3))


def test_files_that_are_no_maps(npz: Path) -> None:
    with pytest.raises(InputError, match="there is no such file"):
        read_maps(npz)
    np.savez(npz, map=np.array([[{}]], dtype=object))
    with pytest.raises(InputError, match="the array 'map' holds Python objects, not numbers"):
        read_maps(npz)
    npz.write_bytes(b"PK\x03\x04 cut")
    with pytest.raises(InputError, match=r"not a .npy or .npz file of numbers"):
        read_maps(npz)
    write_map(npz, {})
    with pytest.raises(InputError, match="no array in this file"):
        read_maps(npz)


def test_equal_arrays_give_equal_bytes(npz: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_map(npz, {"b": HALVES, "a": np.arange(6).reshape(2, 3)})
    first = npz.read_bytes()
    monkeypatch.setattr(time, "time", lambda: 2e9)
    write_map(npz, {"a": np.arange(6).reshape(2, 3), "b": HALVES})
    assert npz.read_bytes() == first
    assert [plane.name for plane in read_maps(npz)] == ["a", "b"]
    assert [path.name for path in npz.parent.iterdir()] == ["maps.npz"]
