"""The cache of flows: nothing is computed twice, and nothing wrong is read back."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from textured import SIZE, square, still, texture

from propagate.baselines import PROPAGATORS
from propagate.baselines import flow as flow_module
from propagate.baselines.flow import at_scale
from propagate.baselines.flow_cache import cached, pair_digest
from propagate.errors import OutputError
from propagate.labels.masks import MaskLabels
from propagate.values import Annotation

ONE, TWO = texture(0), texture(1)


class Counting:
    """An estimator that counts its calls; its flows need rounding."""

    def __init__(self):
        self.calls = 0

    def __call__(self, target, reference):
        self.calls += 1
        return np.full((2, *target.shape[:2]), 70.01, np.float32)


def test_the_second_time_nothing_is_computed(tmp_path):
    counting = Counting()
    first = cached(counting, tmp_path / "deep" / "flows", key="a")(ONE, TWO)
    again = cached(counting, tmp_path / "deep" / "flows", key="a")(ONE, TWO)
    assert counting.calls == 1
    np.testing.assert_array_equal(first, again)
    assert first.dtype == again.dtype == np.float32
    assert first[0, 0, 0] == np.float16(70.01)
    assert len(list((tmp_path / "deep" / "flows").iterdir())) == 1


def test_the_other_direction_another_key_and_another_picture_are_computed(tmp_path):
    counting = Counting()
    cached(counting, tmp_path, key="a")(ONE, TWO)
    cached(counting, tmp_path, key="a")(TWO, ONE)
    cached(counting, tmp_path, key="b")(ONE, TWO)
    changed = TWO.copy()
    changed[-1, -1, -1] ^= 1
    cached(counting, tmp_path, key="a")(ONE, changed)
    assert counting.calls == 4


def test_another_scale_is_another_flow(tmp_path):
    counting = Counting()
    for scale in (1.0, 0.5, 0.5, 1.0):
        at_scale(cached(counting, tmp_path, key="a"), scale)(ONE, TWO)
    assert counting.calls == 2


def test_a_digest_knows_where_one_picture_ends():
    flat = np.zeros((4, 4, 3), np.uint8)
    assert pair_digest(flat, flat[:2], key="") != pair_digest(flat[:2], flat, key="")
    assert pair_digest(flat.reshape(2, 8, 3), flat, key="") != pair_digest(flat, flat, key="")
    turned = np.asfortranarray(ONE)
    assert pair_digest(turned, TWO, key="") == pair_digest(ONE, TWO, key="")


def damaged_files():
    yield "empty", lambda path: path.write_bytes(b"")
    yield "no archive", lambda path: path.write_bytes(b"hello")
    yield "cut", lambda path: path.write_bytes(path.read_bytes()[:-40])
    yield "a bit", lambda path: path.write_bytes(flip(path.read_bytes()))
    yield "another size", lambda path: np.savez(path, flow=np.zeros((2, 3, 3), np.float16))
    yield "another type", lambda path: np.savez(path, flow=np.zeros((2, *SIZE)))
    yield "not finite", lambda path: np.savez(path, flow=np.full((2, *SIZE), np.nan, np.float16))
    yield "no flow", lambda path: np.savez(path, other=np.zeros(1))
    yield "objects", lambda path: np.savez(path, flow=np.array([None, {}], object))


def flip(data: bytes) -> bytes:
    middle = len(data) // 3
    return data[:middle] + bytes([data[middle] ^ 255]) + data[middle + 1 :]


@pytest.mark.parametrize("damage", [damage for _, damage in damaged_files()], ids=[name for name, _ in damaged_files()])
def test_a_damaged_file_is_computed_again(tmp_path, damage, caplog):
    counting = Counting()
    lookup = cached(counting, tmp_path, key="a")
    right = lookup(ONE, TWO)
    (file,) = tmp_path.iterdir()
    damage(file)
    with caplog.at_level(logging.WARNING):
        np.testing.assert_array_equal(lookup(ONE, TWO), right)
    assert counting.calls == 2
    assert "computed again" in caplog.text
    lookup(ONE, TWO)
    assert counting.calls == 2


def test_a_flow_too_long_for_a_file_is_cut_and_read_back(tmp_path):
    calls = []

    def wild(target, reference):
        calls.append(1)
        return np.stack([np.full(SIZE, 1e6, np.float32), np.full(SIZE, np.nan, np.float32)])

    for _ in range(2):
        flow = cached(wild, tmp_path, key="a")(ONE, TWO)
        assert flow[0, 0, 0] == np.finfo(np.float16).max
        assert flow[1, 0, 0] == 0
    assert len(calls) == 1


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"file/flows: cannot be made: Not a directory"):
        cached(Counting(), tmp_path / "file" / "flows", key="a")


def test_thresholds_share_their_flows(tmp_path, monkeypatch):
    counting = Counting()
    monkeypatch.setattr(flow_module, "tvl1", counting)
    for threshold in (0.3, 0.5):
        given = [Annotation(0, square(4), (1,))]
        list(PROPAGATORS["flow"](still(3), given, label_type=MaskLabels((1,)), threshold=threshold, cache=tmp_path))
    assert counting.calls == 1  # a still picture: every pair is the same


def test_without_a_folder_nothing_is_kept():
    counting = Counting()
    assert cached(counting, None, key="a") is counting
