"""Labelled, unlabelled and validation examples."""

import os
from pathlib import Path

import numpy as np
import pytest
from ml_collections import ConfigDict

from flowgmm_jax.config import load_config
from flowgmm_jax.data import builtin, datasets, published, splits
from flowgmm_jax.errors import InputError
from flowgmm_jax.validation import validate

REAL = Path(os.environ.get("FLOWGMM_DATA", "no data")).resolve()
PUBLISHED_SPLITS = sorted((REAL.parent / "splits").glob("mnist_*.npz"))


def config(**fields):
    defaults = {
        "name": "npz",
        "data_dir": "",
        "num_labels": 9,
        "split_file": "",
        "split_seed": 0,
        "validation": 0,
    }
    return ConfigDict(defaults | fields)


@pytest.fixture(scope="module")
def dataset():
    """Sixty small images of three classes of different sizes, five of them without label."""
    generator = np.random.default_rng(0)
    x = generator.integers(0, 256, (60, 4, 4, 1), np.uint8)
    y = np.array([0] * 30 + [1] * 15 + [2] * 10 + [-1] * 5, np.int32)
    shuffled = generator.permutation(60)
    return datasets.Dataset(x, y[shuffled], x[:1], y[:1], datasets.Info((4, 4, 1), 3, 256))


def images(dataset, indices):
    return {image.tobytes() for image in dataset.x_train[indices]}


def check_partition(split, size):
    joined = np.concatenate(split)
    assert np.array_equal(np.sort(joined), np.arange(size))
    for indices in split:
        assert indices.dtype == np.int64 and np.array_equal(indices, np.sort(indices))


def test_labels_and_validation_are_class_balanced(dataset):
    split = splits.make_split(dataset, config(num_labels=11, validation=7))
    check_partition(split, 60)
    assert np.bincount(dataset.y_train[split.labeled]).tolist() == [4, 4, 3]
    assert np.bincount(dataset.y_train[split.validation]).tolist() == [3, 2, 2]


@pytest.mark.parametrize("num_labels", [9, -1])
def test_a_split_is_the_same_images_in_any_order(dataset, num_labels):
    shuffled = np.random.default_rng(1).permutation(60)
    other = dataset._replace(x_train=dataset.x_train[shuffled], y_train=dataset.y_train[shuffled])
    data = config(num_labels=num_labels, validation=6)
    for here, there in zip(
        splits.make_split(dataset, data), splits.make_split(other, data), strict=True
    ):
        assert images(dataset, here) == images(other, there)


def test_the_seed_changes_the_labels(dataset):
    first, second = (splits.make_split(dataset, config(split_seed=seed)) for seed in (0, 1))
    assert not np.array_equal(first.labeled, second.labeled)


def test_the_labels_are_the_same_with_and_without_validation(dataset):
    without, with_validation = (
        splits.make_split(dataset, config(validation=number)) for number in (0, 6)
    )
    np.testing.assert_array_equal(without.labeled, with_validation.labeled)
    assert not np.intersect1d(with_validation.validation, without.labeled).size


def test_all_labels(dataset):
    split = splits.make_split(dataset, config(num_labels=-1, validation=6))
    known = np.flatnonzero(dataset.y_train >= 0)
    np.testing.assert_array_equal(split.labeled, np.setdiff1d(known, split.validation))
    np.testing.assert_array_equal(split.unlabeled, np.setdiff1d(np.arange(60), split.validation))


@pytest.mark.parametrize("name", builtin.SETS)
def test_the_published_labels_of_the_toy_sets(name):
    dataset = builtin.load(name, 2)
    split = splits.make_split(dataset, config(name=name, num_labels=0, split_seed=2, validation=50))
    check_partition(split, 1000)
    np.testing.assert_array_equal(split.labeled, builtin.labeled_indices(name, 2))
    assert len(split.validation) == 50
    split = splits.make_split(dataset, config(name=name, num_labels=20))
    assert len(split.labeled) == 20


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"num_labels": 0}, "num_labels=0; expected at least one for each of the 3 classes"),
        ({"num_labels": 2}, "num_labels=2; expected at least one"),
        ({"num_labels": -2}, "num_labels=-2; expected at least one"),
        ({"num_labels": 33}, "num_labels=33: class 2 has 10 examples to choose from, 11 are"),
        ({"validation": 33}, "validation=33: class 2 has 7 examples to choose from, 11 are"),
        ({"validation": 24, "num_labels": 9}, "validation=24: class 2 has 7 examples"),
    ],
)
def test_impossible_numbers_are_refused(dataset, fields, message):
    with pytest.raises(ValueError, match="config.data." + message) as caught:
        splits.make_split(dataset, config(**fields))
    assert "\n" not in str(caught.value)


def test_a_negative_number_of_validation_examples_is_refused():
    with pytest.raises(InputError, match="config.data.validation is -1, expected an integer, 0"):
        validate(load_config("moons", validation=-1))


def write(folder, **arrays):
    path = folder / "split.npz"
    np.savez(path, **arrays)
    return str(path)


def test_a_split_file(dataset, tmp_path):
    known = np.flatnonzero(dataset.y_train >= 0)
    labeled, rest = known[::-5], np.setdiff1d(np.arange(60), known[::-5])
    path = write(tmp_path, labeled_indices=labeled, unlabeled_indices=rest[:40].astype(np.int32))
    split = splits.make_split(dataset, config(split_file=path, num_labels=0, validation=6))
    np.testing.assert_array_equal(split.labeled, np.sort(labeled))
    np.testing.assert_array_equal(split.unlabeled, np.setdiff1d(rest[:40], split.validation))
    assert np.bincount(dataset.y_train[split.validation]).tolist() == [2, 2, 2]
    assert not np.intersect1d(split.validation, labeled).size
    with pytest.raises(ValueError, match="11 labelled examples, but config.data.num_labels=12"):
        splits.make_split(dataset, config(split_file=path, num_labels=12))


@pytest.mark.parametrize(
    ("labeled", "unlabeled", "message"),
    [
        ([0, 60], [1], "labeled_indices has 0..60; expected indices 0..59"),
        ([0], [-1, 1], "unlabeled_indices has -1..1"),
        ([0, 1], [1, 2], "1 examples are both labelled and unlabelled"),
        ([0, 0], [1], "labeled_indices has repeated"),
        ([0.0], [1], "labeled_indices is float64"),
        ([[0]], [1], r"labeled_indices is int64 \(1, 1\)"),
        (None, [1], "labeled_indices"),
        ([0], None, "expected a .npz file of labeled_indices and unlabeled_indices"),
    ],
)
def test_what_is_wrong_with_a_split_file_is_named(dataset, tmp_path, labeled, unlabeled, message):
    arrays = {"labeled_indices": labeled, "unlabeled_indices": unlabeled}
    path = write(tmp_path, **{name: a for name, a in arrays.items() if a is not None})
    with pytest.raises(ValueError, match=message) as caught:
        splits.make_split(dataset, config(split_file=path, num_labels=0))
    assert str(caught.value).startswith("config.data.split_file=")


def test_labelled_examples_of_a_split_file_must_have_labels(dataset, tmp_path):
    unknown = np.flatnonzero(dataset.y_train < 0)
    path = write(tmp_path, labeled_indices=unknown, unlabeled_indices=np.empty(0, int))
    with pytest.raises(ValueError, match="the label of 5 of the labeled_indices is not known"):
        splits.make_split(dataset, config(split_file=path, num_labels=0))


def test_a_split_file_that_is_missing_or_no_npz(dataset, tmp_path):
    with pytest.raises(FileNotFoundError, match="config.data.split_file='nowhere.npz': no such"):
        splits.make_split(dataset, config(split_file="nowhere.npz"))
    (tmp_path / "split.npz").write_text("1 2 3")
    with pytest.raises(ValueError, match="expected a .npz file"):
        splits.make_split(dataset, config(split_file=str(tmp_path / "split.npz")))


def test_a_split_file_counts_in_the_original_order(dataset, tmp_path, monkeypatch):
    monkeypatch.setattr(published, "ORDER_FOLDER", tmp_path)
    np.save(tmp_path / "mnist.npy", published.fingerprints("mnist", dataset.x_train))
    labeled = np.flatnonzero(dataset.y_train >= 0)[:9]
    path = write(tmp_path, labeled_indices=labeled, unlabeled_indices=np.empty(0, int))
    shuffled = np.random.default_rng(1).permutation(60)
    other = dataset._replace(x_train=dataset.x_train[shuffled], y_train=dataset.y_train[shuffled])
    split = splits.make_split(other, config(name="mnist", split_file=path))
    assert images(other, split.labeled) == images(dataset, labeled)
    strange = dataset._replace(x_train=255 - dataset.x_train)
    with pytest.raises(ValueError, match="these images are not the original ones"):
        splits.make_split(strange, config(name="mnist", split_file=path))


@pytest.mark.skipif(not PUBLISHED_SPLITS, reason=f"no published splits beside {REAL}")
def test_published_splits_of_the_real_mnist(tmp_path, monkeypatch):
    monkeypatch.setenv("FLOWGMM_CACHE", str(tmp_path))
    mnist = datasets.load(config(name="mnist", data_dir=str(REAL)))
    np.testing.assert_array_equal(
        published.original_order("mnist", mnist.x_train), np.arange(60000)
    )
    for path in PUBLISHED_SPLITS[::5]:
        num_labels = int(path.stem.split("_")[1])
        split = splits.make_split(
            mnist, config(name="mnist", split_file=str(path), num_labels=num_labels)
        )
        check_partition(split, 60000)
        assert np.bincount(mnist.y_train[split.labeled]).tolist() == [num_labels // 10] * 10
