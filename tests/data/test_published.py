"""A published set is what it is known to be, or is refused."""

import os
from pathlib import Path

import numpy as np
import pytest
from ml_collections import ConfigDict

from flowgmm_jax.data import datasets, published, tfds
from flowgmm_jax.data.base import Dataset
from flowgmm_jax.errors import InputError

REAL = Path(os.environ.get("FLOWGMM_DATA", "no data")).resolve()

X = np.random.default_rng(0).integers(0, 256, (20, 28, 28, 1), np.uint8)
Y = (np.arange(20) % 10).astype(np.int32)
CHANGED_PIXEL = X.copy()
CHANGED_PIXEL[3, 4, 5] ^= 1


@pytest.fixture(autouse=True)
def known(monkeypatch):
    table = {("mnist", split): (20, published.digest(X, Y)) for split in ("train", "test")}
    monkeypatch.setattr(published, "KNOWN", table)


@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_the_examples_does_not_matter(seed):
    order = np.random.default_rng(seed).permutation(20)
    published.verify("mnist", "train", X[order], Y[order], "")


@pytest.mark.parametrize(
    ("x", "y"),
    [
        (CHANGED_PIXEL, Y),
        (X, np.roll(Y, 1)),
        (X[:-1], Y[:-1]),
        (np.concatenate([X, X[:1]]), np.append(Y, Y[:1])),
        (np.concatenate([X[:-1], X[:1]]), np.append(Y[:-1], Y[:1])),
    ],
    ids=["pixel", "labels", "missing", "twice", "replaced"],
)
def test_what_differs_from_the_published_set_is_refused(x, y):
    with pytest.raises(InputError, match="mnist: the test split is not the published one") as error:
        published.verify("mnist", "test", x, y, "DIR")
    message = str(error.value)
    assert f"found {len(x)} examples with digest {published.digest(x, y)}" in message
    assert f"expected 20 with {published.digest(X, Y)}" in message
    assert "flowgmm_jax.data.prepare mnist --data_dir=DIR" in message
    assert "config.data.name=npz or folder" in message and "\n" not in message


def test_a_set_of_unknown_content_passes():
    published.verify("npz", "train", CHANGED_PIXEL, Y, "")


@pytest.mark.parametrize("split", ["train", "test"])
def test_a_set_is_compared_when_it_is_loaded(monkeypatch, split):
    arrays = {"x_train": X, "y_train": Y, "x_test": X, "y_test": Y, f"x_{split}": CHANGED_PIXEL}
    dataset = Dataset(**arrays, info=tfds.INFO["mnist"])
    monkeypatch.setattr(tfds, "load", lambda name, data_dir: dataset)
    data = ConfigDict({"name": "mnist", "data_dir": ""})
    with pytest.raises(InputError, match=f"the {split} split is not the published one"):
        datasets.load(data)


def test_test_examples_alone_are_compared(monkeypatch):
    monkeypatch.setattr(tfds, "load_split", lambda name, split, data_dir: (CHANGED_PIXEL, Y))
    with pytest.raises(InputError, match="the test split is not the published one"):
        datasets.load_test(ConfigDict({"name": "mnist", "data_dir": ""}))


def test_the_shipped_table_names_known_sets(monkeypatch):
    monkeypatch.undo()
    assert {name for name, _ in published.KNOWN} == set(tfds.INFO) - {"svhn_cropped"}
    for name in tfds.TEST_ONLY:
        assert (name, "train") not in published.KNOWN


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist", "cifar10", "notmnist"])
def test_real_sets_are_the_published_ones(name, monkeypatch):
    if not (REAL / name).is_dir():
        pytest.skip(f"no {name} in {REAL}")
    monkeypatch.undo()
    for split in ("train", "test")[name in tfds.TEST_ONLY :]:
        published.verify(name, split, *tfds.load_split(name, split, str(REAL)), str(REAL))
