"""Every data set by its name."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from ml_collections import ConfigDict

from flowgmm_jax.data import builtin, own, published, tfds
from flowgmm_jax.data.base import Dataset, Info, blocks
from flowgmm_jax.errors import InputError


class Loader(NamedTuple):
    """How to load a data set, given the fields of ``config.data``.

    Attributes:
      info: its facts, without decoding the examples.
      load: the whole set.
    """

    info: Callable[[ConfigDict], Info]
    load: Callable[[ConfigDict], Dataset]


_TOY = Loader(
    lambda data: builtin.info(data.name), lambda data: builtin.load(data.name, data.split_seed)
)
_TFDS = Loader(lambda data: tfds.INFO[data.name], lambda data: tfds.load(data.name, data.data_dir))
_FILE = Loader(own.file_info, own.load_file)
LOADERS = {
    **dict.fromkeys(builtin.SETS, _TOY),
    "digits": Loader(lambda data: builtin.DIGITS, lambda data: builtin.load_digits()),
    **dict.fromkeys(tfds.INFO, _TFDS),
    **dict.fromkeys(("npz", "csv"), _FILE),
    "folder": Loader(own.folder_info, own.load_folder),
}
OWN = ("npz", "csv", "folder")  # sets of a user


def info(data: ConfigDict) -> Info:
    """Facts about the configured data set, without decoding its examples.

    Args:
      data: ``config.data``, with ``name`` and ``data_dir``.

    Raises:
      InputError: unknown name, or a user's own data that cannot be read.
      FileNotFoundError: a user's own data that is not there.
    """
    return _loader(data).info(data)


def load(data: ConfigDict) -> Dataset:
    """Loads the configured data set.

    MNIST and FashionMNIST come in their original order, however they are stored.

    Args:
      data: ``config.data``, with ``name``, ``data_dir`` and ``split_seed`` (of the generated sets).

    Raises:
      InputError: unknown name, or data that cannot be read, fail ``check`` or are not those of
        the published set.
      FileNotFoundError: data that is not there; the message says how to get it.
    """
    dataset = _loader(data).load(data)
    check(dataset, _description(data))
    published.verify(data.name, "train", dataset.x_train, dataset.y_train, data.data_dir)
    published.verify(data.name, "test", dataset.x_test, dataset.y_test, data.data_dir)
    if data.name in published.ORDERED:
        original = published.original_order(data.name, dataset.x_train)
        if original is not None:
            dataset = dataset._replace(
                x_train=dataset.x_train[original], y_train=dataset.y_train[original]
            )
    return dataset


def load_test(data: ConfigDict) -> tuple[np.ndarray, np.ndarray]:
    """Loads only the test examples, which is all that out-of-domain evaluation needs.

    Args:
      data: ``config.data``, as for ``load``.

    Returns:
      x (M, ...) and int32 y (M,), as in ``Dataset``.

    Raises:
      InputError, FileNotFoundError: as for ``load``.
    """
    if data.name not in tfds.INFO:  # read or generated as a whole
        dataset = load(data)
        return dataset.x_test, dataset.y_test
    x, y = tfds.load_split(data.name, "test", data.data_dir)
    _check_examples(_description(data), "test", x, y, info(data))
    published.verify(data.name, "test", x, y, data.data_dir)
    return x, y


def check(dataset: Dataset, source: str = "dataset") -> None:
    """Checks that a data set is what ``Dataset`` promises.

    Raises:
      InputError: a wrong shape, type, grey level or label, in one line that names the source.
    """
    _check_examples(source, "train", dataset.x_train, dataset.y_train, dataset.info)
    _check_examples(source, "test", dataset.x_test, dataset.y_test, dataset.info)


def _loader(data: ConfigDict) -> Loader:
    if data.name not in LOADERS:
        raise InputError(
            f"config.data.name={data.name!r} is unknown; expected one of {', '.join(LOADERS)}"
        )
    return LOADERS[data.name]


def _description(data: ConfigDict) -> str:
    return f"{data.name} {data.data_dir}".rstrip()


def _check_examples(source: str, split: str, x: np.ndarray, y: np.ndarray, info: Info) -> None:
    lowest_label = -1 if split == "train" else 0
    dtype = np.dtype(np.uint8 if info.levels else np.float32)
    if x.dtype != dtype or x.shape[1:] != info.shape or not len(x):
        expected = ", ".join(map(str, info.shape))
        raise InputError(
            f"{source}: x_{split} is {x.dtype} {x.shape}; expected {dtype} (N, {expected})"
        )
    if info.levels and x.max() >= info.levels:
        raise InputError(
            f"{source}: x_{split} has grey level {x.max()}; expected 0..{info.levels - 1}"
        )
    if not info.levels and not all(np.isfinite(block).all() for block in blocks(x)):
        raise InputError(f"{source}: x_{split} has values that are not finite")
    if y.dtype != np.int32 or y.shape != (len(x),):
        raise InputError(f"{source}: y_{split} is {y.dtype} {y.shape}; expected int32 ({len(x)},)")
    if y.min() < lowest_label or y.max() >= info.num_classes:
        raise InputError(
            f"{source}: y_{split} has labels {y.min()}..{y.max()}; "
            f"expected {lowest_label}..{info.num_classes - 1}"
        )
