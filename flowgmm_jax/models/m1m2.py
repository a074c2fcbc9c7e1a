"""M1+M2: two stacked variational autoencoders (Kingma et al. 2014, "Semi-Supervised Learning with
Deep Generative Models", https://arxiv.org/abs/1406.5298)."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from flowgmm_jax import density, gmm, losses
from flowgmm_jax.data.base import Info
from flowgmm_jax.data.batches import Batch
from flowgmm_jax.errors import InputError
from flowgmm_jax.models.base import Metrics, Model, Params
from flowgmm_jax.vae.distributions import Distribution, Gaussian
from flowgmm_jax.vae.m1 import M1, feature_bound, m1
from flowgmm_jax.vae.m2 import M2, class_tables, m2, marginal_bound
from flowgmm_jax.vae.nets import (
    MLP,
    Downward,
    GaussianNet,
    GaussianPixelNet,
    Linear,
    PixelNet,
    Upward,
)

BOUND_DRAWS = 10
ESTIMATE_DRAWS = 100  # importance weights of an example


# p(x | z1) of images, by the names of config.m1m2.pixels.
PIXELS = {"bernoulli": PixelNet, "gaussian": GaussianPixelNet}


def build_m1(info: Info, net: str, hidden: tuple[int, ...], features: int, pixels: str) -> M1:
    """M1 of images with densities of pixels, or of vectors with Gaussians.

    Raises:
      InputError: for a net that the examples do not fit.
    """
    if not info.levels:
        if net == "conv":
            raise InputError(
                f"config.m1m2.net is 'conv', expected 'mlp' for examples of shape {info.shape}"
            )
        return m1(GaussianNet(MLP(hidden), features), GaussianNet(MLP(hidden[::-1]), info.size))
    if net == "mlp":
        body, back = MLP(hidden), Linear(MLP(hidden[::-1]), info.size)
    else:
        scale = 2 ** len(hidden)
        if scale == 1 or info.shape[0] % scale or info.shape[1] % scale:
            raise InputError(
                f"config.m1m2.hidden is {hidden}, which with the net 'conv' halves the sides of "
                f"images of shape {info.shape} {len(hidden)} times: expected one or more widths, "
                "and sides that can be halved so often"
            )
        body, back = Downward(hidden), Upward(info.shape, hidden)
    return m1(GaussianNet(body, features), PIXELS[pixels](back, info.shape, info.levels))


def build_m2(num_classes: int, hidden: tuple[int, ...], features: int, latents: int) -> M2:
    """M2 of z1 (B, ``features``), with latents z2 (B, ``latents``)."""
    return m2(
        encoder=GaussianNet(MLP(hidden), latents),
        decoder=GaussianNet(MLP(hidden), features),
        classifier=Linear(MLP(hidden), num_classes),
        num_classes=num_classes,
    )


class Draws(NamedTuple):
    """Of draws of the latents of B examples, (draws, B) each, in nats.

    Attributes:
      bound: E_q(z1|x)[log p(x|z1) - log q(z1|x) - U(z1)] <= log p(x), M2's -U(z1) for log p(z1).
      log_weight: log p(x|z1) p(z1, z2) / q(z1|x) q(z2|z1), y summed out: the logarithm of an
        unbiased estimate of p(x), whose mean over draws bounds log p(x) more closely (Burda et al.
        2016, "Importance Weighted Autoencoders", https://arxiv.org/abs/1509.00519, eq. 8).
    """

    bound: jax.Array
    log_weight: jax.Array


def m1m2(
    config: ConfigDict,
    info: Info,
    *,
    net: str = "mlp",
    pixels: str = "bernoulli",
    hidden: tuple[int, ...] = (600, 600),
    features: int = 50,
    latents: int = 50,
    class_hidden: tuple[int, ...] = (500,),
    alpha: float = 0.1,
) -> Model:
    """The stacked model, whose M2 takes the latents z1 of M1 for its data:

        p(x, y, z1, z2) = p(y) p(z2) p(z1 | y, z2) p(x | z1),    q(z1 | x) q(y | z1) q(z2 | z1, y).

    Both are trained at once, but M1 by its own bound alone, with p(z1) = N(0, I): M2 sees draws of
    q(z1 | x) without a gradient, as if M1 had been trained before (the paper's two stages, in one
    run). Draws, not means: only with them does a bound hold for the stack, and a feature that M1
    leaves unused would be constant over the data otherwise, its density infinite.

    log p(x) has no closed form. ``log_density`` is a lower bound of it, and
    ``log_density_estimate`` an importance-weighted estimate; both have random numbers that are the
    same for every example, so that they are functions of the example alone. A class is told by
    q(y | z1) at the mean of q(z1 | x). Samples at temperature 1 are draws of the model; any other
    temperature scales the deviations of z2, z1 and x from their means. Gaussian pixels beyond
    black and white are drawn as these.

    Args:
      config: not looked at: all fields of this model are arguments.
      info: shape, classes and grey levels of the data.
      net: of M1: "mlp", as published, or "conv".
      pixels: what p(x | z1) is of images: "bernoulli", for drawings that are black or white almost
        everywhere, or "gaussian", with a noise of every pixel that is learnt. Vectors have
        Gaussians.
      hidden: widths of M1's layers, or with "conv" channels after each halving of the sides.
      features: numbers in z1.
      latents: numbers in z2.
      class_hidden: widths of the layers of M2's networks.
      alpha: weight of the classifier's term; the paper's alpha, 0.1 N, over the N examples.

    Returns:
      A Model of examples (B, *info.shape) whose params are ``{"m1": ..., "m2": ...}``.

    Raises:
      InputError: for a net that the examples do not fit.
    """
    del config
    bottom = build_m1(info, net, tuple(hidden), features, pixels)
    top = build_m2(info.num_classes, tuple(class_hidden), features, latents)

    def infer(params: Params, x: jax.Array) -> Gaussian:
        centred = 2 * x / info.levels - 1 if info.levels else x
        return bottom.infer(params["m1"], centred)

    def init(key: jax.Array, x: jax.Array, y: jax.Array) -> Params:
        key_1, key_2 = jax.random.split(key)
        params = {"m1": bottom.init(key_1, x)}
        return params | {"m2": top.init(key_2, infer(params, x).mean)}

    def loss(params: Params, batch: Batch, key, step) -> tuple[jax.Array, Metrics]:
        """E[J(x)] + J^alpha / N, means over the batch.

        J is the loss of M1 (eq. 5), J^alpha that of M2 (eq. 9), L(z1, y) summed over labelled and
        U(z1) over unlabelled examples, with alpha E[-log q(y|z1)] over the labelled ones.
        """
        del step
        key_1, key_2 = jax.random.split(key)
        x = jnp.concatenate([batch.x_labeled, batch.x_student])
        q = infer(params, x)
        z1 = q.at(jax.random.normal(key_1, q.mean.shape))
        log_likelihood = bottom.generate(params["m1"], z1).log_prob(x)

        z1 = jax.lax.stop_gradient(z1)
        log_posterior = top.log_posterior(params["m2"], z1)
        noise = jax.random.normal(key_2, (len(x), latents))
        table = class_tables(top, params["m2"], z1, noise).bound
        marginal = marginal_bound(table, log_posterior)

        n = len(batch.y)
        of_labels = jnp.take_along_axis(table[:n], batch.y[:, None], axis=1)[:, 0]
        terms = {
            "loss_m1": -feature_bound(log_likelihood, q).mean(),
            "loss_m2": -jnp.concatenate([of_labels, marginal[n:]]).mean(),
            "loss_classifier": alpha * losses.cross_entropy(log_posterior[:n], batch.y).mean(),
        }
        bound = log_likelihood + q.entropy() + marginal
        return sum(terms.values()), terms | {
            "accuracy": 100.0 * (gmm.classify(log_posterior[:n]) == batch.y).mean(),
            "bits_per_dim": density.bits_per_dim(bound.mean(), info.size),
        }

    def draws(params: Params, x: jax.Array, number: int) -> Draws:
        q = infer(params, x)

        def draw(key: jax.Array) -> Draws:
            key_1, key_2 = jax.random.split(key)
            z1 = q.at(jax.random.normal(key_1, (features,)))
            noise = jax.random.normal(key_2, (latents,))
            log_likelihood = bottom.generate(params["m1"], z1).log_prob(x)
            table = class_tables(top, params["m2"], z1, noise)
            log_posterior = top.log_posterior(params["m2"], z1)
            marginal = marginal_bound(table.bound, log_posterior)
            log_weight = jax.nn.logsumexp(table.log_weight, axis=-1)
            return Draws(
                log_likelihood + q.entropy() + marginal,
                log_likelihood - q.log_prob(z1) + log_weight,
            )

        return jax.lax.map(draw, jax.random.split(jax.random.key(0), number))

    def log_density(params: Params, x: jax.Array) -> jax.Array:
        return draws(params, x, BOUND_DRAWS).bound.mean(0)

    def log_density_estimate(params: Params, x: jax.Array) -> jax.Array:
        log_weight = draws(params, x, ESTIMATE_DRAWS).log_weight
        return jax.nn.logsumexp(log_weight, axis=0) - jnp.log(float(ESTIMATE_DRAWS))

    def class_log_density(params: Params, x: jax.Array) -> jax.Array:
        return top.log_posterior(params["m2"], infer(params, x).mean)

    def sample(params, key, labels, temperature=1.0):
        keys = jax.random.split(key, 3)

        def tempered(distribution: Distribution, key: jax.Array) -> jax.Array:
            mean = distribution.mean
            return mean + temperature * (distribution.draw(key) - mean)

        y = jax.nn.one_hot(labels, info.num_classes)
        z2 = temperature * jax.random.normal(keys[0], (len(y), latents))
        z1 = tempered(top.generate(params["m2"], y, z2), keys[1])
        x = tempered(bottom.generate(params["m1"], z1), keys[2])
        return jnp.clip(x, 0, info.levels) if info.levels else x

    return Model(
        init,
        loss,
        class_log_density,
        log_density,
        sample=sample,
        log_density_estimate=log_density_estimate,
    )
