"""What is known of published sets: their content, and the original order of MNIST and FashionMNIST.

The digest of a split, so that nobody trains on a damaged or altered copy unknowingly, is that of
its (image, label) pairs in any order, because tensorflow-datasets shuffles what it prepares.
Published label splits count in the order of the original files: fingerprints of the images in that
order tell which image an index means, wherever it is stored. ``benchmarks/published_sets.py`` made
both.
"""

from pathlib import Path

import numpy as np

from flowgmm_jax.data import hashing, tfds
from flowgmm_jax.errors import InputError

# Number of examples and digest of a split.
KNOWN: dict[tuple[str, str], tuple[int, str]] = {
    ("cifar10", "train"): (50000, "406d6398649261d9"),
    ("cifar10", "test"): (10000, "d5e87674e88e973f"),
    ("fashion_mnist", "train"): (60000, "dbe607f49e4f6246"),
    ("fashion_mnist", "test"): (10000, "d411c812b6fb3386"),
    ("mnist", "train"): (60000, "ca73e40a82c75384"),
    ("mnist", "test"): (10000, "3d793d0cbf759623"),
    ("notmnist", "test"): (10000, "994cef1eae70e1bd"),
}

ORDERED = ("mnist", "fashion_mnist")  # sets whose original order is known
ORDER_FOLDER = Path(__file__).parent / "order"


def digest(x: np.ndarray, y: np.ndarray) -> str:
    """64 bits, in hexadecimal, of pairs of images x (N, ...) and labels y (N,) in any order."""
    total = 0
    for label in np.unique(y):
        hashes = hashing.fingerprints(x[y == label], salt=str(label))
        total += int(hashes.sum(dtype=np.uint64))
    return f"{total % 2**64:016x}"


def verify(name: str, split: str, x: np.ndarray, y: np.ndarray, data_dir: str) -> None:
    """Compares images x (N, ...) and labels y (N,) of a split, "train" or "test", with what the set
    is known to be, if it is in ``KNOWN``; 60,000 images take a tenth of a second.

    Raises:
      InputError: they are not those of the published set.
    """
    expected = KNOWN.get((name, split))
    if expected is None or (found := (len(x), digest(x, y))) == expected:
        return
    root = tfds.root_of(data_dir)
    raise InputError(
        f"{root / name}: the {split} split is not the published one: found {found[0]} examples "
        f"with digest {found[1]}, expected {expected[0]} with {expected[1]}; remove the folder and "
        f"{tfds.how_to_prepare(name, root)} (for a variant of your own, use config.data.name=npz "
        "or folder)"
    )


def fingerprints(name: str, x: np.ndarray) -> np.ndarray:
    """Fingerprints uint32 (N,) of training images; the set's name is the salt."""
    return hashing.fingerprints(x, salt=name, dtype=np.uint32)


def original_order(name: str, x_train: np.ndarray) -> np.ndarray | None:
    """The permutation int64 (N,) that restores the original order of training images uint8
    (N, H, W, C), identical ones as they are; None if they are not exactly those of the set, which
    is one of ``ORDERED``."""
    wanted = np.load(ORDER_FOLDER / f"{name}.npy", allow_pickle=False)
    found = fingerprints(name, x_train)
    from_wanted, from_found = (np.argsort(a, kind="stable") for a in (wanted, found))
    if not np.array_equal(wanted[from_wanted], found[from_found]):
        return None
    result = np.empty(len(found), np.int64)
    result[from_wanted] = from_found
    return result
