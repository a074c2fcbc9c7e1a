"""What a model is to the trainer and the evaluation: pure functions over its parameters."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from ml_collections import FrozenConfigDict

from flowgmm_jax import gmm
from flowgmm_jax.data.base import Info
from flowgmm_jax.data.batches import Batch
from flowgmm_jax.data.preprocessing import Preprocessing
from flowgmm_jax.errors import InputError
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
      config: of a model that was built from one.
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
    log_density_estimate: Callable[[Params, jax.Array], jax.Array] | None = None
    classes: tuple[str, ...] = ()
    info: Info | None = None
    preprocessing: Preprocessing | None = None
    config: FrozenConfigDict | None = None

    def posterior(self, params: Params, x: jax.Array) -> jax.Array:
        """p(y = k | x), (B, K)."""
        return gmm.posterior(self.class_log_density(params, x))

    def classify(self, params: Params, x: jax.Array) -> jax.Array:
        """The decision rule (poster, "Classification"): argmax_k p(y = k | x), (B,) integers, -1
        where that is no number, as of an example with a NaN."""
        table = self.class_log_density(params, x)
        return jnp.where(jnp.isnan(table).any(-1), -1, gmm.classify(table))

    def conditional_log_density(self, params: Params, x: jax.Array) -> jax.Array:
        """log p(x | y = k) in nats, (B, K), of a model with a prior: Bayes' rule."""
        log_weights = gmm.log_class_weights(self._prior(params))
        return self.class_log_density(params, x) - log_weights

    def sample_marginal(
        self, params: Params, key: jax.Array, n: int, temperature: float = 1.0
    ) -> jax.Array:
        """n draws from p(x), (n, ...), of a model with a prior: a class by its weight, then x given
        the class. Under ``jit``, n is static."""
        key_labels, key_x = jax.random.split(key)
        log_weights = gmm.log_class_weights(self._prior(params))
        labels = jax.random.categorical(key_labels, log_weights, shape=(n,))
        return self.sample(params, key_x, labels, temperature)

    def _prior(self, params: Params) -> gmm.GMM:
        if self.prior is None:
            raise InputError("this model has no prior: expected one of a FlowGMM")
        return self.prior(params)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one example, as training sees it."""
        return self.info.shape

    @property
    def num_classes(self) -> int:
        """K."""
        return self.info.num_classes

    @property
    def params_like(self) -> Params:
        """What ``init`` returns, as ``jax.ShapeDtypeStruct``s; nothing is computed."""
        x = jax.ShapeDtypeStruct((2, *self.shape), jnp.float32)
        y = jax.ShapeDtypeStruct((2,), jnp.int32)
        return jax.eval_shape(self.init, jax.eval_shape(jax.random.key, 0), x, y)

    @property
    def num_parameters(self) -> int:
        """How many numbers there are in ``params``."""
        return sum(leaf.size for leaf in jax.tree.leaves(self.params_like))

    def __repr__(self) -> str:
        facts = {"model": self.config.model, "flow": self.config.flow.name} if self.config else {}
        facts |= {"shape": self.shape, "num_classes": self.num_classes} if self.info else {}
        facts |= {"classes": self.classes} if self.classes else {}
        return f"Model({', '.join(f'{name}={value!r}' for name, value in facts.items())})"
