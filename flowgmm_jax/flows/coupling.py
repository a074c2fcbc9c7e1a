"""Affine coupling (RealNVP section 3.2) over partitions of an event.

    kept, changed = split(x),     z = merge(kept, changed * exp(s) + t),     (s, t) = net(kept),
    log |det dz/dx| = sum s.

The inverse needs no inverse of the net: changed = (z_changed - t) * exp(-s).
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

from flowgmm_jax.flows.bijector import Bijector, Params, sum_event

# Inputs of a conditioner are clipped to this, since larger ones could overflow in it to NaN. Any
# function of the kept part is a conditioner: the inverse and the log-determinant stay exact.
LARGEST_INPUT = 1e6


class Partition(NamedTuple):
    """A division of an event into a kept and a changed part; parity 0 or 1 swaps the two.

    ``parity`` may be traced: it is data, so that steps of both parities share one program.

    Attributes:
      split: ``(x, parity) -> (kept, changed)``.
      merge: ``(kept, changed, parity) -> x``.
      only_changed: ``(a, parity) -> a``, zero where a masked array has no changed entries.
    """

    split: Callable
    merge: Callable
    only_changed: Callable


def _masked(kept: Callable[[jax.Array, int | jax.Array], jax.Array]) -> Partition:
    """The partition of a mask, true where an entry is kept: both parts have the whole event's
    shape and are zero where they have no entries."""
    return Partition(
        split=lambda x, parity: (
            jnp.where(kept(x, parity), x, 0),
            jnp.where(kept(x, parity), 0, x),
        ),
        merge=lambda kept_part, changed, parity: kept_part + changed,
        only_changed=lambda a, parity: jnp.where(kept(a, parity), 0, a),
    )


def _checkerboard_mask(x: jax.Array, parity: int | jax.Array) -> jax.Array:
    """Booleans (1, H, W, 1)."""
    _, h, w, _ = x.shape
    rows, columns = jnp.arange(h)[:, None], jnp.arange(w)[None, :]
    return ((rows + columns + parity) % 2 == 0)[None, :, :, None]


def _half_mask(x: jax.Array, parity: int | jax.Array) -> jax.Array:
    """Booleans (1, D); D may be odd."""
    return ((jnp.arange(x.shape[-1]) * 2 < x.shape[-1]) != jnp.asarray(parity, bool))[None]


def _swapped(first: jax.Array, second: jax.Array, parity: int | jax.Array) -> tuple:
    swap = jnp.asarray(parity, bool)
    return jnp.where(swap, second, first), jnp.where(swap, first, second)


def _split_channels(x: jax.Array, parity: int | jax.Array) -> tuple[jax.Array, jax.Array]:
    if x.shape[-1] % 2:
        raise ValueError(
            f"the channel partition needs an even number of channels, found {x.shape[-1]}"
        )
    return _swapped(*jnp.split(x, 2, axis=-1), parity)


# Pixels of one colour of a checkerboard are kept, of events (B, H, W, C).
checkerboard = _masked(_checkerboard_mask)
# The first or the second half of a vector is kept, of events (B, D).
half = _masked(_half_mask)
# Half of the channels is kept, of events (B, H, W, C) or (B, D) with an even last axis. Without a
# mask: the conditioner reads and writes half as much.
channel = Partition(
    split=_split_channels,
    merge=lambda kept, changed, parity: jnp.concatenate(_swapped(kept, changed, parity), axis=-1),
    only_changed=lambda a, parity: a,
)


def channel_with_context(context: jax.Array) -> Partition:
    """``channel`` whose kept part also has a context (B, H, W, C') or (B, C'), an extra input of
    the conditioner."""

    def split(x, parity):
        kept, changed = channel.split(x, parity)
        return jnp.concatenate([context, kept], axis=-1), changed

    def merge(kept, changed, parity):
        return channel.merge(kept[..., context.shape[-1] :], changed, parity)

    return channel._replace(split=split, merge=merge)


def of_context(net: nn.Module, params: Params, context: jax.Array) -> Any:
    """What a conditioner says of a context of any size."""
    return net.apply({"params": params}, jnp.clip(context, -LARGEST_INPUT, LARGEST_INPUT))


def conditional_affine(
    net: Callable[[int], nn.Module], context: jax.Array, only_changed: Callable = lambda a: a
) -> Bijector:
    """z = x exp(s) + t with (s, t) = net(context), the map of a coupling's changed part x.

    Args:
      net: as in ``affine_coupling``, with the context in place of the kept part.
      context: input of the net, the same in forward and inverse.
      only_changed: applied to log_scale and shift, see ``Partition``.
    """

    def scale_and_shift(params, x):
        outputs = of_context(net(x.shape[-1]), params, context)
        # A net may compute in bfloat16; the event and its log-determinant keep their precision.
        return (only_changed(a.astype(x.dtype)) for a in outputs)

    def forward(params, x):
        log_scale, shift = scale_and_shift(params, x)
        return x * jnp.exp(log_scale) + shift, sum_event(log_scale)

    def inverse(params, z):
        log_scale, shift = scale_and_shift(params, z)
        return (z - shift) * jnp.exp(-log_scale), -sum_event(log_scale)

    def init(key, x):
        return net(x.shape[-1]).init(key, context)["params"]

    return Bijector(init, forward, inverse, "conditional_affine")


def affine_coupling(
    net: Callable[[int], nn.Module], partition: Partition, parity: int | jax.Array = 0
) -> Bijector:
    """One affine coupling layer (RealNVP eqs. 7-8).

    Args:
      net: ``(features) -> module``; the module maps the kept part to ``(log_scale, shift)``, each
        shaped like the changed part, which has ``features`` channels, with a bounded log_scale (see
        ``nets``).
      partition: ``checkerboard``, ``channel``, ``channel_with_context(context)`` or ``half``.
      parity: 0 or 1, which part is kept; may be traced.
    """

    return coupled(partial(conditional_affine, net), partition, parity, "affine_coupling")


def coupled(
    given: Callable[[jax.Array, Callable], Bijector],
    partition: Partition,
    parity: int | jax.Array,
    name: str,
) -> Bijector:
    """A coupling layer of any map of the changed part.

    Args:
      given: ``(kept, only_changed) -> Bijector``, that map; it is the identity, and has a
        log-determinant of 0, where ``only_changed`` makes its parameters zero, on zeros.
      partition: as in ``affine_coupling``.
      parity: as there.
      name: of the layer.
    """

    def mapped(kept):
        return given(kept, lambda a: partition.only_changed(a, parity))

    def init(key, x):
        kept, changed = partition.split(x, parity)
        return mapped(kept).init(key, changed)

    def through(direction, params, x):
        kept, changed = partition.split(x, parity)
        changed, log_det = getattr(mapped(kept), direction)(params, changed)
        return partition.merge(kept, changed, parity), log_det

    return Bijector(init, partial(through, "forward"), partial(through, "inverse"), name)
