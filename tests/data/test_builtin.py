"""The two-dimensional sets: sizes, classes, seeds, and where their few labels lie."""

import numpy as np
import pytest

from flowgmm_jax.config import load_config
from flowgmm_jax.data import builtin, datasets
from flowgmm_jax.errors import InputError
from flowgmm_jax.validation import validate

PUBLISHED = {
    "moons": [5, 5],
    "circles": [4, 7],
    "eight_gaussians": [7, 7, 5],
    "pinwheel": [3, 3, 3, 2, 2],
}


@pytest.mark.parametrize("name", builtin.SETS)
def test_a_set_is_a_function_of_its_seed(name):
    first, again, other = (builtin.load(name, seed) for seed in (3, 3, 4))
    datasets.check(first)
    assert first.x_train.shape == first.x_test.shape == (1000, 2)
    np.testing.assert_array_equal(first.x_train, again.x_train)
    np.testing.assert_array_equal(first.x_test, again.x_test)
    assert not np.array_equal(first.x_train, other.x_train)
    assert not np.array_equal(first.x_train, first.x_test)
    assert first.info == builtin.info(name)
    assert np.unique(first.y_train).tolist() == list(range(first.info.num_classes))


@pytest.mark.parametrize("name", builtin.SETS)
@pytest.mark.parametrize("seed", [0, 1])
def test_the_published_number_of_points_is_labelled(name, seed):
    labeled = builtin.labeled_indices(name, seed)
    assert labeled.dtype == np.int64
    assert np.array_equal(labeled, np.unique(labeled))
    assert np.bincount(builtin.load(name, seed).y_train[labeled]).tolist() == PUBLISHED[name]
    assert not np.array_equal(labeled, builtin.labeled_indices(name, seed + 1))


def test_every_gaussian_has_two_labels_and_adjacent_ones_share_a_class():
    dataset = builtin.load("eight_gaussians", 0)
    angle = np.arctan2(dataset.x_train[:, 1], dataset.x_train[:, 0])
    gaussian = np.round(angle / (np.pi / 4)).astype(int) % 8
    assert np.bincount(gaussian[builtin.labeled_indices("eight_gaussians", 0)]).min() >= 2
    classes = [np.bincount(dataset.y_train[gaussian == index]).argmax() for index in range(8)]
    assert classes == [0, 0, 0, 1, 1, 1, 2, 2]
    radius = np.linalg.norm(dataset.x_train, axis=1)
    assert abs(radius.mean() - 2.8) < 0.05


def test_labels_are_spread_along_the_arms():
    dataset = builtin.load("pinwheel", 0)
    labeled = builtin.labeled_indices("pinwheel", 0)
    radius = np.linalg.norm(dataset.x_train, axis=1)
    for arm in range(5):
        members = np.sort(radius[dataset.y_train == arm])
        position = np.searchsorted(members, radius[labeled[dataset.y_train[labeled] == arm]])
        assert np.diff(np.sort(position)).min() > 200 / 3 - 20


def test_moons_and_circles_have_the_published_shape():
    moons, circles = builtin.load("moons", 0), builtin.load("circles", 0)
    upper = moons.x_train[moons.y_train == 0]
    assert np.abs(np.linalg.norm(upper, axis=1) - 1).std() < 0.1
    radius = np.linalg.norm(circles.x_train, axis=1)
    assert abs(radius[circles.y_train == 0].mean() - 1.0) < 0.02
    assert abs(radius[circles.y_train == 1].mean() - 0.4) < 0.02


def test_a_negative_seed_is_refused():
    with pytest.raises(InputError, match="config.data.split_seed is -1, expected an integer, 0 to"):
        validate(load_config("moons", split_seed=-1))
