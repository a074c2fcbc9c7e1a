"""M1, the latent-feature model: a variational autoencoder (Kingma et al. 2014, section 2.1)."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
from flax import linen as nn

from flowgmm_jax.vae.distributions import Distribution, Gaussian

Params = Any


class M1(NamedTuple):
    """p(z) = N(0, I), p(x | z) and q(z | x) (eq. 1 and 3).

    Attributes:
      init: ``(key, x) -> params`` from examples x (B, ...).
      infer: ``(params, x) -> q(z | x)``.
      generate: ``(params, z) -> p(x | z)``.
    """

    init: Callable[[jax.Array, jax.Array], Params]
    infer: Callable[[Params, jax.Array], Gaussian]
    generate: Callable[[Params, jax.Array], Distribution]


def m1(encoder: nn.Module, decoder: nn.Module) -> M1:
    """M1 of networks x -> Gaussian and z -> distribution of x."""

    def init(key, x):
        key_encoder, key_decoder = jax.random.split(key)
        params = {"encoder": encoder.init(key_encoder, x)}
        z = infer(params, x).mean
        return params | {"decoder": decoder.init(key_decoder, z)}

    def infer(params, x):
        return encoder.apply(params["encoder"], x)

    def generate(params, z):
        return decoder.apply(params["decoder"], z)

    return M1(init, infer, generate)


def feature_bound(log_likelihood: jax.Array, q: Gaussian) -> jax.Array:
    """-J(x) = E_q(z|x)[log p(x|z)] - KL(q(z|x) || p(z)) <= log p(x) (eq. 5), (B,), nats.

    Args:
      log_likelihood: log p(x | z) at a draw z of q, (B,).
      q: q(z | x).
    """
    return log_likelihood - q.kl_to_standard_normal()
