"""What a model is to the trainer and the evaluation: pure functions over its parameters."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from flowgmm_jax import gmm
from flowgmm_jax.data.base import Info
from flowgmm_jax.data.batches import Batch
from flowgmm_jax.data.preprocessing import Preprocessing
from flowgmm_jax.flows.bijector import Bijector

Params = Any
Metrics = dict[str, jax.Array]


class Model(NamedTuple):
    """A classifier and, if it has one, a density.

    For images x holds dequantised values in [0, levels), float; integer images are accepted by
    class_log_density, log_density and encode, and are taken at the centre of their bin. A model
    of another kind leaves out what it does not have (None), and the report leaves out what needs
    it. Only the model itself looks into its ``params``; if these are a dict, the entry "prior" is
    trained as ``config.prior`` says and all else as ``config.optimizer`` says.

    Attributes:
      init: ``(key, x, y) -> params`` from examples x (B, ...) and labels y (B,), -1 for none.
      loss: ``(params, batch, key, step) -> (loss, metrics)``, scalars.
      class_log_density: ``(params, x) -> (B, K)``, log p(x, y = k) in nats, or log p(y = k | x)
        if the model has no exact density; its softmax is the class posterior.
      log_density: ``(params, x) -> (B,)``, log p(x) in nats; a lower bound of it if there is a
        ``log_density_estimate``.
      encode: ``(params, x) -> z (B, D)``.
      decode: ``(params, z) -> x (B, ...)``.
      sample: ``(params, key, labels, temperature) -> x``. Temperature multiplies the standard
        deviation of the components.
      infill: ``(params, key, x, is_known, labels, draws) -> x``, the pixels of images x (B, ...)
        that are not known, drawn given the others and the class; ``is_known`` is true or false and
        broadcasts to x. One of ``draws`` candidates, with probabilities in proportion to their
        weights (``models.infill``).
      prior: ``(params) -> gmm.GMM``, the density of the latents; one component per class.
      flow: ``(params) -> (flow, its parameters)``, for a look at its layers.
      classes: names of the classes, by their numbers; () if nobody named them.
      info: shape, classes and grey levels of the examples that training sees.
      preprocessing: how raw examples become those; None if the model takes them as they are.
      log_density_estimate: ``(params, x) -> (B,)``, an importance-weighted estimate of log p(x)
        in nats, of a model whose ``log_density`` is a bound; None if that is exact.
    """

    init: Callable[[jax.Array, jax.Array, jax.Array], Params]
    loss: Callable[[Params, Batch, jax.Array, jax.Array], tuple[jax.Array, Metrics]]
    class_log_density: Callable[[Params, jax.Array], jax.Array]
    log_density: Callable[[Params, jax.Array], jax.Array] | None = None
    encode: Callable[[Params, jax.Array], jax.Array] | None = None
    decode: Callable[[Params, jax.Array], jax.Array] | None = None
    sample: Callable[..., jax.Array] | None = None
    infill: Callable[..., jax.Array] | None = None
    prior: Callable[[Params], gmm.GMM] | None = None
    flow: Callable[[Params], tuple[Bijector, Params]] | None = None
    classes: tuple[str, ...] = ()
    log_density_estimate: Callable[[Params, jax.Array], jax.Array] | None = None
    info: Info | None = None
    preprocessing: Preprocessing | None = None

    def posterior(self, params: Params, x: jax.Array) -> jax.Array:
        """p(y = k | x), (B, K)."""
        return gmm.posterior(self.class_log_density(params, x))

    def classify(self, params: Params, x: jax.Array) -> jax.Array:
        """The decision rule (poster, "Classification"): argmax_k p(y = k | x), (B,) integers, -1
        where that is no number, as of an example with a NaN."""
        table = self.class_log_density(params, x)
        return jnp.where(jnp.isnan(table).any(-1), -1, gmm.classify(table))
