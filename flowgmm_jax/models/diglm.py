"""DIGLM: a flow with a linear classifier on its latents (Nalisnick et al. 2019, "Hybrid Models with
Deep and Invertible Features", https://arxiv.org/abs/1902.02767)."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.scipy.stats import norm

from flowgmm_jax import density, gmm, losses
from flowgmm_jax.data.batches import Batch
from flowgmm_jax.flows.bijector import Bijector
from flowgmm_jax.models.base import Metrics, Model, Params


class Factors(NamedTuple):
    """log p(y = k | x) (B, K) and log p(x) (B,), whose sum is log p(x, y = k), in nats."""

    log_posterior: jax.Array
    log_density: jax.Array


def diglm(flow: Bijector, shape: tuple[int, ...], num_classes: int, density_weight: float) -> Model:
    """A generalised linear model, softmax regression, on the latents z = f(x) of a flow:

        p(x, y) = p(y | z) p(z) |det df/dx|,    p(y | z) = softmax(W z + b),    p(z) = N(0, I).

    Both factors come from one pass of the flow (section "Deep Invertible Generalized Linear
    Models"). Inputs are rejected by log p(x), which is exact.

    Args:
      flow: data (B, *shape) to latents.
      shape: of one example.
      num_classes: K.
      density_weight: lambda, of log p(x) / D.

    Returns:
      A Model of examples (B, *shape), floats, whose params are ``{"flow": ..., "classifier":
      ...}``.
    """
    size = math.prod(shape)
    classifier = nn.Dense(num_classes, kernel_init=nn.initializers.zeros)

    def init(key: jax.Array, x: jax.Array, y: jax.Array) -> Params:
        key_flow, key_classifier = jax.random.split(key)
        params = {"flow": flow.init(key_flow, x)}
        z, _ = density.encode(flow, params, x)
        return params | {"classifier": classifier.init(key_classifier, z)}

    def factors(params: Params, x: jax.Array) -> Factors:
        z, log_det = density.encode(flow, params, x)
        logits = classifier.apply(params["classifier"], z)
        return Factors(jax.nn.log_softmax(logits), norm.logpdf(z).sum(-1) + log_det)

    def class_log_density(params: Params, x: jax.Array) -> jax.Array:
        log_posterior, log_density = factors(params, x)
        return log_posterior + log_density[:, None]

    def loss(params: Params, batch: Batch, key, step) -> tuple[jax.Array, Metrics]:
        """-J = E[-log p(y|x)] + lambda/D E[-log p(x)].

        The paper's weighted objective, with lambda for each dimension as in its experiments. The
        second mean is over labelled and unlabelled examples: the joint density of one without a
        label, summed over the classes, is p(x) (section "Semi-Supervised Learning").
        """
        del key, step
        log_posterior, log_density = factors(
            params, jnp.concatenate([batch.x_labeled, batch.x_student])
        )
        labeled = log_posterior[: len(batch.y)]
        terms = {
            "loss_labeled": losses.cross_entropy(labeled, batch.y).mean(),
            "loss_marginal": -density_weight / size * log_density.mean(),
        }
        return sum(terms.values()), terms | {
            "accuracy": 100.0 * (gmm.classify(labeled) == batch.y).mean(),
            "bits_per_dim": density.bits_per_dim(log_density.mean(), size),
        }

    return Model(
        init,
        loss,
        class_log_density,
        log_density=lambda params, x: factors(params, x).log_density,
        encode=lambda params, x: density.encode(flow, params, x)[0],
        decode=lambda params, z: density.decode(flow, params, z, shape),
        flow=lambda params: (flow, params["flow"]),
    )
