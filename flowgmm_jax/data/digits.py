"""scikit-learn's 8x8 digits: images small enough for tests and first trials, always at hand."""

import numpy as np

from flowgmm_jax.data.base import Dataset, Info

INFO = Info(shape=(8, 8, 1), num_classes=10, levels=17)


def load() -> Dataset:
    """Loads the 1797 digits in a fixed class-stratified split.

    Returns:
        uint8 images of 0..16, (1437, 8, 8, 1) for training and (360, 8, 8, 1) for testing.
    """
    # scikit-learn takes over a second to import, hence only here.
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    digits = load_digits()
    x = digits.images[..., None].astype(np.uint8)
    y = digits.target.astype(np.int32)
    x_train, x_test, y_train, y_test = train_test_split(
        x, y, test_size=360, stratify=y, random_state=0
    )
    return Dataset(x_train, y_train, x_test, y_test, INFO)
