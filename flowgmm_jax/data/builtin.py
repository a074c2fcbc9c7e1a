"""What needs no download: four two-dimensional sets with a handful of labels, and 8x8 digits."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from flowgmm_jax.data.base import Dataset, ExamplesAndLabels, Info

NUM_POINTS = 1000
DIGITS = Info(shape=(8, 8, 1), num_classes=10, levels=17)

# Independent random streams of one seed.
_TRAIN, _TEST, _LABELS = range(3)


Generate = Callable[[np.random.Generator, int], ExamplesAndLabels]


class ToySet(NamedTuple):
    """A set made of modes (arcs, rings, Gaussians, arms), each part of one class.

    Attributes:
      generate: (generator, N) -> points float (N, 2) and their modes int (N,). The points of
        a mode come in order along its curve, if it has one.
      class_of_mode: the class of each mode.
      labels_of_mode: the published number of labels, shared among the modes.
    """

    generate: Generate
    class_of_mode: tuple[int, ...]
    labels_of_mode: tuple[int, ...]


def info(name: str) -> Info:
    """Facts about one of the sets in ``SETS``."""
    return Info(shape=(2,), num_classes=max(SETS[name].class_of_mode) + 1, levels=0)


def load(name: str, seed: int) -> Dataset:
    """A set of ``SETS``: 1000 training points float32 (1000, 2) and as many fresh test points, with
    every label known; the same non-negative seed gives the same points."""
    classes = np.array(SETS[name].class_of_mode, np.int32)
    arrays = []
    for stream in (_TRAIN, _TEST):
        x, mode = _generate(name, seed, stream)
        arrays += [x.astype(np.float32), classes[mode]]
    return Dataset(*arrays, info(name))


def labeled_indices(name: str, seed: int) -> np.ndarray:
    """Chooses the published number of labelled training points, spread over every mode: int64
    sorted indices.

    With so few labels a purely random choice often leaves a mode or half an arm without any,
    and the figure then shows luck. So the labels of a mode are evenly spaced along it, and
    the seed, which is that of the points, decides where they begin.
    """
    _, mode = _generate(name, seed, _TRAIN)
    generator = np.random.default_rng([seed, _LABELS])
    chosen = []
    for index, count in enumerate(SETS[name].labels_of_mode):
        members = np.flatnonzero(mode == index)
        position = (np.arange(count) + generator.random()) / count
        chosen.append(members[(position * len(members)).astype(np.int64)])
    return np.sort(np.concatenate(chosen))


def load_digits() -> Dataset:
    """Loads scikit-learn's 1797 digits in a fixed class-stratified split: uint8 images of 0..16,
    (1437, 8, 8, 1) for training and (360, 8, 8, 1) for testing."""
    from sklearn import datasets  # takes over a second
    from sklearn.model_selection import train_test_split

    digits = datasets.load_digits()
    x = digits.images[..., None].astype(np.uint8)
    y = digits.target.astype(np.int32)
    x_train, x_test, y_train, y_test = train_test_split(
        x, y, test_size=360, stratify=y, random_state=0
    )
    return Dataset(x_train, y_train, x_test, y_test, DIGITS)


def _generate(name: str, seed: int, stream: int) -> ExamplesAndLabels:
    return SETS[name].generate(np.random.default_rng([seed, stream]), NUM_POINTS)


def _of_sklearn(maker: str, **options: float) -> Generate:
    def generate(generator, num_points):
        from sklearn import datasets

        make, state = getattr(datasets, maker), int(generator.integers(2**31))
        return make(num_points, shuffle=False, noise=0.05, random_state=state, **options)

    return generate


def _eight_gaussians(generator: np.random.Generator, num_points: int) -> ExamplesAndLabels:
    mode = np.repeat(np.arange(8), num_points // 8)
    centres = 2.8 * _directions(2 * np.pi * mode / 8)
    return centres + 0.35 * generator.normal(size=centres.shape), mode


def _pinwheel(generator: np.random.Generator, num_points: int) -> ExamplesAndLabels:
    arms, points_of_arm = 5, num_points // 5
    mode = np.repeat(np.arange(arms), points_of_arm)
    radius = np.sort(generator.normal(1.0, 0.3, size=(arms, points_of_arm)), axis=1).ravel()
    width = generator.normal(0.0, 0.05, size=radius.shape)
    turn = 2 * np.pi * mode / arms + 0.25 * np.exp(radius)
    along, across = _directions(turn), _directions(turn + np.pi / 2)
    return 2 * (radius[:, None] * along + width[:, None] * across), mode


def _directions(angle: np.ndarray) -> np.ndarray:
    return np.stack([np.cos(angle), np.sin(angle)], axis=-1)


SETS = {
    "moons": ToySet(_of_sklearn("make_moons"), class_of_mode=(0, 1), labels_of_mode=(5, 5)),
    "circles": ToySet(
        _of_sklearn("make_circles", factor=0.4), class_of_mode=(0, 1), labels_of_mode=(4, 7)
    ),
    "eight_gaussians": ToySet(
        _eight_gaussians,
        class_of_mode=(0, 0, 0, 1, 1, 1, 2, 2),
        labels_of_mode=(3, 2, 2, 3, 2, 2, 3, 2),
    ),
    "pinwheel": ToySet(_pinwheel, class_of_mode=(0, 1, 2, 3, 4), labels_of_mode=(3, 3, 3, 2, 2)),
}
