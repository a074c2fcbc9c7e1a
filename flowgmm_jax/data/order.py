"""The original order of MNIST and FashionMNIST, kept as fingerprints of their images.

Published label splits count in the order of the original files; tensorflow-datasets shuffles
what it prepares. Fingerprints in the original order tell which image an index means, wherever
it is stored. They were made, from files in the original order, by

    python -m flowgmm_jax.data.order --data_dir=FOLDER
"""

import argparse
from pathlib import Path

import numpy as np

from flowgmm_jax.data import hashing, tfds

NAMES = ("mnist", "fashion_mnist")
FOLDER = Path(__file__).parent / "order"


def fingerprints(name: str, x: np.ndarray) -> np.ndarray:
    """Fingerprints uint32 (N,) of training images; the set's name is the salt."""
    return hashing.fingerprints(x, salt=name, dtype=np.uint32)


def original_order(name: str, x_train: np.ndarray) -> np.ndarray | None:
    """Finds the permutation that restores the original order.

    Identical images keep their order among themselves.

    Args:
        name: one of `NAMES`.
        x_train: uint8 (N, H, W, C) training images in any order.

    Returns:
        int64 (N,): `x_train[result]` is in the original order; None if the images are not
        exactly those of the original set.
    """
    wanted = np.load(FOLDER / f"{name}.npy", allow_pickle=False)
    found = fingerprints(name, x_train)
    from_wanted, from_found = (np.argsort(a, kind="stable") for a in (wanted, found))
    if not np.array_equal(wanted[from_wanted], found[from_found]):
        return None
    result = np.empty(len(found), np.int64)
    result[from_wanted] = from_found
    return result


def write(name: str, data_dir: str) -> None:
    """Writes the fingerprints of a set that is stored in its original order.

    Args:
        name: one of `NAMES`.
        data_dir: folder of prepared sets.

    Raises:
        ValueError: two different images have the same fingerprint; use another salt.
    """
    x, _ = tfds.load_split(name, "train", data_dir)
    result = fingerprints(name, x)
    if len(np.unique(result)) < len(np.unique(hashing.fingerprints(x, salt=name))):
        raise ValueError(f"{name}: different images share a fingerprint, another salt is needed")
    np.save(FOLDER / f"{name}.npy", result)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=write.__doc__.splitlines()[0])
    parser.add_argument("--data_dir", default="")
    options = parser.parse_args()
    for each in NAMES:
        write(each, options.data_dir)
