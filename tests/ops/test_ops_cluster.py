from __future__ import annotations

import numpy as np
import pytest

from propagate.ops.cluster import fit_clusters, nearest_cluster

MIDDLES = np.array([[-60.0, 20.0], [0.0, 0.0], [20.0, 40.0], [70.0, -30.0]])


def blobs(*, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    points = np.concatenate([middle + random.normal(0, 1, (200, 2)) for middle in MIDDLES])
    return random.permutation(points)


def test_blobs_apart_are_found_in_order() -> None:
    np.testing.assert_allclose(fit_clusters(blobs(), count=4), MIDDLES, atol=0.5)


def test_centres_are_the_means_of_their_members() -> None:
    points = blobs()
    centres = fit_clusters(points, count=7)
    nearest = nearest_cluster(points, centres)
    means = [points[nearest == one].mean(axis=0) for one in range(7)]
    np.testing.assert_allclose(centres, means, atol=1e-3)


def test_of_equal_a_the_lower_b_comes_first() -> None:
    points = np.array([[0.0, 9.0], [0.0, -9.0], [-5.0, 0.0]])
    assert fit_clusters(points, count=3).tolist() == [[-5.0, 0.0], [0.0, -9.0], [0.0, 9.0]]


def test_equal_data_gives_equal_centres() -> None:
    np.testing.assert_array_equal(fit_clusters(blobs()), fit_clusters(blobs()))
    np.testing.assert_allclose(fit_clusters(blobs(), count=4, seed=3), fit_clusters(blobs(), count=4), atol=1e-9)


def test_fewer_colours_than_clusters() -> None:
    points = np.repeat(MIDDLES[:2], 5, axis=0)
    centres = fit_clusters(points, count=16)
    assert centres.shape == (16, 2)
    assert {tuple(centre) for centre in centres} == {tuple(middle) for middle in MIDDLES[:2]}
    assert len(set(nearest_cluster(points, centres).tolist())) == 2
    assert np.array_equal(fit_clusters(np.zeros((1, 2)), count=3), np.zeros((3, 2)))


def test_the_nearest_and_of_two_equally_near_the_lower() -> None:
    centres = np.array([[0.0, 0.0], [10.0, 0.0], [10.0, 0.0]])
    ab = np.array([[[4.9, 0.0], [5.0, 0.0], [5.1, 0.0]]])
    assert nearest_cluster(ab, centres).tolist() == [[0, 0, 1]]
    assert nearest_cluster(ab[:, :0], centres).shape == (1, 0)


def test_integer_colours_are_taken() -> None:
    assert nearest_cluster(np.array([[9, 1]]), np.array([[0, 0], [10, 0]])).tolist() == [1]


@pytest.mark.parametrize("bad", [np.zeros((0, 2)), np.zeros((5, 3)), np.array([[np.nan, 0.0]])])
def test_what_cannot_be_clustered_is_refused(bad: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"colours must be \(N, 2\), finite"):
        fit_clusters(bad)


def test_a_colour_that_is_not_finite_has_no_cluster() -> None:
    with pytest.raises(ValueError, match="infs or NaNs"):
        nearest_cluster(np.array([[np.nan, 0.0]]), MIDDLES)


def test_colours_of_another_shape_are_refused() -> None:
    with pytest.raises(ValueError, match=r"not \(4, 3\) and \(4, 2\)"):
        nearest_cluster(np.zeros((4, 3)), MIDDLES)
