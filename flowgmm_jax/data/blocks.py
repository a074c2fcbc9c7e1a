"""Large arrays in parts, so that one that is mapped from a file is never in memory as a whole."""

from collections.abc import Iterator

import numpy as np

BLOCK_BYTES = 2**24


def blocks(x: np.ndarray) -> Iterator[np.ndarray]:
    """Consecutive parts of an array (N, ...), views of about 16 MB and at least one example."""
    size = max(1, BLOCK_BYTES * len(x) // max(x.nbytes, 1))
    return (x[start : start + size] for start in range(0, len(x), size))
