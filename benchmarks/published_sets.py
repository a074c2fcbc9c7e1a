"""Makes what ``flowgmm_jax/data/published.py`` knows of published sets, from prepared ones.

    python benchmarks/published_sets.py digests FOLDER
    python benchmarks/published_sets.py order FOLDER

The first prints the table ``KNOWN`` of all sets in the folder. The second writes the fingerprints
of the sets in ``ORDERED``, which must have been prepared in their original order.
"""

import sys

import numpy as np

from flowgmm_jax.data import hashing, published, tfds


def print_digests(data_dir: str) -> None:
    for path in sorted(tfds.root_of(data_dir).iterdir()):
        for split in ("train", "test")[path.name in tfds.TEST_ONLY :]:
            x, y = tfds.load_split(path.name, split, data_dir)
            print(f'    ("{path.name}", "{split}"): ({len(x)}, "{published.digest(x, y)}"),')


def write_order(data_dir: str) -> None:
    for name in published.ORDERED:
        x, _ = tfds.load_split(name, "train", data_dir)
        order = published.fingerprints(name, x)
        if len(np.unique(order)) < len(np.unique(hashing.fingerprints(x, salt=name))):
            raise ValueError(f"{name}: two images share a fingerprint, another salt is needed")
        np.save(published.ORDER_FOLDER / f"{name}.npy", order)


if __name__ == "__main__":
    {"digests": print_digests, "order": write_order}[sys.argv[1]](sys.argv[2])
