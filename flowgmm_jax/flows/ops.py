"""Bijectors without a conditioner: squeeze, logit, actnorm, invertible 1x1 convolution."""

import jax
import jax.numpy as jnp

from flowgmm_jax.flows.bijector import Bijector, stateless, sum_event, zero_log_det


def squeeze() -> Bijector:
    """Space to depth: (B, H, W, C) -> (B, H/2, W/2, 4C) (RealNVP section 3.6).

    The four pixels of a 2x2 block become groups of channels in the order (0,0), (1,1), (0,1),
    (1,0): the first half of the channels is one diagonal, so that a channel split after it keeps a
    checkerboard of the image and not its even rows.

    Raises:
      ValueError: when H or W is odd.
    """
    order = [0, 3, 1, 2]
    undo = [0, 2, 3, 1]

    def forward(x):
        b, h, w, c = x.shape
        if h % 2 or w % 2:
            raise ValueError(f"squeeze needs an even height and width, found {h}x{w}")
        blocks = x.reshape(b, h // 2, 2, w // 2, 2, c).transpose(0, 1, 3, 2, 4, 5)
        blocks = blocks.reshape(b, h // 2, w // 2, 4, c)[:, :, :, order]
        return blocks.reshape(b, h // 2, w // 2, 4 * c), zero_log_det(x)

    def inverse(z):
        b, h, w, c = z.shape
        blocks = z.reshape(b, h, w, 4, c // 4)[:, :, :, undo].reshape(b, h, w, 2, 2, c // 4)
        x = blocks.transpose(0, 1, 3, 2, 4, 5).reshape(b, 2 * h, 2 * w, c // 4)
        return x, zero_log_det(z)

    return stateless(forward, inverse, "squeeze")


def logit(alpha: float, levels: float) -> Bijector:
    """From [0, levels) to the real line: z = logit(y), y = alpha + (1 - 2 alpha) x / levels.

    RealNVP section 4.1; the contraction by alpha keeps z bounded at the ends of the range.
    dz/dx = (1 - 2 alpha) / levels / (y (1 - y)). The inverse is exact, contraction included: a
    latent far out maps to at most alpha / (1 - 2 alpha) of the range outside [0, levels).

    Args:
      alpha: contraction, in (0, 0.5); 0.05 in the paper.
      levels: grey levels of the data.
    """
    slope = (1 - 2 * alpha) / levels

    def log_slope(z):
        # log dz/dx as a function of z: y (1 - y) = sigmoid(z) sigmoid(-z).
        return jnp.log(slope) - jax.nn.log_sigmoid(z) - jax.nn.log_sigmoid(-z)

    def forward(x):
        y = alpha + slope * x
        z = jnp.log(y) - jnp.log1p(-y)
        return z, sum_event(log_slope(z))

    def inverse(z):
        return (jax.nn.sigmoid(z) - alpha) / slope, -sum_event(log_slope(z))

    return stateless(forward, inverse, "logit")


def actnorm() -> Bijector:
    """A scale and a shift per channel, z = (x + shift) exp(log_scale), initialised from data.

    Kingma & Dhariwal 2018, "Glow", https://arxiv.org/abs/1807.03039, section 3.1: on the example
    batch of ``init`` every channel gets mean 0 and standard deviation 1. Channels are the last
    axis, of (B, D) or (B, H, W, C).
    """

    def init(key, x):
        axes = range(x.ndim - 1)
        # The square of more than the ceiling overflows: an infinite std would make a scale of 0.
        std = jnp.minimum(jnp.std(x, axis=axes), 1e18)
        # The floor keeps a channel that is constant in the example batch from a huge scale.
        std = jnp.maximum(std, jnp.maximum(1e-2 * jnp.max(std), 1e-6))
        return {"shift": -jnp.mean(x, axis=axes), "log_scale": -jnp.log(std)}

    def log_det(params, x):
        positions = x[0, ..., 0].size
        return zero_log_det(x) + positions * jnp.sum(params["log_scale"])

    def broadcast(params, x):
        return (
            leaf.reshape((1,) * (x.ndim - 1) + (-1,)).astype(x.dtype)
            for leaf in (params["shift"], params["log_scale"])
        )

    def forward(params, x):
        shift, log_scale = broadcast(params, x)
        return (x + shift) * jnp.exp(log_scale), log_det(params, x)

    def inverse(params, z):
        shift, log_scale = broadcast(params, z)
        return z * jnp.exp(-log_scale) - shift, -log_det(params, z)

    return Bijector(init, forward, inverse, "actnorm")


def invertible_1x1() -> Bijector:
    """A learned linear mixing of the channels, z = x W (Glow section 3.2, eq. 9).

    W starts as a random rotation. The determinant is computed from W itself: for the number of
    channels of an image flow (tens) that is cheap, and W needs no constrained form.
    Channels are the last axis.
    """

    def init(key, x):
        return {"matrix": jax.random.orthogonal(key, x.shape[-1], dtype=x.dtype)}

    def log_det(params, x):
        positions = x[0, ..., 0].size
        return zero_log_det(x) + positions * jnp.linalg.slogdet(params["matrix"])[1]

    def multiply(x, matrix):
        # A GPU's default precision (TF32) would lose the inverse.
        return jnp.matmul(x, matrix, precision=jax.lax.Precision.HIGHEST)

    def forward(params, x):
        return multiply(x, params["matrix"]), log_det(params, x)

    def inverse(params, z):
        return multiply(z, jnp.linalg.inv(params["matrix"])), -log_det(params, z)

    return Bijector(init, forward, inverse, "invertible_1x1")
