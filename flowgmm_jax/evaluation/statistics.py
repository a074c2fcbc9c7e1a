"""What a model says of every example: the few numbers that all scores are made of."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from flowgmm_jax import gmm
from flowgmm_jax.evaluation.passes import dequantized, map_batches
from flowgmm_jax.models.base import Model


class Statistics(NamedTuple):
    """Of N examples, float32, in nats.

    Attributes:
      joint: (N, K), ``class_log_density`` of the examples as they are (integer images at the
        centres of their bins): what classifies.
      log_density: (N,), log p(x) of the dequantised examples; None where the model has no density.
      log_prior: (N,), its part log p(z), z = f(x), under the mixture; None likewise.
    """

    joint: np.ndarray
    log_density: np.ndarray | None = None
    log_prior: np.ndarray | None = None

    @property
    def log_det(self) -> np.ndarray:
        """(N,), the other part of log p(x): log |det df/dx|."""
        return self.log_density - self.log_prior


Measure = Callable[[Any, np.ndarray], Statistics]


def make_statistics(model: Model, levels: int) -> Measure:
    """A function ``(params, x) -> Statistics`` that compiles once, for any number of sets.

    x (N, ...) are integer images or float vectors, in memory or a ``np.memmap``: only a batch of
    them is read at a time.

    Args:
      model: the model; where it has a density, a mixture ``params["prior"]`` over its latents.
      levels: grey levels of the data, 0 for continuous data.
    """

    @jax.jit
    def statistics(params, index, x):
        joint = model.class_log_density(params, x)
        if model.log_density is None:
            return Statistics(joint)
        noisy = dequantized(index, x, levels)
        log_prior = gmm.marginal(params["prior"], model.encode(params, noisy))
        return Statistics(joint, model.log_density(params, noisy), log_prior)

    def measure(params, x):
        return map_batches(statistics, params, x, description="log-densities")

    return measure
