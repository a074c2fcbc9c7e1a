"""Test metrics of a model: accuracy and likelihoods, as training looks at them."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from flowgmm_jax import losses
from flowgmm_jax.density import bits_per_dim
from flowgmm_jax.evaluation.passes import batches, dequantized
from flowgmm_jax.models.base import Model


def make_evaluator(
    model: Model, levels: int
) -> Callable[[Any, np.ndarray, np.ndarray], dict[str, float]]:
    """Test metrics, as a function ``(params, x, y) -> dict`` that compiles once.

    x (N, ...) are integer images or float vectors, y (N,) their labels. Integer images are
    classified at the centres of their bins; bits_per_dim is that of images with uniform noise,
    which is what papers report. The metrics are ``accuracy`` in percent, ``nll`` of the labels in
    nats, -mean log p(y | x), and where the model has a density ``bits_per_dim``.

    Args:
      model: the model.
      levels: grey levels of the data, 0 for continuous data.
    """

    @jax.jit
    def sums(params, index, mask, x, y):
        joint = model.class_log_density(params, x)
        totals = {
            "accuracy": 100.0 * (joint.argmax(-1) == y),
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
