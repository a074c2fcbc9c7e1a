"""What a model says of every example, and the test metrics made of it."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from flowgmm_jax import gmm, losses
from flowgmm_jax.density import bits_per_dim
from flowgmm_jax.evaluation.passes import batches, dequantized, map_batches
from flowgmm_jax.models.base import Model


class Statistics(NamedTuple):
    """Of N examples, float32, in nats.

    Attributes:
      joint: (N, K), ``class_log_density`` of the examples as they are (integer images at the
        centres of their bins): what classifies.
      log_density: (N,), log p(x) of the dequantised examples, or the model's bound of it; None if
        the model has no density.
      log_prior: (N,), its part log p(z), z = f(x); None if the model has no density of latents.
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
      model: the model.
      levels: grey levels of the data, 0 for continuous data.
    """

    @jax.jit
    def statistics(params, index, x):
        joint = model.class_log_density(params, x)
        if model.log_density is None:
            return Statistics(joint)
        noisy = dequantized(index, x, levels)
        log_density = model.log_density(params, noisy)
        if model.prior is None:
            return Statistics(joint, log_density)
        log_prior = gmm.marginal(model.prior(params), model.encode(params, noisy))
        return Statistics(joint, log_density, log_prior)

    def measure(params, x):
        return map_batches(statistics, params, x, description="log-densities")

    return measure


def make_evaluator(
    model: Model, levels: int
) -> Callable[[Any, np.ndarray, np.ndarray], dict[str, float]]:
    """Test metrics, as a function ``(params, x, y) -> dict`` that compiles once.

    x (N, ...) are integer images or float vectors, y (N,) their labels. Integer images are
    classified at the centres of their bins; bits_per_dim is that of images with uniform noise,
    which is what papers report. The metrics are ``accuracy`` in percent, ``nll`` of the labels in
    nats, -mean log p(y | x), and if the model has a density ``bits_per_dim``.

    Args:
      model: the model.
      levels: grey levels of the data, 0 for continuous data.
    """

    @jax.jit
    def sums(params, index, mask, x, y):
        joint = model.class_log_density(params, x)
        totals = {
            "accuracy": 100.0 * (gmm.classify(joint) == y),
            "nll": losses.cross_entropy(joint, y),
        }
        if model.log_density:
            noisy = dequantized(index, x, levels)
            totals["bits_per_dim"] = bits_per_dim(model.log_density(params, noisy), x[0].size)
        return {name: jnp.sum(jnp.where(mask, total, 0)) for name, total in totals.items()}

    def evaluate(params, x, y):
        parts = [jax.device_get(sums(params, *batch)) for batch in batches(x, y)]
        return {name: float(sum(part[name] for part in parts) / len(x)) for name in parts[0]}

    return evaluate
