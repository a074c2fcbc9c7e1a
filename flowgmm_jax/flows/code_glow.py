"""A flow that writes the class of an image into its first latents, the code.

In other flows one network serves classes and density, which compete for its parameters; here each
has networks of its own. The squeezed image is split into three parts, code, s and r, and each is
mapped conditionally on others:

    z_code = code exp(a(r)) + t(r),    z_s = s exp(b(r)) + u(r),    z_r = g(r; z_code),

    log |det dz/dx| = sum a(r) + sum b(r) + log |det dg/dr|.

r is seven eighths of the channels; code is the first few numbers of the rest, which are pixels of
the first rows, and s is what remains. The shift t is a classifier in all but name: if the means of
the prior differ only in the code, t(r) moves to the mean of the class that r shows. The networks of
b, u and g get no gradient from a loss of the class posterior, which depends only on z_code; those
of a and t get gradients from both, and so do the first layers, which act on single pixels and
channels. The Jacobian is block triangular, so density, class posterior and inverse are exact. To
sample class y: draw z_code around the mean of y, invert g given z_code, then invert code and s
given r.

The pixels of the code add noise to t(r). In drawings these are background, which tells nothing
about the class; a classifier should take them at the centres of their grey levels.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from flowgmm_jax.flows.bijector import Bijector, chain, conditional, repeat, stateless, zero_log_det
from flowgmm_jax.flows.coupling import channel_with_context, conditional_affine
from flowgmm_jax.flows.glow import glow_step, pixels_to_reals
from flowgmm_jax.flows.nets import CodeNet, ConvNet
from flowgmm_jax.flows.ops import actnorm, squeeze

GROUPS = 8  # of channels: code and s are the first group, r the others


def divide(code: int) -> Bijector:
    """(B, H, W, C) -> a tuple of code (B, code), s (B, H W C / 8 - code), r (B, H, W, 7 C / 8).

    Raises:
      ValueError: if C is not divisible by 8, or s would be empty.
    """

    def forward(x):
        b, h, w, channels = x.shape
        size = h * w * (channels // GROUPS)
        if channels % GROUPS or code >= size:
            raise ValueError(
                f"code is {code} for a squeezed image of {h}x{w}x{channels}, expected channels "
                f"divisible by {GROUPS} and a code of less than {size} numbers"
            )
        first, r = jnp.split(x, [channels // GROUPS], axis=-1)
        first = first.reshape(b, size)
        return (first[:, :code], first[:, code:], r), zero_log_det(x)

    def inverse(event):
        *first, r = event
        b, h, w, channels = r.shape
        first = jnp.concatenate(first, axis=-1).reshape(b, h, w, channels // (GROUPS - 1))
        return jnp.concatenate([first, r], axis=-1), zero_log_det(r)

    return stateless(forward, inverse, "divide")


class _LastOutputs(nn.Module):
    """The conditioner of s: the last ``features`` outputs of a net for the channels not in r."""

    features: int
    net: Callable[[int], nn.Module]

    @nn.compact
    def __call__(self, r: jax.Array) -> tuple[jax.Array, jax.Array]:
        b, h, w, channels = r.shape
        missing = channels // (GROUPS - 1)
        outputs = self.net(missing)(r)
        return tuple(a.reshape(b, h * w * missing)[:, -self.features :] for a in outputs)


def code_glow(
    levels: int,
    steps: int,
    code: int,
    width: int = 64,
    code_width: int = 64,
    code_blocks: int = 4,
    alpha: float = 0.05,
    pixels: str = "logit",
    edges: tuple[int, ...] = (),
    bound: float = 2.0,
    dtype: Any = None,
    pool: bool = False,
) -> Bijector:
    """The flow above, with steps of Glow for g.

    Events (B, H, W, C) with values in [0, levels), H and W divisible by 4. Latents are the tuple
    (z_code, z_s, z_r): flattened (``density.flatten``), their first ``code`` dimensions carry the
    class, so the means of the prior should differ only in these. Arguments that ``glow`` has too,
    but for ``steps``, mean the same here.

    Args:
      levels: grey levels of the data.
      steps: steps of Glow, whose conditioners have the code as a context.
      code: dimensions of the code.
      code_width: channels of the network of the code, at least 2.
      code_blocks: residual blocks of the network of the code.
      dtype: precision of the hidden layers of g. The other networks stay in float32: the inverse
        recovers r only up to rounding, which lower precision would amplify in code and s.

    Raises:
      ValueError: for ``code`` or ``code_width`` too small, ``pixels`` or ``edges`` as in ``glow``,
        and, from the flow's functions, a code too large for the image; the message names the
        argument.
    """
    for name, value, least in (("code", code, 1), ("code_width", code_width, 2)):
        if value < least:
            raise ValueError(f"{name} is {value}, expected at least {least}")
    net = partial(ConvNet, width=width, bound=bound, pool=pool)
    code_net = partial(CodeNet, width=code_width, blocks=code_blocks, bound=bound)

    def all_channels(event):
        """r with zeros in place of code and s."""
        r = event[2]
        zeros = jnp.zeros((*r.shape[:-1], r.shape[-1] // (GROUPS - 1)), r.dtype)
        return jnp.concatenate([zeros, r], axis=-1)

    def code_at_all_positions(event):
        z_code, _, r = event
        return jnp.broadcast_to(z_code[:, None, None, :], (*r.shape[:-1], code))

    def glow_given(context):
        partition = channel_with_context(context)
        return repeat(lambda i: glow_step(partial(net, dtype=dtype), i, partition), steps)

    return chain(
        pixels_to_reals(pixels, alpha, levels, edges),
        squeeze(),
        squeeze(),
        actnorm(),
        divide(code),
        conditional(
            1, lambda event: event[2], partial(conditional_affine, partial(_LastOutputs, net=net))
        ),
        conditional(0, all_channels, partial(conditional_affine, code_net)),
        conditional(2, code_at_all_positions, glow_given),
    )
