"""M2, the generative semi-supervised model (Kingma et al. 2014, section 2.1).

Of x two tables over the classes are made, (B, K) in nats, as of a flow with a mixture prior: bounds
of log p(x, y = k), and log q(y = k | x), from which the classes are told.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.scipy.stats import norm

from flowgmm_jax.vae.distributions import Gaussian

Params = Any


class M2(NamedTuple):
    """p(y) uniform, p(z) = N(0, I), p(x | y, z), q(z | x, y) and q(y | x) (eq. 2 and 4).

    Labels y are one-hot, (B, K).

    Attributes:
      init: ``(key, x) -> params`` from x (B, D).
      infer: ``(params, x, y) -> q(z | x, y)``.
      generate: ``(params, y, z) -> p(x | y, z)``.
      log_posterior: ``(params, x) -> (B, K)``, log q(y = k | x).
      num_classes: K.
    """

    init: Callable[[jax.Array, jax.Array], Params]
    infer: Callable[[Params, jax.Array, jax.Array], Gaussian]
    generate: Callable[[Params, jax.Array, jax.Array], Gaussian]
    log_posterior: Callable[[Params, jax.Array], jax.Array]
    num_classes: int


def m2(encoder: nn.Module, decoder: nn.Module, classifier: nn.Module, num_classes: int) -> M2:
    """M2 of networks (x, y) -> Gaussian, (y, z) -> Gaussian and x -> logits (B, K)."""

    def init(key, x):
        keys = jax.random.split(key, 3)
        y = jnp.zeros((x.shape[0], num_classes))
        params = {"encoder": encoder.init(keys[0], x, y)}
        z = infer(params, x, y).mean
        params["decoder"] = decoder.init(keys[1], y, z)
        return params | {"classifier": classifier.init(keys[2], x)}

    def infer(params, x, y):
        return encoder.apply(params["encoder"], x, y)

    def generate(params, y, z):
        return decoder.apply(params["decoder"], y, z)

    def log_posterior(params, x):
        return jax.nn.log_softmax(classifier.apply(params["classifier"], x))

    return M2(init, infer, generate, log_posterior, num_classes)


class ClassTables(NamedTuple):
    """Of draws z ~ q(z | x, y = k) for every class, (B, K) each, in nats.

    Attributes:
      bound: -L(x, k) = E_q(z|x,k)[log p(x|k,z)] + log p(k) - KL(q(z|x,k) || p(z)) <= log p(x, k)
        (eq. 6), the divergence in closed form.
      log_weight: log p(x|k,z) p(k) p(z) / q(z|x,k), the logarithm of an unbiased estimate of
        p(x, k); -L(x, k) is its mean.
    """

    bound: jax.Array
    log_weight: jax.Array


def class_tables(model: M2, params: Params, x: jax.Array, noise: jax.Array) -> ClassTables:
    """Both tables of x (B, D); ``noise``, (B, d) or (d,) for all examples, is standard normal."""
    log_prior = -math.log(model.num_classes)

    def of_class(y: jax.Array) -> ClassTables:
        y = jnp.broadcast_to(y, (x.shape[0], model.num_classes))
        q = model.infer(params, x, y)
        z = q.at(noise)
        log_joint = model.generate(params, y, z).log_prob(x) + log_prior
        return ClassTables(
            log_joint - q.kl_to_standard_normal(),
            log_joint + norm.logpdf(z).sum(-1) - q.log_prob(z),
        )

    return jax.vmap(of_class, out_axes=1)(jnp.eye(model.num_classes, dtype=x.dtype))


def marginal_bound(table: jax.Array, log_posterior: jax.Array) -> jax.Array:
    """-U(x) = sum_k q(k|x) (-L(x,k)) + H(q(y|x)) <= log p(x) (eq. 7), (B,), nats.

    Args:
      table: -L(x, k), (B, K).
      log_posterior: log q(y = k | x), (B, K).
    """
    return (jnp.exp(log_posterior) * (table - log_posterior)).sum(-1)
