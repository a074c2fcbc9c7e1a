"""The training step, averaged over the microbatches of a batch and the axis "devices"."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.flatten_util import ravel_pytree

from flowgmm_jax.data.batches import Batch
from flowgmm_jax.devices import AXIS
from flowgmm_jax.models.base import Metrics, Model


class TrainState(NamedTuple):
    """Everything that a run needs to go on.

    Attributes:
      step: int32 scalar, steps taken.
      params: of the model.
      ema_params: their exponential moving average, which is what is evaluated.
      opt_state: of the optimiser.
      skipped: int32 scalar, how many of the last steps were skipped, one after the other.
      cause: int32 scalar, what was not finite in the first of them: see ``describe``.
    """

    step: jax.Array
    params: Any
    ema_params: Any
    opt_state: optax.OptState
    skipped: jax.Array
    cause: jax.Array


def init_state(
    model: Model, tx: optax.GradientTransformation, key: jax.Array, x: jax.Array, y: jax.Array
) -> TrainState:
    """The state before the first step, initialised on examples x (B, ...) with labels y (B,)."""
    params = model.init(key, x, y)
    zero = jnp.zeros((), jnp.int32)
    return TrainState(zero, params, params, tx.init(params), zero, zero)


def _terms(metrics: Iterable[str]) -> list[str]:
    """The terms of the loss among the names of metrics, in a fixed order."""
    return sorted(name for name in metrics if name.startswith("loss_"))


def _cause(metrics: Metrics) -> jax.Array:
    """int32, bit i: the i-th term of the loss is not finite; the bit after those: their sum."""
    values = jnp.stack([metrics[name] for name in (*_terms(metrics), "loss")])
    return jnp.sum(~jnp.isfinite(values) << jnp.arange(len(values)), dtype=jnp.int32)


def describe(cause: int, metrics: Iterable[str]) -> str:
    """What a ``TrainState.cause`` says went first, given the names of the metrics: the terms of the
    loss, or their sum, or else the gradient."""
    terms = _terms(metrics)
    broken = [name for i, name in enumerate(terms) if cause >> i & 1]
    if broken:
        return " and ".join(broken)
    if cause:
        return "loss (every term of it was finite)"
    return "gradient (every term of the loss was finite)"


def run_keys(seed: jax.Array | int) -> tuple[jax.Array, jax.Array]:
    """The keys of a run, of its batches and of its model."""
    key_data, key_model = jax.random.split(jax.random.key(seed))
    return key_data, key_model


def _pairwise_sum(terms: jax.Array) -> jax.Array:
    """Sums (2^k, ...) over the first axis in an order that 2^j devices keep, each of which sums
    2^(k - j) consecutive terms before they are gathered: neighbours first."""
    while len(terms) > 1:
        terms = terms[::2] + terms[1::2]
    return terms[0]


def apply_gradient(
    tx: optax.GradientTransformation,
    ema_decay: float,
    state: TrainState,
    loss: jax.Array,
    metrics: Metrics,
    grad: jax.Array,
) -> tuple[TrainState, Metrics]:
    """The state after one step with this loss and its gradient, a vector (``ravel_pytree``), and
    the metrics of it.

    A step whose loss or gradient is not finite leaves everything but the step number and the count
    of such steps as it was, and has metrics of 0, "finite" among them, which is 1 otherwise.
    """
    grad_norm = jnp.linalg.norm(grad)
    finite = jnp.isfinite(loss) & jnp.isfinite(grad_norm)

    def update():
        _, unravel = ravel_pytree(state.params)
        updates, opt_state = tx.update(unravel(grad), state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        decay = jnp.minimum(ema_decay, (1 + state.step) / (10 + state.step))
        return params, optax.incremental_update(params, state.ema_params, 1 - decay), opt_state

    def keep():
        return state.params, state.ema_params, state.opt_state

    # A branch is compiled by itself. On one device XLA would otherwise fuse the update with the sum
    # over microbatches, and round it in another way than on several.
    params, ema_params, opt_state = jax.lax.cond(finite, update, keep)
    metrics = {"loss": loss, "grad_norm": grad_norm, **metrics}
    skipped = jnp.where(finite, 0, state.skipped + 1)
    cause = jnp.where(state.skipped == 0, _cause(metrics), state.cause)
    metrics = {name: jnp.where(finite, value, 0.0) for name, value in metrics.items()}
    metrics["finite"], metrics["steps"] = jnp.where(finite, 1.0, 0.0), jnp.ones(())
    return TrainState(state.step + 1, params, ema_params, opt_state, skipped, cause), metrics


def make_train_step(
    model: Model, tx: optax.GradientTransformation, ema_decay: float = 0.999
) -> Callable[[TrainState, Batch, jax.Array], tuple[TrainState, Metrics]]:
    """One step on one device, for a loop of one's own: ``train_step(state, batch, key)``, pure.

        state = init_state(model, tx, key, x, y)
        train_step = jax.jit(make_train_step(model, tx))
        state, metrics = train_step(state, batch, key)

    Args:
      model: what is trained.
      tx: the optimiser.
      ema_decay: of the moving average of the parameters, ``state.ema_params``; less in the first
        steps, (1 + step) / (10 + step).
    """

    def train_step(state: TrainState, batch: Batch, key: jax.Array) -> tuple[TrainState, Metrics]:
        loss_and_gradient = jax.value_and_grad(model.loss, has_aux=True)
        (loss, metrics), grads = loss_and_gradient(state.params, batch, key, state.step)
        return apply_gradient(tx, ema_decay, state, loss, metrics, ravel_pytree(grads)[0])

    return train_step


def make_train_steps(
    model: Model,
    tx: optax.GradientTransformation,
    draw: Callable[[Any, jax.Array, jax.Array, jax.Array], Batch],
    ema_decay: float,
    max_nonfinite_steps: int,
    microbatches: int = 0,
) -> Callable[[TrainState, Any, jax.Array, jax.Array], tuple[TrainState, Metrics]]:
    """Several steps in one call, so that the cost of a call is shared between them.

    The gradient of a batch is the mean of those of its M equal microbatches,

        g = 1/M sum_m dL_m/dparams.

    A device takes as many microbatches as any other, one after the other. With one microbatch per
    device, the devices add in an order of their own; with a fixed number of microbatches, in that
    of ``_pairwise_sum``, so that g does not depend on the number of devices to the last bit.

    Args:
      model: what is trained.
      tx: the optimiser.
      draw: ``(data, key, step, microbatch) -> Batch``, one microbatch of a step's batch.
      ema_decay: decay of the moving average; less in the first steps, (1 + step) / (10 + step).
      max_nonfinite_steps: after this many steps in a row whose loss or gradient was not finite,
        further ones do nothing.
      microbatches: number of them in a batch, a power of two that the devices divide; 0: one per
        device.

    Returns:
      ``train_steps(state, data, seed, count)``, to be mapped over the axis ``AXIS``. ``count`` is
      traced: one program serves any number of steps. A step whose loss or gradient is not finite
      leaves everything but the step number and the count of such steps as it was. Metrics are sums
      over the other steps; ``finite`` is their number, ``steps`` that of all that were taken.
    """

    def mean_over_microbatches(of_microbatch):
        devices = jax.lax.axis_size(AXIS)
        mine = microbatches // devices or 1
        numbers = jax.lax.axis_index(AXIS) * mine + jnp.arange(mine)
        total, unravel = ravel_pytree(
            jax.tree.map(_pairwise_sum, jax.lax.map(of_microbatch, numbers))
        )
        if microbatches:
            total = _pairwise_sum(jax.lax.all_gather(total, AXIS))
        else:
            total = jax.lax.psum(total, AXIS)
        return unravel(total / (mine * devices))

    @partial(jax.jit, inline=True)  # traced once, for its shapes and for the loop
    def train_step(state: TrainState, data: Any, seed: jax.Array) -> tuple[TrainState, Metrics]:
        key_data, key_model = run_keys(seed)
        key = jax.random.fold_in(key_model, state.step)

        def of_microbatch(microbatch):
            batch = draw(data, key_data, state.step, microbatch)
            values, grads = jax.value_and_grad(model.loss, has_aux=True)(
                state.params, batch, jax.random.fold_in(key, microbatch), state.step
            )
            return values, ravel_pytree(grads)[0]

        # The gradient is one vector until the update: a sum, a norm and a stack over microbatches
        # for each array of parameters would be half of what XLA has to compile.
        (loss, metrics), grad = mean_over_microbatches(of_microbatch)
        return apply_gradient(tx, ema_decay, state, loss, metrics, grad)

    def train_steps(state, data, seed, count):
        _, shapes = jax.eval_shape(train_step, state, data, seed)
        totals = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)

        end = state.step + count

        def goes_on(carry):
            state, _ = carry
            return (state.step < end) & (state.skipped < max_nonfinite_steps)

        def body(carry):
            state, totals = carry
            state, metrics = train_step(state, data, seed)
            return state, jax.tree.map(jnp.add, totals, metrics)

        return jax.lax.while_loop(goes_on, body, (state, totals))

    return train_steps
