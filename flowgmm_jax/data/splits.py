"""Which training examples are labelled, unlabelled, and held out, and what is made of them.

A split depends on the images and ``split_seed``, never on the seed of the training or on the
order in which a source happens to store the images.
"""

import hashlib
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from flowgmm_jax.data import augment, builtin, hashing, published
from flowgmm_jax.data.base import Dataset, blocks
from flowgmm_jax.errors import InputError

ALL_LABELS = -1
PUBLISHED_LABELS = 0

# Examples that parameters are initialised from: enough of both kinds for actnorm's means and
# deviations, and of the labelled ones for the means of classes, but few enough for a large network.
INIT_LABELED, INIT_UNLABELED = 1000, 256


class Split(NamedTuple):
    """Indices into the training examples: int64, sorted.

    Attributes:
      labeled: examples whose labels may be used.
      unlabeled: examples whose labels may not be used; those of ``labeled`` too if all are.
      validation: examples in neither of the above.
    """

    labeled: np.ndarray
    unlabeled: np.ndarray
    validation: np.ndarray


class Pool(NamedTuple):
    """A training set as batches are drawn from it, on the device or on the host.

    Attributes:
      x: (N, ...), uint8 images or float vectors.
      y: (N,) int32, -1 for every label that may not be used.
      labeled: (n_l,) int32, indices of the labelled examples.
      unlabeled: (n_u,) int32.
    """

    x: jax.Array | np.ndarray
    y: jax.Array | np.ndarray
    labeled: jax.Array | np.ndarray
    unlabeled: jax.Array | np.ndarray


def make_split(dataset: Dataset, data: ConfigDict) -> Split:
    """Splits the training examples as configured.

    The labelled examples are, in this order of precedence,

    - those of ``split_file``, a .npz file of ``labeled_indices`` and ``unlabeled_indices``, which
      count in the original order of the source;
    - for ``num_labels`` = -1, all whose label is known; the unlabelled ones are then these and
      those whose label is not known;
    - for ``num_labels`` = 0, the published number of a two-dimensional set;
    - ``num_labels`` of them, as many of each class, chosen by content and ``split_seed``.

    The validation examples are ``validation`` others, as many of each class, chosen by content.

    Args:
      dataset: the data set, as ``datasets.load`` gives it.
      data: ``config.data``, with ``name``, ``num_labels``, ``split_file``, ``split_seed`` and
        ``validation``.

    Raises:
      InputError: the configured numbers or the split file do not fit the data set.
      FileNotFoundError: there is no such split file.
    """
    everything = np.arange(len(dataset.y_train))
    if data.split_file:
        labeled, unlabeled = _read_split_file(dataset, data)
    elif data.num_labels == ALL_LABELS:
        labeled, unlabeled = np.flatnonzero(dataset.y_train >= 0), everything
    else:
        labeled = _choose_labeled(dataset, data)
        unlabeled = np.setdiff1d(everything, labeled)
    # Those that are labelled only are the same set with and without a validation set.
    y = dataset.y_train.copy()
    y[np.setdiff1d(labeled, unlabeled)] = -1
    validation = _choose(dataset, y, data, "validation", salt="validation")
    labeled, unlabeled = (np.setdiff1d(part, validation) for part in (labeled, unlabeled))
    return Split(labeled, unlabeled, validation)


def make_pool(dataset: Dataset, split: Split) -> Pool:
    """The training set without the labels that may not be used."""
    y = np.full_like(dataset.y_train, -1)
    y[split.labeled] = dataset.y_train[split.labeled]
    labeled, unlabeled = (a.astype(np.int32) for a in (split.labeled, split.unlabeled))
    return Pool(dataset.x_train, y, labeled, unlabeled)


def fingerprint(dataset: Dataset, split: Split) -> str:
    """Digest of everything that training sees of the data, so that a run goes on with no other."""
    digest = hashlib.blake2b(digest_size=16)
    for array in (*make_pool(dataset, split), split.validation):
        for block in blocks(array):
            digest.update(np.ascontiguousarray(block))
    return digest.hexdigest()


def held_out(dataset: Dataset, split: Split) -> tuple[str, np.ndarray, np.ndarray]:
    """The examples that are evaluated during training, with their name: "validation" if there are
    any, otherwise "test", from which nothing is chosen."""
    if split.validation.size:
        return "validation", dataset.x_train[split.validation], dataset.y_train[split.validation]
    return "test", dataset.x_test, dataset.y_test


def initial_examples(
    dataset: Dataset, split: Split, config: ConfigDict
) -> tuple[jax.Array, jax.Array]:
    """Examples that parameters are initialised from, without augmentation.

    Returns:
      x (B, ...) float32, dequantised, and y (B,) int32: some labelled examples, and some unlabelled
      ones with label -1.

    Raises:
      InputError: if means are to be placed at classes and one has no label.
    """
    rng = np.random.default_rng(config.seed)
    labeled, unlabeled = (
        rng.permutation(indices)[:most]
        for indices, most in ((split.labeled, INIT_LABELED), (split.unlabeled, INIT_UNLABELED))
    )
    y = np.concatenate([dataset.y_train[labeled], np.full(len(unlabeled), -1, np.int32)])
    x = dataset.x_train[np.concatenate([labeled, unlabeled])]
    missing = np.setdiff1d(np.arange(dataset.info.num_classes), y)
    if config.prior.means in ("data", "latents") and missing.size:
        raise InputError(
            f"config.prior.means is {config.prior.means!r}, but class {missing[0]} has no labelled "
            "example to take a mean of"
        )
    keys = jax.random.split(jax.random.key(config.seed), len(x))
    return jax.vmap(augment.view([], dataset.info.levels))(keys, jnp.asarray(x)), jnp.asarray(y)


def _choose_labeled(dataset: Dataset, data: ConfigDict) -> np.ndarray:
    if data.num_labels == PUBLISHED_LABELS and data.name in builtin.SETS:
        return builtin.labeled_indices(data.name, data.split_seed)
    if data.num_labels < dataset.info.num_classes:
        raise InputError(
            f"config.data.num_labels={data.num_labels}; expected at least one for each of the "
            f"{dataset.info.num_classes} classes, or {ALL_LABELS} for all"
        )
    return _choose(dataset, dataset.y_train, data, "num_labels", salt=f"labeled {data.split_seed}")


def _choose(dataset: Dataset, y: np.ndarray, data: ConfigDict, field: str, salt: str) -> np.ndarray:
    """As many examples as a field of ``data`` says, spread over the classes ``y`` evenly; the first
    classes get the remainder."""
    share, remainder = divmod(data[field], dataset.info.num_classes)
    counts = [share + (label < remainder) for label in range(dataset.info.num_classes)]
    return hashing.choose(dataset.x_train, y, counts, salt, f"config.data.{field}={data[field]}")


def _read_split_file(dataset: Dataset, data: ConfigDict) -> tuple[np.ndarray, np.ndarray]:
    field = f"config.data.split_file={data.split_file!r}"
    path = Path(data.split_file).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f"{field}: no such file")
    try:
        with np.load(path, allow_pickle=False) as arrays:
            found = {name: arrays[name] for name in ("labeled_indices", "unlabeled_indices")}
    except Exception as error:  # a damaged archive can raise almost anything
        raise InputError(
            f"{field}: expected a .npz file of labeled_indices and unlabeled_indices ({error})"
        ) from error
    for name, indices in found.items():
        _check_indices(f"{field}: {name}", indices, len(dataset.y_train))
    labeled, unlabeled = found.values()
    if shared := np.intersect1d(labeled, unlabeled).size:
        raise InputError(f"{field}: {shared} examples are both labelled and unlabelled")
    if data.num_labels > 0 and data.num_labels != len(labeled):
        raise InputError(
            f"{field} has {len(labeled)} labelled examples, but "
            f"config.data.num_labels={data.num_labels}"
        )
    if data.name in published.ORDERED:
        original = published.original_order(data.name, dataset.x_train)
        if original is None:
            raise InputError(
                f"{field} counts in the original order of {data.name}, but these images are not "
                "the original ones: use num_labels and split_seed instead"
            )
        labeled, unlabeled = original[labeled], original[unlabeled]
    if unknown := np.count_nonzero(dataset.y_train[labeled] < 0):
        raise InputError(f"{field}: the label of {unknown} of the labeled_indices is not known")
    return np.sort(labeled).astype(np.int64), np.sort(unlabeled).astype(np.int64)


def _check_indices(field: str, indices: np.ndarray, size: int) -> None:
    if indices.ndim != 1 or not np.issubdtype(indices.dtype, np.integer):
        raise InputError(f"{field} is {indices.dtype} {indices.shape}; expected integers (N,)")
    if indices.size and not 0 <= indices.min() <= indices.max() < size:
        raise InputError(
            f"{field} has {indices.min()}..{indices.max()}; expected indices 0..{size - 1}"
        )
    if len(np.unique(indices)) < len(indices):
        raise InputError(f"{field} has repeated indices")
