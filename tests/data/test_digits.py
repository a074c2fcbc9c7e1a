"""scikit-learn's digits."""

import numpy as np
import pytest
from ml_collections import ConfigDict

from flowgmm_jax.data import datasets


@pytest.fixture(scope="module")
def dataset():
    return datasets.load(ConfigDict({"name": "digits", "data_dir": "", "split_seed": 0}))


def test_shapes_and_grey_levels(dataset):
    assert dataset.x_train.shape == (1437, 8, 8, 1)
    assert dataset.x_test.shape == (360, 8, 8, 1)
    assert dataset.x_train.dtype == np.uint8
    assert (dataset.x_train.min(), dataset.x_train.max()) == (0, 16)
    assert dataset.info == datasets.Info((8, 8, 1), 10, 17)


def test_the_test_set_is_stratified_and_fixed(dataset):
    again = datasets.load(ConfigDict({"name": "digits", "data_dir": "", "split_seed": 5}))
    np.testing.assert_array_equal(dataset.x_test, again.x_test)
    counts = np.bincount(dataset.y_test)
    assert counts.min() >= 34 and counts.max() <= 38


def test_load_test_gives_the_test_half(dataset):
    x, y = datasets.load_test(ConfigDict({"name": "digits", "data_dir": "", "split_seed": 0}))
    np.testing.assert_array_equal(x, dataset.x_test)
    np.testing.assert_array_equal(y, dataset.y_test)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x_train": np.zeros((2, 8, 8, 1), np.float32)}, "x_train is float32.*expected uint8"),
        ({"x_test": np.zeros((2, 8, 8), np.uint8)}, r"x_test is uint8 \(2, 8, 8\)"),
        ({"x_test": np.zeros((0, 8, 8, 1), np.uint8)}, r"x_test is uint8 \(0, "),
        ({"x_train": np.full((1437, 8, 8, 1), 17, np.uint8)}, "grey level 17; expected 0..16"),
        ({"y_train": np.zeros(1437, np.int64)}, "y_train is int64.*expected int32"),
        ({"y_train": np.zeros(3, np.int32)}, r"y_train is int32 \(3,\)"),
        ({"y_train": np.full(1437, 10, np.int32)}, "labels 10..10; expected -1..9"),
        ({"y_test": np.full(360, -1, np.int32)}, "labels -1..-1; expected 0..9"),
    ],
)
def test_check_names_what_is_wrong(dataset, change, message):
    with pytest.raises(ValueError, match=message) as caught:
        datasets.check(dataset._replace(**change), "somewhere")
    assert str(caught.value).startswith("somewhere: ")
    assert "\n" not in str(caught.value)


def test_an_unknown_name_is_refused():
    with pytest.raises(ValueError, match="config.data.name='minst' is unknown.*mnist, .*folder"):
        datasets.info(ConfigDict({"name": "minst"}))
