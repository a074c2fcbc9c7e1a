"""How likely the test examples are, in bits per dimension."""

import jax
import numpy as np

from flowgmm_jax.density import bits_per_dim
from flowgmm_jax.evaluation.passes import dequantized, map_batches
from flowgmm_jax.evaluation.report import Row, Section
from flowgmm_jax.trained import Trained


def evaluate(trained: Trained, log_density: np.ndarray) -> Section:
    """Bits per dimension; of a bound, the importance-weighted estimate beside it.

    Metrics: ``bits_per_dim``, and if the model's density is a lower bound, which makes that an
    upper one, ``bits_per_dim_estimate``.

    Args:
      trained: a model with a density, and its data.
      log_density: of the test examples, (N,), with dequantisation noise.
    """
    found = {"bits_per_dim": log_density}
    names = {"bits_per_dim": ("", "")}
    note = "On the test examples"
    if trained.info.levels:
        note += " of images with uniform noise, an upper bound of the discrete images'"
    if trained.model.log_density_estimate:
        found["bits_per_dim_estimate"] = _estimate(trained)
        names = {
            "bits_per_dim": (", upper bound", ", lower bound"),
            "bits_per_dim_estimate": (", importance-weighted estimate",) * 2,
        }
        note += (
            ". This model has no exact density: log p(x) is a lower bound here and in all of this "
            "report, next to which the importance-weighted estimate shows how far it is from log "
            "p(x); on average that is a lower bound too, but a tighter one"
        )
    bits = {
        name: float(np.mean(bits_per_dim(nats, trained.info.size))) for name, nats in found.items()
    }
    rows = [
        row
        for name, nats in found.items()
        for row in (
            Row(f"bits per dimension{names[name][0]}", f"{bits[name]:.3f}"),
            Row(f"mean log p(x) (nats){names[name][1]}", f"{np.mean(nats):.1f}"),
        )
    ]
    return Section("Density", bits, rows, [], f"{note}.")


def _estimate(trained: Trained) -> np.ndarray:
    """The importance-weighted estimate of log p(x) of the test examples, (N,), nats."""

    @jax.jit
    def estimate(params, index, x):
        return trained.model.log_density_estimate(
            params, dequantized(index, x, trained.info.levels)
        )

    return map_batches(
        estimate, trained.params, trained.dataset.x_test, description="importance weights"
    )
