"""What every data set is: four arrays and a few facts about them."""

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

BLOCK_BYTES = 2**24

ExamplesAndLabels = tuple[np.ndarray, np.ndarray]  # x (N, ...) and y (N,)


class Info(NamedTuple):
    """The facts about a data set that a model is built from.

    Attributes:
      shape: shape of one example, (H, W, C) for images and (D,) for vectors.
      num_classes: number of classes K; labels are 0..K-1.
      levels: number of grey levels of integer images, x in [0, levels); 0 for continuous vectors.
    """

    shape: tuple[int, ...]
    num_classes: int
    levels: int = 0

    @property
    def size(self) -> int:
        """Numbers in one example, D."""
        return math.prod(self.shape)


class Source(NamedTuple):
    """What is known of a user's own data, from which a ``Dataset`` was made.

    Attributes:
      classes: names of the classes, by their numbers.
      preprocessing: a ``preprocessing.Preprocessing``, fitted on the training examples.
      dtype: of the examples as they are stored.
      low, high: the least and the largest number in them.
      constant: names of the columns that hold one value.
      notes: what was left out or is odd, a line each.
    """

    classes: tuple[str, ...]
    preprocessing: Any
    dtype: str
    low: float
    high: float
    constant: tuple[str, ...]
    notes: tuple[str, ...]


class Dataset(NamedTuple):
    """A whole data set, training and test examples.

    The examples may be a memory-mapped file, read-only and larger than memory: take them by index
    or in ``blocks``, never all at once.

    Attributes:
      x_train: uint8 (N, H, W, C) images or float32 (N, D) vectors.
      y_train: int32 (N,), -1 if the label is unknown.
      x_test: like ``x_train``, (M, ...).
      y_test: int32 (M,), every label known.
      info: shape, classes and grey levels.
      source: of a user's own data; None for a set that the project knows.
    """

    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    info: Info
    source: Source | None = None

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, by their numbers."""
        return self.source.classes if self.source else tuple(map(str, range(self.info.num_classes)))


def blocks(x: np.ndarray) -> Iterator[np.ndarray]:
    """Consecutive pieces of an array (N, ...), views of at most 16 MB or of one example, so that a
    mapped file is never in memory as a whole."""
    size = max(1, BLOCK_BYTES * len(x) // max(x.nbytes, 1))
    return (x[start : start + size] for start in range(0, len(x), size))
