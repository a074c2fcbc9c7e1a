"""Measurements of a flow's layers, and of its log-determinant against autodiff."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from flax import struct
from jax.flatten_util import ravel_pytree

from flowgmm_jax.flows.bijector import Bijector, Params
from flowgmm_jax.flows.nets import ScaleAndShift
from flowgmm_jax.flows.observer import apply, observing


@struct.dataclass
class Layer:
    """Measurements of one elementary map of a flow, on B examples.

    Attributes:
      name: position in the flow and kind of map, "3 affine_coupling".
      inverse_error: (B,), the largest |inverse(forward(x)) - x| of an example, in the unit of the
        layer's input.
      log_det: (B,), nats.
      log_scale: (2,), smallest and largest log-scale of its couplings; nan if it has none.
      finite: (), the fraction of its outputs that are finite.
    """

    name: str = struct.field(pytree_node=False)
    inverse_error: np.ndarray
    log_det: np.ndarray
    log_scale: np.ndarray
    finite: np.ndarray


def measure_layers(flow: Bijector, params: Params, x: jax.Array) -> list[Layer]:
    """``inspect_layers`` without numbers in the names, as a function that can be compiled."""
    log_scales = []  # of the map that is being applied

    def record(call, args, kwargs, context):
        outputs = call(*args, **kwargs)
        if isinstance(context.module, ScaleAndShift) and context.method_name == "__call__":
            log_scales.append(outputs[0].astype(jnp.float32).ravel())
        return outputs

    def measure(bijector, params, x, z, log_det):
        log_scale = jnp.concatenate(log_scales or [jnp.array([jnp.nan])])
        x_back, _ = bijector.inverse(params, z)
        log_scales.clear()
        error = jax.tree.map(lambda a, b: jnp.abs(a - b), x_back, x)
        return Layer(
            bijector.name,
            inverse_error=jax.vmap(lambda event: ravel_pytree(event)[0].max())(error),
            log_det=log_det,
            log_scale=jnp.array([log_scale.min(), log_scale.max()]),
            finite=jnp.isfinite(ravel_pytree(z)[0]).mean(),
        )

    with nn.intercept_methods(record), observing(measure) as layers:
        apply(flow, params, x)
    return layers


def inspect_layers(flow: Bijector, params: Params, x: jax.Array) -> list[Layer]:
    """Every elementary map of a flow, in order, from data to latents.

    Args:
      flow: data to latents.
      params: its parameters.
      x: examples (B, ...); a layer is measured on the outputs of the layers before it.

    Returns:
      A layer for each map that applies no other: actnorm, a coupling, ... but not ``chain``; each
      step of a ``repeat`` has its own. Arrays are numpy's.
    """
    layers = jax.device_get(jax.jit(partial(measure_layers, flow))(params, x))
    return [layer.replace(name=f"{i} {layer.name}") for i, layer in enumerate(layers, 1)]


def log_det_error(flow: Bijector, params: Params, x: jax.Array) -> np.ndarray:
    """|log_det - log |det J||, nats, (B,), with the Jacobian J at x (B, ...) by autodiff."""

    @jax.jit
    def log_det_and_jacobian(params, x):
        def forward(x):
            latents, log_det = flow.forward(params, x[None])
            return ravel_pytree(latents)[0], log_det[0]

        _, pull_back, log_det = jax.vjp(forward, x, has_aux=True)
        # A row at a time: activations of all of them need not fit into memory.
        return log_det, jax.lax.map(
            lambda row: pull_back(row)[0].ravel(), jnp.eye(x.size, dtype=x.dtype)
        )

    found = jax.device_get([log_det_and_jacobian(params, example) for example in x])
    log_det, jacobian = (np.array(part, np.float64) for part in zip(*found, strict=True))
    return np.abs(np.linalg.slogdet(jacobian).logabsdet - log_det)
