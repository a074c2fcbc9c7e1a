"""Do samples look like their class? A judge that knows all labels, and is no part of the model.

The judge is a vote of the nearest training images, by Euclidean distance between pixels: it has no
settings to choose, and the distance to the nearest image shows whether samples are copies.
"""

import math
from typing import NamedTuple

import numpy as np
from sklearn.metrics import pairwise_distances
from sklearn.neighbors import KNeighborsClassifier

from flowgmm_jax.trained import Trained

NEIGHBOURS = 3
TRAINING_IMAGES = 60_000  # at most: they are held in memory as floats


class Judged(NamedTuple):
    """What a judge says of images with labels.

    Attributes:
      agreement: the share of images that it gives their label.
      nearest: the median distance to the nearest training image, in grey levels.
      diversity: the mean distance between two images of a class, in grey levels; NaN if no class
        has two.
    """

    agreement: float
    nearest: float
    diversity: float


def make_judge(trained: Trained) -> KNeighborsClassifier | None:
    """Fitted to training images of known class, including those whose label the run did not see;
    None if the classes of fewer than ten images are known."""
    x, y = trained.dataset.x_train, trained.dataset.y_train
    known = np.flatnonzero(y >= 0)
    if len(known) < 10:
        return None
    known = known[spread(len(known), TRAINING_IMAGES)]
    judge = KNeighborsClassifier(NEIGHBOURS, algorithm="brute")
    return judge.fit(_vectors(x[known]), y[known])


def spread(size: int, most: int) -> np.ndarray:
    """At most ``most`` indices below ``size``, evenly: many data sets are sorted by class."""
    return np.linspace(0, size - 1, min(size, most)).astype(int)


def _vectors(x: np.ndarray) -> np.ndarray:
    """(N, D), at grey levels, as training images are."""
    return np.floor(x).reshape(len(x), -1).astype(np.float32)


def judge_images(judge: KNeighborsClassifier, x: np.ndarray, y: np.ndarray) -> Judged:
    """Of images x (N, H, W, C) with labels y (N,)."""
    x = _vectors(x)
    nearest, _ = judge.kneighbors(x, 1)
    within = [
        pairwise_distances(x[y == label]).sum() / (n * (n - 1))
        for label, n in zip(*np.unique(y, return_counts=True), strict=True)
        if n > 1
    ]
    return Judged(
        float(np.mean(judge.predict(x) == y)),
        float(np.median(nearest)),
        float(np.mean(within)) if within else math.nan,
    )
