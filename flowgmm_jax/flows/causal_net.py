"""The network of an autoregressive map over a group of pixels: what it says of a pixel depends on
a context, on the pixels at earlier positions, and on the earlier ones at its own position.

Positions are in raster order, row by row. Convolutions over the group's own pixels are masked
(van den Oord et al. 2016, "Pixel Recurrent Neural Networks", https://arxiv.org/abs/1601.06759,
section 3.4); those over the context are not.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from flowgmm_jax.flows.conv import same_convolution
from flowgmm_jax.flows.initializers import of_fan_in, truncated_normal
from flowgmm_jax.flows.nets import Conv3x3, keep_products, repeated

FIRST_KERNEL, BLOCK_KERNEL = 5, 3  # sides of the masked convolutions
HIDDEN = 32  # numbers for each pixel between the hidden layer of its position and its parameters

_Dense = partial(nn.Dense, kernel_init=of_fan_in())
_Conv = partial(Conv3x3, weight_norm=False, kernel_init=of_fan_in())


class Context(NamedTuple):
    """What a group of pixels may depend on.

    Attributes:
      code: (B, c), numbers for the whole image, or None.
      pixels: (B, H, W, m), grey levels of other pixels at the positions of the group's; m may be 0.
    """

    code: jax.Array | None
    pixels: jax.Array


def _activated(h: jax.Array) -> jax.Array:
    return nn.gelu(nn.LayerNorm()(h))


class _PerPosition(nn.Module):
    """A learned bias of every position."""

    @nn.compact
    def __call__(self, h: jax.Array) -> jax.Array:
        return h + self.param("bias", truncated_normal(0.02), h.shape[1:])


class _ContextBlock(nn.Module):
    """A residual block of two convolutions, which sees the code; shaped for a scan over blocks."""

    width: int

    @keep_products
    @nn.compact
    def __call__(self, h: jax.Array, code: jax.Array | None) -> tuple[jax.Array, None]:
        update = _Conv(self.width)(_activated(h))
        update = nn.LayerNorm()(update)
        if code is not None:
            update += _Dense(self.width)(code)
        return h + _Conv(self.width)(nn.gelu(update)), None


class MaskedConv(nn.Module):
    """A convolution that sees earlier positions, and its own one if ``sees_itself``.

    (B, H, W, C) -> (B, H, W, features); of a window of the size of the kernel, (B, size, size, C),
    with ``window``, only the value at its middle, (B, 1, 1, features).
    """

    features: int
    size: int
    sees_itself: bool

    @nn.compact
    def __call__(self, x: jax.Array, window: bool = False) -> jax.Array:
        middle = self.size**2 // 2
        mask = np.arange(self.size**2) < middle + self.sees_itself
        # Half of the inputs are masked: twice the variance keeps that of the output.
        shape = (self.size, self.size, x.shape[-1], self.features)
        kernel = self.param("kernel", of_fan_in(2.0), shape) * mask.reshape(
            self.size, self.size, 1, 1
        )
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        if window:
            return jnp.einsum("bhwc,hwcd->bd", x, kernel)[:, None, None] + bias
        return same_convolution(x, kernel) + bias


class _CausalBlock(nn.Module):
    """A residual block with a gate, of a masked convolution; shaped for a scan over blocks.

    With a ``position``, h (B, 1, 1, width) is of that position alone, and ``inputs`` are those of
    the convolution at earlier positions, with a margin; they are returned with that of this one.
    """

    width: int

    @keep_products
    @nn.compact
    def __call__(
        self,
        h: jax.Array,
        inputs: jax.Array | None,
        context: jax.Array,
        position: tuple | None,
    ) -> tuple[jax.Array, jax.Array | None]:
        convolution = MaskedConv(self.width, BLOCK_KERNEL, sees_itself=True)
        inputs, convolved = _convolved(convolution, _activated(h), inputs, position)
        update = nn.gelu(convolved + _Dense(self.width)(context))
        update, gate = jnp.split(_Dense(2 * self.width)(update), 2, axis=-1)
        return h + update * nn.sigmoid(gate), inputs


class _PixelHead(nn.Module):
    """From the hidden layer of a position to the parameters of its pixels, each of which also sees
    the pixels before it: (..., width), (..., n features) -> (..., n, outputs)."""

    outputs: int

    @nn.compact
    def __call__(self, h: jax.Array, own: jax.Array) -> jax.Array:
        n = own.shape[-1] // 2
        pair = jnp.stack(jnp.split(own, 2, axis=-1), axis=-1)  # (..., n, 2)
        is_before = np.triu(np.ones((n, n), np.float32), 1)
        kernel = self.param("kernel", truncated_normal(0.3), (n, 2, n, HIDDEN))
        seen = jnp.einsum("...if,ifjh->...jh", pair, kernel * is_before[:, None, :, None])
        hidden = _Dense(n * HIDDEN)(_activated(_Dense(2 * h.shape[-1])(_activated(h))))
        hidden = nn.gelu(hidden.reshape(seen.shape) + seen)
        weights = self.param(
            "weights",
            truncated_normal(HIDDEN**-0.5),
            (n, HIDDEN, self.outputs),
        )
        bias = self.param("bias", nn.initializers.zeros, (n, self.outputs))
        return jnp.einsum("...jh,jho->...jo", hidden, weights) + bias


def _write(padded: jax.Array, x: jax.Array, position: tuple, size: int) -> jax.Array:
    return jax.lax.dynamic_update_slice(padded, x, (0, *(i + size // 2 for i in position), 0))


def _convolved(
    convolution: MaskedConv, x: jax.Array, inputs: jax.Array | None, position: tuple | None
) -> tuple[jax.Array | None, jax.Array]:
    """The convolution of x; at one position, of ``inputs`` with x written there."""
    if position is None:
        return inputs, convolution(x)
    size = convolution.size
    inputs = _write(inputs, x, position, size)
    window = jax.lax.dynamic_slice(inputs, (0, *position, 0), (x.shape[0], size, size, x.shape[-1]))
    return inputs, convolution(window, window=True)


class CausalNet(nn.Module):
    """Parameters for every pixel of a group: levels (B, H, W, n), context -> (B, H, W, n, outputs).

    The parts of ``__call__`` are public, for an inverse that goes from one position to the next.

    Attributes:
      outputs: numbers for each pixel.
      levels: grey levels.
      width: channels.
      context_blocks: residual blocks that see the context.
      causal_blocks: residual blocks that see earlier positions; if 0, a pixel sees only the context
        and the earlier pixels at its own position.
    """

    outputs: int
    levels: int
    width: int
    context_blocks: int
    causal_blocks: int

    def setup(self):
        self.of_code = _Dense(self.width)
        self.add_code = _Dense(self.width)
        self.add_pixels = _Conv(self.width)
        self.add_position = _PerPosition()
        once = nn.broadcast
        if self.context_blocks:
            self.context = repeated(_ContextBlock, self.context_blocks, (once,))(self.width)
        if self.causal_blocks:
            self.before = MaskedConv(self.width, FIRST_KERNEL, sees_itself=False)
            self.causal = repeated(_CausalBlock, self.causal_blocks, (0, once, once))(self.width)
        self.head = _PixelHead(self.outputs)

    def features(self, level: jax.Array) -> jax.Array:
        """(..., n) grey levels -> (..., 2 n) numbers; the background, level 0, is zero."""
        return jnp.concatenate([level * (2 / (self.levels - 1)), jnp.sign(level)], axis=-1)

    def given(self, context: Context) -> jax.Array:
        """The hidden layer (B, H, W, width) that sees only the context."""
        code, pixels = context
        hidden = jnp.zeros((*pixels.shape[:-1], self.width), pixels.dtype)
        if code is not None:
            code = nn.gelu(self.of_code(code))[:, None, None]
            hidden += self.add_code(code)
        if pixels.shape[-1]:
            hidden += self.add_pixels(self.features(pixels))
        hidden = self.add_position(hidden)
        if pixels.shape[-1] and self.context_blocks:
            hidden, _ = self.context(hidden, code)
        return hidden

    def _earlier(
        self,
        own: jax.Array,
        hidden: jax.Array,
        inputs: tuple = (None, None),
        position: tuple | None = None,
    ) -> tuple[tuple, jax.Array]:
        """``hidden`` with what the pixels at earlier positions add, and the inputs of the masked
        convolutions, the first and those of the blocks."""
        if not self.causal_blocks:
            return inputs, hidden
        first, of_blocks = inputs
        first, h = _convolved(self.before, own, first, position)
        h, of_blocks = self.causal(hidden + h, of_blocks, hidden, position)
        return (first, of_blocks), h

    def __call__(self, level: jax.Array, context: Context) -> jax.Array:
        own = self.features(level)
        _, h = self._earlier(own, self.given(context))
        return self.head(h, own)

    def empty(self, level: jax.Array) -> tuple[jax.Array, jax.Array]:
        """The inputs of the masked convolutions before the first position: zeros, with a margin."""

        def zeros(size, channels):
            b, h, w, _ = level.shape
            return jnp.zeros((b, h + size - 1, w + size - 1, channels), level.dtype)

        of_block = zeros(BLOCK_KERNEL, self.width)
        of_blocks = jnp.broadcast_to(of_block, (self.causal_blocks, *of_block.shape))
        return zeros(FIRST_KERNEL, 2 * level.shape[-1]), of_blocks

    def at(self, inputs: tuple, hidden: jax.Array, position: tuple) -> tuple[tuple, jax.Array]:
        """The hidden layer that sees the context and earlier positions, at one position (i, j).

        Args:
          inputs: of the masked convolutions at earlier positions, from ``empty`` on.
          hidden: of ``given``, (B, H, W, width).
          position: i, j.

        Returns:
          Inputs with those of this position, but for the group's own pixels (``write``); and the
          hidden layer, (B, 1, 1, width).
        """
        unknown = jnp.zeros((hidden.shape[0], 1, 1, inputs[0].shape[-1]), hidden.dtype)
        here = jax.lax.dynamic_slice(hidden, (0, *position, 0), (hidden.shape[0], 1, 1, self.width))
        return self._earlier(unknown, here, inputs, position)

    def parameters(self, h: jax.Array, level: jax.Array) -> jax.Array:
        """Of all pixels (..., n) at a position, from its hidden layer (..., width); those of a
        pixel depend only on the levels before it."""
        return self.head(h, self.features(level))

    def write(self, inputs: tuple, level: jax.Array, position: tuple) -> tuple:
        """``inputs`` with the group's own pixels at a position, (B, 1, 1, n)."""
        first, of_blocks = inputs
        return _write(first, self.features(level), position, FIRST_KERNEL), of_blocks
