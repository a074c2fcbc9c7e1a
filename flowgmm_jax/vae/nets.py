"""The networks of M1 and M2, as Flax modules: bodies, and what makes distributions of them."""

import math

import jax
import jax.numpy as jnp
from flax import linen as nn

from flowgmm_jax.flows.initializers import of_fan_in
from flowgmm_jax.flows.nets import Conv3x3
from flowgmm_jax.flows.ops import squeeze
from flowgmm_jax.vae.distributions import Gaussian, GaussianPixels, Pixels

MOST_LOG_SCALE = 7.0


class MLP(nn.Module):
    """Softplus layers (Kingma et al. 2014, section 4): (B, ...) -> (B, W)."""

    hidden: tuple[int, ...]

    @nn.compact
    def __call__(self, h: jax.Array) -> jax.Array:
        h = h.reshape(h.shape[0], -1)
        for width in self.hidden:
            h = nn.softplus(nn.Dense(width, kernel_init=of_fan_in())(h))
        return h


class Downward(nn.Module):
    """From images to vectors: a squeeze and a 3x3 convolution for each of ``channels``, at half of
    the height and width before it. (B, H, W, C) -> (B, W)."""

    channels: tuple[int, ...]

    @nn.compact
    def __call__(self, h: jax.Array) -> jax.Array:
        for width in self.channels:
            h, _ = squeeze().forward((), h)
            h = nn.silu(nn.LayerNorm()(Conv3x3(width, weight_norm=False)(h)))
        return h.reshape(h.shape[0], -1)


class Upward(nn.Module):
    """The way back: (B, W) -> (B, H, W, C), C = ``shape[-1]``."""

    shape: tuple[int, ...]
    channels: tuple[int, ...]

    @nn.compact
    def __call__(self, h: jax.Array) -> jax.Array:
        height, width, features = self.shape
        scale = 2 ** len(self.channels)
        small = (height // scale, width // scale, self.channels[-1])
        h = nn.Dense(math.prod(small), kernel_init=of_fan_in())(h).reshape(h.shape[0], *small)
        for after in (*self.channels[-2::-1], features):
            h = nn.silu(nn.LayerNorm()(h))
            h, _ = squeeze().inverse((), Conv3x3(4 * after, weight_norm=False)(h))
        return h


def _bounded(log_scale: jax.Array) -> jax.Array:
    return MOST_LOG_SCALE * jnp.tanh(log_scale / MOST_LOG_SCALE)


class GaussianNet(nn.Module):
    """A Gaussian of (B, ``features``), its mean linear in what ``body`` makes of the inputs.

    Scales start at 1, and |log_scale| is below ``MOST_LOG_SCALE``, so that no input, however odd,
    makes one overflow.
    """

    body: nn.Module
    features: int

    @nn.compact
    def __call__(self, *inputs: jax.Array) -> Gaussian:
        h = self.body(jnp.concatenate(inputs, axis=-1))
        mean = nn.Dense(self.features, kernel_init=of_fan_in(), name="mean")(h)
        raw = nn.Dense(self.features, kernel_init=nn.initializers.zeros, name="log_scale")(h)
        return Gaussian(mean, _bounded(raw))


class PixelNet(nn.Module):
    """Pixels of images ``shape``, from a body whose result is as large as they are."""

    body: nn.Module
    shape: tuple[int, ...]
    levels: int

    @nn.compact
    def __call__(self, z: jax.Array) -> Pixels:
        return Pixels(self.body(z).reshape(z.shape[0], *self.shape), self.levels)


class GaussianPixelNet(nn.Module):
    """Pixels of images ``shape`` with Gaussian noise, whose scale is a parameter of every pixel and
    starts at an eighth of the range from black to white."""

    body: nn.Module
    shape: tuple[int, ...]
    levels: int

    @nn.compact
    def __call__(self, z: jax.Array) -> GaussianPixels:
        half = self.levels / 2
        mean = half * (1 + self.body(z).reshape(z.shape[0], *self.shape))
        raw = self.param("log_scale", nn.initializers.zeros, self.shape)
        return GaussianPixels(mean, math.log(half / 4) + _bounded(raw))


class Linear(nn.Module):
    """A linear layer of ``features`` on ``body``: logits of classes or of pixels."""

    body: nn.Module
    features: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        return nn.Dense(self.features, kernel_init=of_fan_in())(self.body(x))
