"""Conditioners: the networks (log_scale, shift) = net(kept) inside a coupling, as Flax modules.

They are stateless (no batch norm: a density must be the same function in training and test). Their
log-scale is bounded and their last layer starts at zero, so that a new flow is near the identity
and never yields inf. ``dtype`` is the precision of the hidden layers; the outputs are computed in
the precision of the parameters.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from flowgmm_jax.flows.conv import same_convolution
from flowgmm_jax.flows.initializers import of_fan_in
from flowgmm_jax.flows.ops import squeeze

# For hidden layers: backpropagation keeps the results of convolutions and matrix products, and
# computes norms and rectifiers again. A scan copies what is kept into arrays over its steps, which
# takes longer on the CPU than to compute it again (GPUs have not been measured). Inside of a scan
# nothing can undo that by common subexpressions; outside XLA may, which costs memory alone.
keep_products = partial(nn.remat, prevent_cse=False, policy=jax.checkpoint_policies.dots_saveable)


class ScaleAndShift(nn.Module):
    """The zero-initialised last layer, on the last axis: (..., W) -> two arrays (..., features).

    log_scale = bound * tanh(rescale) * tanh(raw), with a learned rescale for every channel, lies in
    (-bound, bound).
    """

    features: int
    bound: float
    dense: Callable[..., nn.Module] = nn.Dense

    @nn.compact
    def __call__(self, h: jax.Array) -> tuple[jax.Array, jax.Array]:
        h = h.astype(jnp.promote_types(h.dtype, jnp.float32))
        h = self.dense(2 * self.features, kernel_init=nn.initializers.zeros)(h)
        raw, shift = jnp.split(h, 2, axis=-1)
        rescale = self.param("rescale", nn.initializers.ones, (self.features,))
        return self.bound * jnp.tanh(rescale) * jnp.tanh(raw), shift


def _dense_layers(x: jax.Array, widths: tuple[int, ...], dtype: Any) -> jax.Array:
    """Hidden layers of a fully connected network."""
    for width in widths:
        x = nn.silu(nn.Dense(width, dtype=dtype)(x))
    return x


class MLP(nn.Module):
    """Fully connected: (B, D) -> two arrays (B, features)."""

    features: int
    hidden: tuple[int, ...]
    bound: float = 2.0
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        h = _dense_layers(x, self.hidden, self.dtype)
        return ScaleAndShift(self.features, self.bound)(h)


class DenseNet(nn.Module):
    """Fully connected, with a last layer of zeros at first: (B, D) -> (B, outputs)."""

    outputs: int
    hidden: tuple[int, ...]
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        h = _dense_layers(x, self.hidden, self.dtype)
        h = h.astype(jnp.promote_types(h.dtype, jnp.float32))
        return nn.Dense(self.outputs, kernel_init=nn.initializers.zeros)(h)


class Conv3x3(nn.Module):
    """A 3x3 convolution, with weight normalisation (Salimans & Kingma 2016) unless switched off."""

    features: int
    weight_norm: bool = True
    dtype: Any = None
    kernel_init: Callable = nn.initializers.lecun_normal()

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        shape = (3, 3, x.shape[-1], self.features)
        kernel = self.param("kernel", self.kernel_init, shape)
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        if self.weight_norm:
            scale = self.param("scale", nn.initializers.ones, (self.features,))
            norm = jnp.sqrt(jnp.sum(jnp.square(kernel), axis=(0, 1, 2)) + 1e-12)
            kernel = kernel * (scale / norm)
        x, kernel, bias = nn.dtypes.promote_dtype(x, kernel, bias, dtype=self.dtype)
        return same_convolution(x, kernel) + bias


def _normalised(h: jax.Array, dtype: Any = None) -> jax.Array:
    return nn.relu(nn.LayerNorm(dtype=dtype)(h))


class _ResidualBlock(nn.Module):
    """One block, and its share of the sum of projections; shaped for a scan over blocks."""

    width: int
    dtype: Any = None

    @keep_products
    @nn.compact
    def __call__(self, carry: tuple[jax.Array, jax.Array], _) -> tuple[tuple, None]:
        h, skip = carry
        update = Conv3x3(self.width, dtype=self.dtype)(_normalised(h, self.dtype))
        h = h + Conv3x3(self.width, dtype=self.dtype)(_normalised(update, self.dtype))
        skip = skip + nn.Dense(self.width, dtype=self.dtype)(h)
        return (h, skip), None


def repeated(block: type[nn.Module], n: int, in_axes: Any = 0) -> Callable[..., nn.Module]:
    """n blocks as a scan, as over the couplings: compile time does not grow with depth."""
    return nn.scan(
        block, variable_axes={"params": 0}, split_rngs={"params": True}, length=n, in_axes=in_axes
    )


class ResNet(nn.Module):
    """The paper's residual network: (B, H, W, C) -> two arrays (B, H, W, features).

    The input is concatenated with its negative, so that the first rectifier loses nothing; the
    output is the sum of a 1x1 projection of every block (RealNVP's skip connections). Layer norm
    over the channels stands where the authors have batch norm.
    """

    features: int
    width: int
    blocks: int
    bound: float = 2.0
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        h = nn.relu(jnp.concatenate([x, -x], axis=-1))
        h = Conv3x3(self.width, dtype=self.dtype)(h)
        skip = nn.Dense(self.width, dtype=self.dtype)(h)
        blocks = repeated(_ResidualBlock, self.blocks)(self.width, self.dtype)
        (h, skip), _ = blocks((h, skip), None)
        return ScaleAndShift(self.features, self.bound)(_normalised(skip, self.dtype))


class ConvNet(nn.Module):
    """A small network for Glow: 3x3, 1x1, 3x3 convolutions with layer norm, then the last layer.

    (B, H, W, C) -> two arrays (B, H, W, features). With ``pool``, every position also sees the mean
    of the hidden layer over the image, through a dense layer.
    """

    features: int
    width: int
    bound: float = 2.0
    dtype: Any = None
    pool: bool = False

    def _hidden(self, x: jax.Array) -> jax.Array:
        h = Conv3x3(self.width, weight_norm=False, dtype=self.dtype)(x)
        h = nn.Dense(self.width, dtype=self.dtype)(_normalised(h, self.dtype))
        h = Conv3x3(self.width, weight_norm=False, dtype=self.dtype)(_normalised(h, self.dtype))
        h = _normalised(h, self.dtype)
        if self.pool:
            context = nn.Dense(self.width, dtype=self.dtype)(h.mean((1, 2), keepdims=True))
            h = _normalised(h + context, self.dtype)
        return h

    @nn.compact
    def __call__(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        h = keep_products(ConvNet._hidden)(self, x)
        return ScaleAndShift(self.features, self.bound)(h)


class _PooledBlock(nn.Module):
    """One residual block, which sees a mean over the image; shaped for a scan over blocks."""

    width: int
    kernel_init: Callable

    @keep_products
    @nn.compact
    def __call__(self, h: jax.Array, _) -> tuple[jax.Array, None]:
        conv = partial(Conv3x3, self.width, weight_norm=False, kernel_init=self.kernel_init)
        update = conv()(_normalised(h))
        context = nn.Dense(self.width, kernel_init=self.kernel_init)(
            update.mean((1, 2), keepdims=True)
        )
        return h + conv()(_normalised(update + context)), None


class CodeNet(nn.Module):
    """A residual network whose outputs see all of an image: (B, H, W, C) -> two arrays (B,
    features).

    The input is a squeezed image, C divisible by 4. Two convolutions with half of ``width`` see it
    at twice the height and width, then ``blocks`` residual ones at H x W, and a dense layer on all
    positions ends it.
    """

    features: int
    width: int
    blocks: int
    bound: float = 2.0
    kernel_init: Callable = nn.initializers.lecun_normal()

    def _stem(self, image: jax.Array) -> jax.Array:
        conv = partial(Conv3x3, self.width // 2, weight_norm=False, kernel_init=self.kernel_init)
        h = conv()(_normalised(conv()(image)))
        h, _ = squeeze().forward((), _normalised(h))
        return nn.Dense(self.width, kernel_init=self.kernel_init)(h)

    def _hidden(self, x: jax.Array) -> jax.Array:
        image, _ = squeeze().inverse((), x)
        h = keep_products(CodeNet._stem)(self, image)
        h, _ = repeated(_PooledBlock, self.blocks)(self.width, self.kernel_init)(h, None)
        return _normalised(h).reshape(x.shape[0], math.prod(h.shape[1:]))

    @nn.compact
    def __call__(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        return ScaleAndShift(self.features, self.bound)(self._hidden(x))


class Classifier(CodeNet):
    """The network of ``CodeNet`` with one output, logits: (B, H, W, C) -> (B, features)."""

    kernel_init: Callable = of_fan_in()

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        return nn.Dense(self.features, kernel_init=nn.initializers.zeros)(self._hidden(x))
