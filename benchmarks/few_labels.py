"""Classifiers that see few labels: a split of vectors, and the calibration of what was trained."""

from typing import Any, NamedTuple

import numpy as np

from flowgmm_jax.evaluation.calibration import fit_temperature, scores

FIT_EXAMPLES = 1000  # on which the temperature is fitted, at most


class Split(NamedTuple):
    """What a classifier is given, and a test set.

    Attributes:
      x: (N, D).
      y: (N,), -1 where there is no label.
      hidden: (N,), all labels.
      x_test, y_test: of the test set.
    """

    x: np.ndarray
    y: np.ndarray
    hidden: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray


def labelled(hidden: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Labels (N,), -1 but for ``count`` rows, as many of each class; the first classes get the
    remainder."""
    classes = hidden.max() + 1
    y = np.full_like(hidden, -1)
    for k in range(classes):
        of_class = count // classes + (k < count % classes)
        y[rng.permutation(np.flatnonzero(hidden == k))[:of_class]] = k
    return y


def calibration(model: Any, split: Split, seed: int) -> dict[str, float]:
    """NLL (nats) and ECE on the test set, before and after a temperature that is fitted on the
    hidden labels of unlabelled rows."""
    rows = np.random.default_rng(seed).permutation(np.flatnonzero(split.y < 0))[:FIT_EXAMPLES]
    # An offset of 0: the temperature divides the log-odds of the posterior, class weights included.
    temperature = fit_temperature(
        model.predict_log_proba(split.x[rows]), np.zeros(1), split.hidden[rows]
    )
    posterior = model.predict_log_proba(split.x_test)
    before, after = (scores(posterior / t, split.y_test) for t in (1.0, temperature))
    return {
        "nll": before["nll"],
        "ece": before["ece"],
        "nll_temperature": after["nll"],
        "ece_temperature": after["ece"],
    }
