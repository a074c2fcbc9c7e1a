"""The algebra of invertible maps: a value of three pure functions, and the ways to combine them.

A flow f maps data x to latents z; by the change of variables (Dinh et al. 2017, "Density
estimation using Real NVP", https://arxiv.org/abs/1605.08803, eq. 2)

    log p(x) = log p(z) + log |det df/dx|,    z = f(x).

An *event* is an array, or a pytree of arrays, with a leading batch axis B. Every map returns the
transformed event together with its log-determinant, ``log_det: (B,)`` in nats, in float32 or wider.
"""

from collections.abc import Callable
from functools import partial, reduce
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from flowgmm_jax.flows.observer import apply, observed, scan
from flowgmm_jax.flows.reversible import from_output

Event = Any
Params = Any


class Bijector(NamedTuple):
    """An invertible map over parameter pytrees.

    Attributes:
      init: ``(key, x) -> params``. Runs on an example batch; there is no other shape language, and
        initialisation from data (actnorm) needs nothing special.
      forward: ``(params, x) -> (z, log_det)``, data to latents, log |det dz/dx|.
      inverse: ``(params, z) -> (x, log_det)``, latents to data, log |det dx/dz|.
      name: of the kind of map, for reports.
    """

    init: Callable[[jax.Array, Event], Params]
    forward: Callable[[Params, Event], tuple[Event, jax.Array]]
    inverse: Callable[[Params, Event], tuple[Event, jax.Array]]
    name: str = ""


def zero_log_det(x: Event) -> jax.Array:
    """Zeros of shape (B,), float32 or wider.

    They are derived from the event, so that inside ``shard_map`` a scan carries the same
    device-varying type before and after its body.
    """
    leaf = jax.tree.leaves(x)[0]
    first = leaf[(slice(None), *[0] * (leaf.ndim - 1))]
    return jnp.zeros_like(first, jnp.promote_types(leaf.dtype, jnp.float32))


def sum_event(x: jax.Array) -> jax.Array:
    """Sums an array (B, ...) over all but the batch axis, in float32 or wider."""
    return jnp.sum(x, axis=range(1, x.ndim), dtype=jnp.promote_types(x.dtype, jnp.float32))


def stateless(forward: Callable, inverse: Callable, name: str = "") -> Bijector:
    """A bijector without parameters from ``forward(x)`` and ``inverse(z)``."""
    return Bijector(
        init=lambda key, x: (),
        forward=lambda params, x: forward(x),
        inverse=lambda params, z: inverse(z),
        name=name,
    )


def chain(*bijectors: Bijector) -> Bijector:
    """Applies bijectors left to right and adds their log-determinants.

    Args:
      *bijectors: the maps; ``params`` is a tuple of the parameters of each.

    Returns:
      The composed bijector. Its functions raise ValueError if ``params`` has another length.
    """

    def init(key, x):
        params = []
        for bijector, key_i in zip(bijectors, jax.random.split(key, len(bijectors)), strict=True):
            params.append(bijector.init(key_i, x))
            x, _ = bijector.forward(params[-1], x)  # the next map sees real activations
        return tuple(params)

    def forward(params, x):
        log_det = zero_log_det(x)
        for bijector, params_i in zip(bijectors, params, strict=True):
            x, log_det_i = apply(bijector, params_i, x)
            log_det += log_det_i
        return x, log_det

    def inverse(params, z):
        log_det = zero_log_det(z)
        for bijector, params_i in reversed(list(zip(bijectors, params, strict=True))):
            z, log_det_i = bijector.inverse(params_i, z)
            log_det += log_det_i
        return z, log_det

    return Bijector(init, forward, inverse, "chain")


def repeat(step: Callable[[jax.Array], Bijector], n: int, reversible: bool = False) -> Bijector:
    """n steps of one structure as a scan over stacked parameters.

    The program is traced and compiled once, whatever n is. Steps may differ by data but not by
    structure: ``step`` is called inside the trace with the traced index, so a mask's parity is
    ``i % 2`` and a permutation is ``permutations[i]``.

    Args:
      step: ``(i) -> Bijector``, i an int32 scalar; it keeps the shape and dtype of the event.
      n: number of steps.
      reversible: backpropagation keeps only the latents and recomputes the events of the steps
        from them (``reversible.py``): its memory does not grow with n, but it takes 1.3 to 1.6
        times as long (``benchmarks/memory.py``), and its gradients are as exact as the inverse.

    Returns:
      The bijector ``chain(step(0), ..., step(n - 1))``; every leaf of its params has a leading
      axis n.
    """

    def init(key, x):
        def body(x, index_and_key):
            i, key_i = index_and_key
            # Without the barrier XLA:CPU (0.10) treats the zeros of a last layer as constants, and
            # their product in a loop is uninitialised memory.
            params_i = jax.lax.optimization_barrier(step(i).init(key_i, x))
            return step(i).forward(params_i, x)[0], params_i

        return jax.lax.scan(body, x, (np.arange(n), jax.random.split(key, n)))[1]

    def steps(direction, params, x, reverse=False):
        def body(carry, index_and_params):
            (x, log_det), (i, params_i) = carry, index_and_params
            x, log_det_i = direction(step(i), params_i, x)
            return x, log_det + log_det_i

        return scan(body, (x, zero_log_det(x)), (np.arange(n), params), reverse)

    ordinary = partial(steps, apply)
    from_latents = from_output(ordinary, step, n)

    def forward(params, x):
        return (from_latents if reversible and not observed() else ordinary)(params, x)

    def inverse(params, z):
        return steps(lambda bijector, *event: bijector.inverse(*event), params, z, reverse=True)

    return Bijector(init, forward, inverse, "repeat")


def factor_out(rest: Bijector) -> Bijector:
    """Half of the channels are latent now, ``rest`` maps the other half (RealNVP section 3.6).

    The latent event is the pair ``(z_now, z_rest)``. Nested pairs carry the shapes of all scales,
    so the inverse needs no other record of them.

    Raises:
      ValueError: if the number of channels is odd.
    """

    def split(x):
        if x.shape[-1] % 2:
            raise ValueError(f"factor_out needs an even number of channels, found {x.shape[-1]}")
        return jnp.split(x, 2, axis=-1)

    def forward(params, x):
        kept, z = split(x)
        kept, log_det = apply(rest, params, kept)
        return (z, kept), log_det

    def inverse(params, zs):
        z, kept = zs
        kept, log_det = rest.inverse(params, kept)
        return jnp.concatenate([kept, z], axis=-1), log_det

    return Bijector(lambda key, x: rest.init(key, split(x)[0]), forward, inverse, "factor_out")


def conditional(
    i: int, context: Callable[[tuple], Any], given: Callable[[Any], Bijector]
) -> Bijector:
    """One entry of a tuple goes through a map that depends on the other entries:

        z_i = g(x_i),    g = given(context(x)),    z_j = x_j for j != i,

        log |det dz/dx| = log |det dg/dx_i|.

    A chain of these is an autoregressive map over the entries. If a result does not depend on an
    entry, its compiled program does not contain the map of that entry.

    Args:
      i: index of the entry.
      context: a function of the other entries, and of the shape of entry i.
      given: ``(context) -> Bijector``, g; its parameters do not depend on the context. It closes
        over the context, so no ``repeat`` in it can be ``reversible``.
    """

    def init(key, x):
        return given(context(x)).init(key, x[i])

    def forward(params, x):
        z_i, log_det = apply(given(context(x)), params, x[i])
        return (*x[:i], z_i, *x[i + 1 :]), log_det

    def inverse(params, z):
        x_i, log_det = given(context(z)).inverse(params, z[i])
        return (*z[:i], x_i, *z[i + 1 :]), log_det

    return Bijector(init, forward, inverse, "conditional")


def multiscale(*stages: Bijector) -> Bijector:
    """Stages with half of the channels factored out between them, as RealNVP figure 4(b) draws."""
    *first, last = stages
    return reduce(lambda rest, stage: chain(stage, factor_out(rest)), reversed(first), last)
