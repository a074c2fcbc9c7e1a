"""Known content of published sets, so that none trains on a damaged or altered copy unknowingly.

A split's digest is that of its (image, label) pairs in any order, for tensorflow-datasets shuffles
what it prepares. The table was made, from prepared sets, by

    python -m flowgmm_jax.data.checksums --data_dir=FOLDER
"""

import argparse

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


def digest(x: np.ndarray, y: np.ndarray) -> str:
    """64 bits, in hexadecimal, of pairs of images x (N, ...) and labels y (N,) in any order."""
    total = 0
    for label in np.unique(y):
        hashes = hashing.fingerprints(x[y == label], salt=str(label))
        total += int(hashes.sum(dtype=np.uint64))
    return f"{total % 2**64:016x}"


def verify(name: str, split: str, x: np.ndarray, y: np.ndarray, data_dir: str) -> None:
    """Compares a split with what it is known to be; 60,000 images take a tenth of a second.

    Args:
        name: of the set; one that is not in `KNOWN` passes.
        split: "train" or "test".
        x: (N, ...) images.
        y: (N,) labels.
        data_dir: where they came from, for the message.

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


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Prints the table of known content.")
    parser.add_argument("--data_dir", default="")
    options = parser.parse_args()
    for path in sorted(tfds.root_of(options.data_dir).iterdir()):
        for each in ("train", "test")[path.name in tfds.TEST_ONLY :]:
            x, y = tfds.load_split(path.name, each, options.data_dir)
            print(f'    ("{path.name}", "{each}"): ({len(x)}, "{digest(x, y)}"),')
