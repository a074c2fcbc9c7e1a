"""What a model is to train.py and eval.py: a NamedTuple of pure functions over its parameters."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax

from flowgmm_jax.data.batches import Batch

Params = Any
Metrics = dict[str, jax.Array]


class Model(NamedTuple):
    """A classifier with, where it has one, a density.

    For images x holds dequantised values in [0, levels), float; integer images are accepted by
    class_log_density, log_density and encode, and are taken at the centre of their bin.

    Attributes:
      init: ``(key, x, y) -> params`` from examples x (B, ...) and labels y (B,), -1 for none.
      loss: ``(params, batch, key, step) -> (loss, metrics)``, scalars.
      class_log_density: ``(params, x) -> (B, K)``, log p(x, y = k) in nats, or log p(y = k | x)
        where the model has no density; its softmax is the class posterior.
      log_density: ``(params, x) -> (B,)``, log p(x) in nats, or None.
      encode: ``(params, x) -> z (B, D)``, or None.
      decode: ``(params, z) -> x (B, ...)``, or None.
      sample: ``(params, key, labels, temperature) -> x``, or None. Temperature multiplies the
        standard deviation of the components.
    """

    init: Callable[[jax.Array, jax.Array, jax.Array], Params]
    loss: Callable[[Params, Batch, jax.Array, jax.Array], tuple[jax.Array, Metrics]]
    class_log_density: Callable[[Params, jax.Array], jax.Array]
    log_density: Callable[[Params, jax.Array], jax.Array] | None = None
    encode: Callable[[Params, jax.Array], jax.Array] | None = None
    decode: Callable[[Params, jax.Array], jax.Array] | None = None
    sample: Callable[..., jax.Array] | None = None
